/** The tab on a task instance: how far the wait is, or what it brought. */

import { address, useAnswer } from "./api.js";
import {
  Chakra,
  CopyButton,
  h,
  Name,
  Notice,
  OutLink,
  Panel,
  Quiet,
  StateBadge,
  useEffect,
  useState,
} from "./elements.js";
import { costText, countText, isPicture, isWebUrl, momentText, moneyText } from "./format.js";
import { FileGrid, Player } from "./media.js";
import { useWords } from "./words.js";

const { Box, Button, Flex, Heading, Progress, Table, Text } = Chakra;

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").TaskView} TaskView */
/** @typedef {import("./types").Words} Words */

const SECONDS_WHILE_WAITING = 5;
const SECONDS_AFTER_TROUBLE = 15;
const SECONDS_BEFORE_START = 5;
const FINISHED = new Set(["success", "failed", "skipped", "upstream_failed", "removed"]);
const PASSED_OVER = new Set(["skipped", "upstream_failed", "removed"]);
const NOT_STARTED = new Set([null, "scheduled", "queued"]);

/** @param {TaskView | null} view */
function pause(view) {
  if (view === null) return SECONDS_AFTER_TROUBLE;
  if (FINISHED.has(view.task_state ?? "")) return null;
  return view.result?.state === "waiting" ? SECONDS_WHILE_WAITING : SECONDS_BEFORE_START;
}

/** @param {{ dagId: string, runId: string, taskId: string, mapIndex: number }} props */
export function TaskTab({ dagId, runId, taskId, mapIndex }) {
  const { words, language } = useWords();
  const url = address(`dags/${encodeURIComponent(dagId)}/task`, {
    run_id: runId,
    task_id: taskId,
    map_index: mapIndex,
  });
  const { answer, error } = useAnswer(url, pause);
  if (answer === null) {
    return h(Box, { p: 4 }, error ? h(Trouble, { error, words }) : h(Quiet, { role: "status" }, words.loading));
  }
  if (!answer.is_seeany) return h(Box, { p: 4 }, h(Quiet, null, words.notSeeAny));
  if (!answer.result) {
    const text = PASSED_OVER.has(answer.task_state ?? "") ? words.neverWaited : words.noRecord;
    return h(Box, { p: 4 }, h(Quiet, null, text));
  }
  return h(
    Flex,
    { direction: "column", gap: 4, p: { base: 2, md: 4 }, maxW: "6xl" },
    error && h(Trouble, { error, words }),
    h(Head, { result: answer.result, words }),
    answer.result.state === "waiting"
      ? h(Waiting, {
          result: answer.result,
          words,
          language,
          isWaiting: !NOT_STARTED.has(answer.task_state),
          isMoving: error === null,
        })
      : h(Ended, { view: answer, result: answer.result, words, language }),
  );
}

/** @param {{ error: any, words: Words }} props */
export function Trouble({ error, words }) {
  const texts = /** @type {Record<number, string>} */ ({
    401: words.signIn,
    403: words.forbidden,
    404: words.notThere,
    503: words.busy,
  });
  const other = error.status ? words.trouble(error.status) : words.noAnswer;
  return h(Box, { role: "alert" }, h(Notice, { title: words.failedToLoad }, texts[error.status] ?? other));
}

/** @param {{ result: Result, words: Words }} props */
function Head({ result, words }) {
  return h(
    Flex,
    { align: "baseline", gap: 3, wrap: "wrap" },
    h(
      Heading,
      { as: "h2", size: "md", wordBreak: "break-all" },
      result.seeany_task_id ?? (result.total === null ? "SeeAny" : words.batch),
    ),
    h(StateBadge, { state: result.state, words }),
    result.conn_id && h(Quiet, { as: "span", overflowWrap: "anywhere" }, `${words.connection}: ${result.conn_id}`),
  );
}

/**
 * @param {{ result: Result, words: Words, language: string, isWaiting: boolean, isMoving: boolean }} props `isMoving`:
 *   whether what was seen is new enough to go on from
 */
function Waiting({ result, words, language, isWaiting, isMoving }) {
  const now = useClock(isMoving);
  const age = result.at === null ? 0 : Math.max(0, now - result.at);
  const left = result.seconds_left === null ? null : result.seconds_left - age;
  const percent = moving(result, age);
  return h(
    Panel,
    null,
    result.at === null
      ? h(Quiet, { mb: 3 }, isWaiting ? words.noProgressYet : words.startingSoon)
      : h(
          Flex,
          { justify: "space-between", gap: 3, mb: 2, wrap: "wrap" },
          h(
            Text,
            { fontWeight: "semibold", fontSize: "lg" },
            percent === null ? words.progress : `${Math.floor(percent)} %`,
          ),
          left !== null && left > 0 && h(Quiet, null, words.left(left)),
        ),
    h(
      Progress.Root,
      { value: percent, min: 0, max: 100, size: "lg", colorPalette: "brand", striped: true, animated: true },
      h(Progress.Track, { borderRadius: "full", "aria-label": words.progress }, h(Progress.Range)),
    ),
    result.total !== null && h(BatchTotals, { result, words, language }),
    result.at !== null && h(Quiet, { mt: 3 }, `${words.lastSeen}: ${momentText(result.at, language)}`),
  );
}

/**
 * How far it should be by now: what was seen, moved on by the service's own estimate, and never to the end.
 * @param {Result} result
 * @param {number} age seconds since that was seen
 */
function moving({ percent, seconds_left: left, total }, age) {
  if (percent === null) return null;
  if (total !== null || left === null || left <= 0) return percent;
  return Math.min(Math.max(percent, 99), percent + ((100 - percent) * Math.min(age, left)) / left);
}

