/** A batch on the tab: its totals, and its table of tasks. */

import { address } from "./api.js";
import { Chakra, h, Name, OutLink, Quiet, StateBadge, useState } from "./elements.js";
import { costText, countText, isPicture, isWebUrl, moneyText } from "./format.js";
import { FileButtons } from "./file_buttons.js";
import { useLongList } from "./long_list.js";

const { Box, Button, Flex, Input, Table, Text } = Chakra;

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").TaskView} TaskView */
/** @typedef {import("./types").BatchRow} BatchRow */
/** @typedef {import("./types").Words} Words */

/** A batch's progress or result in words. @param {Result} result @param {Words} words @param {string} language */
export function batchText(result, words, language) {
  const [completed, total] = [result.completed ?? 0, result.total ?? 0].map((count) => countText(count, language));
  return words.batchTotals(
    /** @type {string} */ (completed),
    /** @type {string} */ (total),
    result.failed ?? 0,
    result.partial ?? 0,
  );
}

/** @param {{ result: Result, words: Words, language: string }} props */
export function BatchTotals({ result, words, language }) {
  const left = result.state === "waiting" ? 0 : (result.total ?? 0) - (result.completed ?? 0) - (result.failed ?? 0);
  const totals = batchText(result, words, language);
  const text = left > 0 ? `${totals}${words.notDone(countText(left, language))}` : totals;
  const cost = costText(result.cost);
  return h(Text, { mt: 2 }, cost ? `${text} · ${cost}` : text);
}

/** @param {BatchRow} row @param {Words} words */
function fileText({ url, results }, words) {
  if (results > 1) return words.files(results);
  return isPicture(url ?? "") ? words.image(1) : words.openOriginal;
}

/** A small preview beside the link to the file, of which it says no more. @param {{ row: BatchRow }} props */
function Thumbnail({ row }) {
  const [failed, setFailed] = useState(false);
  const picture = [row.thumbnail_url, row.url].find(
    (url) => url !== null && (url === row.thumbnail_url || isPicture(url)),
  );
  if (failed || !isWebUrl(picture)) return null;
  const style = { display: "inline-block", width: 64, height: 36, objectFit: "cover", borderRadius: 4 };
  return h("img", {
    src: picture,
    alt: "",
    loading: "lazy",
    referrerPolicy: "no-referrer",
    style: { ...style, verticalAlign: "middle", marginInlineEnd: 8 },
    onError: () => setFailed(true),
  });
}

/** What of a batch may be listed. @type {Record<string, (row: BatchRow) => boolean>} */
const PARTS = {
  all: () => true,
  failed: ({ state }) => state === "failed",
  partial: ({ is_partial: isPartial }) => isPartial,
};
const MAX_UNSEARCHED = 20; // number of rows from which on there is a search

/** @param {{ view: TaskView, result: Result, words: Words, language: string }} props */
export function BatchTable({ view, result, words, language }) {
  const [part, setPart] = useState("all");
  const [search, setSearch] = useState("");
  const ended = (result.completed ?? 0) + (result.failed ?? 0);
  const listed = view.batch.length;
  const rows = view.batch.filter((row) => PARTS[part]?.(row) && row.id.toLowerCase().includes(search.toLowerCase()));
  const files = rows.flatMap(({ id, url, other_urls: others }) =>
    [url, ...others].filter(isWebUrl).map((each) => ({ id, url: each })),
  );
  if (listed === 0) {
    return h(
      Box,
      null,
      h(BatchTotals, { result, words, language }),
      h(Quiet, { mt: 2 }, (result.total ?? 0) > 0 && words.batchEmpty),
    );
  }
  return h(
    Box,
    null,
    h(BatchTotals, { result, words, language }),
    h(
      Flex,
      { mt: 3, gap: 2, wrap: "wrap", align: "start" },
      files.length > 0 && h(FileButtons, { files, words, language }),
      h(
        Button,
        { size: "sm", variant: "outline", asChild: true },
        h("a", { href: csvOf(result), download: true }, words.exportCsv),
      ),
    ),
    view.has_first_files_only && files.some(({ url }) => isPicture(url)) && h(Quiet, { mt: 2 }, words.firstFilesOnly),
    h(
      Flex,
      { mt: 3, gap: 2, wrap: "wrap", align: "center", role: "search" },
      h(PartSwitch, { batch: view.batch, part, setPart, words, language }),
      listed > MAX_UNSEARCHED &&
        h(Input, {
          type: "search",
          size: "sm",
          w: "16rem",
          maxW: "100%",
          maxLength: 250,
          "aria-label": words.searchIds,
          placeholder: words.searchIds,
          value: search,
          onChange: (/** @type {any} */ event) => setSearch(event.target.value.trim()),
        }),
    ),
    rows.length > 0
      ? h(Rows, { key: `${part} ${search}`, rows, words, language })
      : h(Quiet, { mt: 3, role: "status" }, words.noneFound),
    listed < ended && h(Quiet, { mt: 2 }, words.shownOnly(countText(listed, language), countText(ended, language))),
  );
}

