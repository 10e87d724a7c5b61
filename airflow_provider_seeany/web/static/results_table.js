/** The page's results as a table: one row a result. */

import { batchText } from "./batch.js";
import { Chakra, h, InLink, Name, OutLink, StateBadge } from "./elements.js";
import { failureText } from "./failure.js";
import { costText, momentText, resultKey, shortMomentText, tabPath, taskName } from "./format.js";

const { Box, Table, Text } = Chakra;

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").Words} Words */

/** @param {{ results: Result[], words: Words, language: string }} props */
export function ResultsTable({ results, words, language }) {
  const names = [words.task, words.dag, words.state, words.result, words.cost, words.connection, words.endedAt];
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
          names.map((name) => h(Table.ColumnHeader, { key: name, whiteSpace: "nowrap" }, name)),
        ),
      ),
      h(
        Table.Body,
        null,
        results.map((result) =>
          h(
            Table.Row,
            { key: resultKey(result) },
            h(Table.Cell, null, h(Name, null, h(InLink, { to: tabPath(result) }, taskName(result)))),
            h(Table.Cell, null, h(Name, null, result.dag_id)),
            h(
              Table.Cell,
              null,
              h(StateBadge, {
                state: result.state,
                isPartial: result.is_partial,
                isTaskFailed: result.is_task_failed,
                words,
              }),
            ),
            h(Table.Cell, { maxW: "24rem" }, h(ResultCell, { result, words, language })),
            h(Table.Cell, { whiteSpace: "nowrap" }, costText(result.cost) || "–"),
            h(Table.Cell, null, h(Name, null, result.conn_id ?? "–")),
            h(
              Table.Cell,
              result.at === null ? {} : { whiteSpace: "nowrap", title: momentText(result.at) },
              result.at === null || result.state === "waiting" ? "–" : shortMomentText(result.at),
            ),
          ),
        ),
      ),
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
  return h(Text, { lineClamp: 2 }, failureText(result, words) || "–");
}
