/** A batch on the tab: its totals, and its table of tasks. */

import { Chakra, h, Name, OutLink, Quiet, StateBadge, useState } from "./elements.js";
import { costText, countText, isPicture, isWebUrl, moneyText } from "./format.js";
import { useLongList } from "./long_list.js";
import { FileButtons } from "./media.js";

const { Box, Table, Text } = Chakra;

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

/** @param {{ view: TaskView, result: Result, words: Words, language: string }} props */
export function BatchTable({ view, result, words, language }) {
  const ended = (result.completed ?? 0) + (result.failed ?? 0);
  const shown = view.batch.length;
  const rows = useLongList(view.batch, words);
  const files = view.batch.flatMap(({ id, url }) => (isWebUrl(url) ? [{ id, url }] : []));
  return h(
    Box,
    null,
    h(BatchTotals, { result, words, language }),
    files.length > 0 && h(Box, { mt: 3 }, h(FileButtons, { files, words })),
    view.batch.length === 0
      ? h(Quiet, { mt: 2 }, (result.total ?? 0) > 0 && words.batchEmpty)
      : h(
          Box,
          {
            overflowX: "auto",
            mt: 3,
            tabIndex: 0,
            role: "region",
            "aria-label": words.batch,
            focusVisibleRing: "outside",
          },
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
              { ref: rows.list },
              rows.shown.map((row) =>
                h(
                  Table.Row,
                  { key: row.id },
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
                ),
              ),
            ),
          ),
        ),
    rows.more,
    shown > 0 &&
      shown < ended &&
      h(Quiet, { mt: 2 }, words.shownOnly(countText(shown, language), countText(ended, language))),
  );
}
