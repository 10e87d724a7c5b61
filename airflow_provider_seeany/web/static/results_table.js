/** The page's results as a table: one row a result. */

import { batchText } from "./batch.js";
import { Chakra, h, InLink, Moment, Name, OutLink, StateBadge } from "./elements.js";
import { failureText } from "./failure.js";
import { costText, dagPath, resultKey, runPath, tabPath, taskName } from "./format.js";
import { CopyPath, ErrorText, LinkedPreview } from "./gallery.js";

const { Box, Flex, Table, Text } = Chakra;

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").Words} Words */
/** @typedef {import("./chosen.js").Chosen} Chosen */
/** @typedef {import("./chosen.js").Choose} Choose */

/** @param {{ results: Result[], chosen: Chosen, choose: Choose, words: Words, language: string }} props */
export function ResultsTable({ results, chosen, choose, words, language }) {
  const sorted = { chosen, choose };
  return h(
    Box,
    { overflowX: "auto", tabIndex: 0, role: "region", "aria-label": words.results, focusVisibleRing: "outside" },
    h(
      Table.Root,
      { size: "sm", striped: true },
      h(
        Table.Header,
        null,
        h(
          Table.Row,
          null,
          [words.task, words.dag, words.state, words.result].map((name) => h(Header, { key: name, name })),
          h(SortedHeader, { name: words.cost, orders: ["highest_cost", "lowest_cost"], ...sorted, textAlign: "end" }),
          h(Header, { name: words.connection }),
          h(SortedHeader, { name: words.endedAt, orders: ["newest", "oldest"], ...sorted }),
        ),
      ),
      h(
        Table.Body,
        null,
        results.map((result) => h(Row, { key: resultKey(result), result, words, language })),
      ),
    ),
  );
}

/** @param {{ name: string, [more: string]: any }} props */
function Header({ name, children, ...more }) {
  return h(Table.ColumnHeader, { whiteSpace: "nowrap", ...more }, children ?? name);
}

/**
 * A column by which the list can be sorted: the first order at first, then the other one.
 * @param {{ name: string, orders: [string, string], chosen: Chosen, choose: Choose, [more: string]: any }} props
 */
function SortedHeader({ name, orders, chosen, choose, ...more }) {
  const [descending, ascending] = orders;
  const isSorted = orders.includes(chosen.sort);
  const isAscending = chosen.sort === ascending;
  const sort = chosen.sort === descending ? ascending : descending;
  return h(
    Header,
    { name, "aria-sort": isSorted ? (isAscending ? "ascending" : "descending") : "none", ...more },
    h(
      Chakra.Link,
      { as: "button", type: "button", color: "inherit", fontWeight: "inherit", onClick: () => choose({ sort }) },
      h("span", null, name),
      isSorted && h("span", { "aria-hidden": true }, isAscending ? " ↑" : " ↓"),
    ),
  );
}

const SMALL = { fontSize: "xs", fontWeight: "normal" };

/** @param {{ result: Result, words: Words, language: string }} props */
function Row({ result, words, language }) {
  const isPreviewed = result.thumbnail_url || result.first_result || result.video_url;
  return h(
    Table.Row,
    null,
    h(
      Table.Cell,
      null,
      h(
        Flex,
        { gap: 3, align: "center" },
        h(Box, { w: "5rem", flexShrink: 0 }, isPreviewed && h(LinkedPreview, { result, words, playing: false })),
        h(
          Box,
          null,
          h(Name, null, h(InLink, { to: tabPath(result) }, taskName(result))),
          result.seeany_task_id &&
            h(Box, null, h(Name, null, h(InLink, { to: tabPath(result), ...SMALL }, result.seeany_task_id))),
        ),
      ),
    ),
    h(
      Table.Cell,
      null,
      h(Name, null, h(InLink, { to: dagPath(result) }, result.dag_id)),
      h(Box, null, h(Name, null, h(InLink, { to: runPath(result), ...SMALL }, result.run_id))),
    ),
    h(
      Table.Cell,
      null,
      h(StateBadge, { state: result.state, isPartial: result.is_partial, isTaskFailed: result.is_task_failed, words }),
    ),
    h(Table.Cell, { maxW: "22rem" }, h(ResultCell, { result, words, language }), h(CopyPath, { result, words })),
    h(Table.Cell, { whiteSpace: "nowrap", textAlign: "end" }, costText(result.cost) || "–"),
    h(Table.Cell, null, h(Name, null, result.conn_id ?? "–")),
    h(
      Table.Cell,
      null,
      result.at === null || result.state === "waiting" ? "–" : h(Moment, { at: result.at, isShort: true }),
    ),
  );
}

/** @param {{ result: Result, words: Words, language: string }} props */
function ResultCell({ result, words, language }) {
  if (result.video_url) return h(OutLink, { href: result.video_url, whiteSpace: "nowrap" }, words.openOriginal);
  if (result.first_result)
    return h(OutLink, { href: result.first_result, whiteSpace: "nowrap" }, words.files(result.results));
  if (result.total !== null) return batchText(result, words, language);
  if (result.percent !== null) return `${Math.floor(result.percent)} %`;
  return failureText(result, words) ? h(ErrorText, { result, words }) : h(Text, null, "–");
}