/** @param {Result} result */
function csvOf({ dag_id: dag, run_id, task_id, map_index }) {
  return address(`dags/${encodeURIComponent(dag)}/batch.csv`, { run_id, task_id, map_index });
}

/**
 * The parts of a batch to choose from, if there are several.
 * @param {{ batch: BatchRow[], part: string, setPart: (part: string) => void, words: Words, language: string }} props
 */
function PartSwitch({ batch, part, setPart, words, language }) {
  const names = { all: words.all, failed: words.states.failed, partial: words.partial };
  const counts = Object.entries(PARTS).map(([name, isIn]) => ({ name, count: batch.filter(isIn).length }));
  const shown = counts.filter(
    ({ name, count }) => name === "all" || name === part || (count > 0 && count < batch.length),
  );
  if (shown.length === 1) return null;
  return h(
    Flex,
    { role: "group", "aria-label": words.state, gap: 1 },
    shown.map(({ name, count }) =>
      h(
        Button,
        {
          key: name,
          size: "sm",
          variant: part === name ? "solid" : "outline",
          colorPalette: "brand",
          "aria-pressed": part === name,
          onClick: () => setPart(name),
        },
        `${names[/** @type {keyof typeof names} */ (name)]} (${countText(count, language)})`,
      ),
    ),
  );
}

/** @param {{ rows: BatchRow[], words: Words, language: string }} props */
function Rows({ rows, words, language }) {
  const { shown, list, more } = useLongList(rows, words, language);
  return h(
    Box,
    null,
    h(
      Box,
      { overflowX: "auto", mt: 3, tabIndex: 0, role: "region", "aria-label": words.batch, focusVisibleRing: "outside" },
      h(
        Table.Root,
        { size: "sm" },
        h(
          Table.Header,
          null,
          h(
            Table.Row,
            null,
            [words.seeanyTask, words.state, words.cost, words.result].map((name) =>
              h(
                Table.ColumnHeader,
                { key: name, whiteSpace: "nowrap", textAlign: name === words.cost ? "end" : "start" },
                name,
              ),
            ),
          ),
        ),
        h(
          Table.Body,
          { ref: list },
          shown.map((row) => h(Row, { key: row.id, row, words })),
        ),
      ),
    ),
    more,
  );
}

/** @param {{ row: BatchRow, words: Words }} props */
function Row({ row, words }) {
  return h(
    Table.Row,
    null,
    h(Table.Cell, null, h(Name, null, row.id)),
    h(Table.Cell, null, h(StateBadge, { state: row.state, isPartial: row.is_partial, words })),
    h(Table.Cell, { whiteSpace: "nowrap", textAlign: "end" }, row.cost ? moneyText(row.cost) : "–"),
    h(
      Table.Cell,
      null,
      h(Thumbnail, { row }),
      row.url && h(OutLink, { href: row.url, whiteSpace: "nowrap" }, fileText(row, words)),
      row.url && row.reason && " · ",
      row.reason ?? (row.url ? null : "–"),
    ),
  );
}