/** @param {boolean} goes */
function useClock(goes) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    if (!goes) return undefined;
    const timer = setInterval(() => document.hidden || setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, [goes]);
  return now;
}

/** @param {Result} result @param {Words} words @param {string} language how far a batch is, or how it ended */
export function batchText(result, words, language) {
  const [completed, total] = [result.completed ?? 0, result.total ?? 0].map((count) => countText(count, language));
  return words.batchTotals(/** @type {string} */ (completed), /** @type {string} */ (total), result.failed ?? 0);
}

/** @param {{ result: Result, words: Words, language: string }} props */
function BatchTotals({ result, words, language }) {
  const left = result.state === "waiting" ? 0 : (result.total ?? 0) - (result.completed ?? 0) - (result.failed ?? 0);
  const totals = batchText(result, words, language);
  const text = left > 0 ? `${totals}${words.notDone(countText(left, language))}` : totals;
  const cost = costText(result.cost, language);
  return h(Text, { mt: 2 }, cost ? `${text} · ${cost}` : text);
}

/** @param {{ view: TaskView, result: Result, words: Words, language: string }} props */
function Ended({ view, result, words, language }) {
  const known = view.result_urls.length ? view.result_urls : [result.video_url, result.first_result];
  const urls = /** @type {string[]} */ (known.filter(isWebUrl));
  const others = urls.filter((each) => each !== result.video_url);
  const url = isWebUrl(result.video_url) ? result.video_url : (urls[0] ?? null);
  const isBatch = result.total !== null;
  return h(
    Flex,
    { direction: "column", gap: 4 },
    (result.state === "failed" || result.state === "timed_out") && h(Failure, { result, words }),
    h(
      Flex,
      { gap: 6, direction: { base: "column", lg: result.video_url ? "row" : "column" } },
      result.video_url &&
        h(
          Box,
          { flex: "2 1 0", minW: 0 },
          h(Player, {
            url: result.video_url,
            poster: result.thumbnail_url,
            label: `${words.video} ${result.seeany_task_id ?? ""}`,
            words,
          }),
        ),
      h(
        Flex,
        { direction: "column", gap: 4, flex: "1 1 0", minW: 0 },
        h(Facts, { result, words, language }),
        url &&
          !isBatch &&
          h(
            Flex,
            { gap: 2, wrap: "wrap" },
            h(CopyButton, { urls: result.video_url ? [url] : urls, words }),
            (result.video_url || urls.length === 1) &&
              h(
                Button,
                { size: "sm", variant: "outline", asChild: true },
                h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, words.openOriginal),
              ),
          ),
      ),
    ),
    others.length > 0 && !isBatch && h(FileGrid, { urls: others, words }),
    isBatch && h(BatchTable, { view, result, words, language }),
  );
}

/** @param {{ result: Result, words: Words }} props */
function Failure({ result, words }) {
  const title = result.error_code
    ? `${words.failedWith}: ${result.error_code}`
    : words.failedAs[result.state === "timed_out" ? "timed_out" : "failed"];
  return h(Notice, { title, status: result.state === "timed_out" ? "warning" : "error" }, result.error_message);
}

/** @param {{ result: Result, words: Words, language: string }} props */
function Facts({ result, words, language }) {
  const facts = /** @type {[string, string | null][]} */ ([
    [words.cost, costText(result.cost, language) || null],
    [words.duration, result.duration === null ? null : words.seconds(countText(result.duration, language))],
    [words.resolution, result.resolution],
    [words.made, !result.video_url && result.results ? words.files(result.results) : null],
    [words.finishedAt, result.at === null ? null : momentText(result.at, language)],
  ]).filter(([, value]) => value);
  return h(
    Box,
    { as: "dl", display: "grid", gridTemplateColumns: "max-content minmax(0, 1fr)", columnGap: 6, rowGap: 2 },
    facts.flatMap(([name, value]) => [
      h(Text, { as: "dt", key: name, color: "fg.muted" }, name),
      h(Text, { as: "dd", key: `${name} value`, fontWeight: "medium", m: 0, overflowWrap: "anywhere" }, value),
    ]),
  );
}

/** @param {import("./types").BatchRow} row @param {Words} words */
function fileText({ url, results }, words) {
  if (results > 1) return words.files(results);
  return isPicture(url ?? "") ? words.image(1) : words.openOriginal;
}

/** @param {{ view: TaskView, result: Result, words: Words, language: string }} props */
function BatchTable({ view, result, words, language }) {
  const ended = (result.completed ?? 0) + (result.failed ?? 0);
  const shown = view.batch.length;
  return h(
    Box,
    null,
    h(BatchTotals, { result, words, language }),
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
                [words.seeanyTask, words.state, words.cost, words.made].map((name) =>
                  h(Table.ColumnHeader, { key: name, whiteSpace: "nowrap" }, name),
                ),
              ),
            ),
            h(
              Table.Body,
              null,
              view.batch.map((row) =>
                h(
                  Table.Row,
                  { key: row.id },
                  h(Table.Cell, null, h(Name, null, row.id)),
                  h(Table.Cell, null, h(StateBadge, { state: row.state, words })),
                  h(Table.Cell, { whiteSpace: "nowrap" }, row.cost ? moneyText(row.cost, language) : "–"),
                  h(
                    Table.Cell,
                    null,
                    row.url
                      ? h(OutLink, { href: row.url, whiteSpace: "nowrap" }, fileText(row, words))
                      : (row.reason ?? "–"),
                  ),
                ),
              ),
            ),
          ),
        ),
    shown > 0 &&
      shown < ended &&
      h(Quiet, { mt: 2 }, words.shownOnly(countText(shown, language), countText(ended, language))),
  );
}
