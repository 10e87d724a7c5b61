/** The tab of a task instance: how far the wait or the download is, or its result. */

import { address, usePoll } from "./api.js";
import { BatchTable } from "./batch.js";
import { Download } from "./download.js";
import { Chakra, CopyButton, FactList, h, LoadError, Notice, Quiet, StateBadge } from "./elements.js";
import { costText, countText, isWebUrl, momentText } from "./format.js";
import { FileGrid, Player } from "./media.js";
import { WaitProgress } from "./progress.js";
import { useWords } from "./words.js";

const { Box, Button, Flex, Heading } = Chakra;

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").TaskView} TaskView */
/** @typedef {import("./types").Words} Words */

const POLL_SECONDS = 5;
const POLL_SECONDS_AFTER_ERROR = 15;
const FINISHED = new Set(["success", "failed", "skipped", "upstream_failed", "removed"]);
const NOT_RUN = new Set(["skipped", "upstream_failed", "removed"]);
const NOT_STARTED = new Set([null, "scheduled", "queued"]);

/** @param {TaskView | null} view */
function pollSeconds(view) {
  if (view === null) return POLL_SECONDS_AFTER_ERROR;
  return FINISHED.has(view.task_state ?? "") ? null : POLL_SECONDS;
}

/** @param {{ dagId: string, runId: string, taskId: string, mapIndex: number }} props */
export function TaskTab({ dagId, runId, taskId, mapIndex }) {
  const { words, language } = useWords();
  const url = address(`dags/${encodeURIComponent(dagId)}/task`, {
    run_id: runId,
    task_id: taskId,
    map_index: mapIndex,
  });
  const { data: view, error } = usePoll(url, pollSeconds);
  if (view === null) {
    return h(Box, { p: 4 }, error ? h(LoadError, { error, words }) : h(Quiet, { role: "status" }, words.loading));
  }
  if (!view.is_seeany) return h(Box, { p: 4 }, h(Quiet, null, words.notSeeAny));
  if (!view.result) {
    const text = NOT_RUN.has(view.task_state ?? "") ? words.notRun : words.noRecord;
    return h(Box, { p: 4 }, h(Quiet, null, text));
  }
  return h(
    Flex,
    { direction: "column", gap: 4, p: { base: 2, md: 4 }, maxW: "6xl" },
    error && h(LoadError, { error, words }),
    h(Head, { result: view.result, words }),
    h(contentOf(view), {
      view,
      result: view.result,
      download: view.download,
      words,
      language,
      isWaiting: !NOT_STARTED.has(view.task_state),
      isCurrent: error === null,
    }),
  );
}

/** @param {TaskView} view */
function contentOf(view) {
  if (view.download) return Download;
  if (view.result?.state === "waiting") return WaitProgress;
  return view.result?.state === "created" ? Created : Ended;
}

/** @param {{ result: Result, words: Words, language: string }} props */
function Created({ result, words, language }) {
  const moment = result.at === null ? "" : ` ${words.createdAt}: ${momentText(result.at, language)}`;
  return h(Quiet, { role: "status" }, `${words.createdOnly}${moment}`);
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
    h(StateBadge, { state: result.state, isPartial: result.is_partial, words }),
    result.conn_id && h(Quiet, { as: "span", overflowWrap: "anywhere" }, `${words.connection}: ${result.conn_id}`),
  );
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
    (result.state !== "completed" || result.is_partial) && h(Failure, { result, words }),
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
  const { error_code: code, error_message: message } = result;
  const status = result.state === "failed" ? "error" : "warning";
  if (result.is_partial) {
    return h(Notice, { title: words.partialResult, status }, [code, message].filter(Boolean).join(": "));
  }
  const title = code
    ? `${words.failedWith}: ${code}`
    : words.failedAs[result.state === "timed_out" ? "timed_out" : "failed"];
  return h(Notice, { title, status }, message);
}

/** @param {{ result: Result, words: Words, language: string }} props */
function Facts({ result, words, language }) {
  const facts = /** @type {[string, string | null][]} */ ([
    [words.cost, costText(result.cost, language) || null],
    [words.duration, result.duration === null ? null : words.seconds(countText(result.duration, language))],
    [words.resolution, result.resolution],
    [words.result, !result.video_url && result.results ? words.files(result.results) : null],
    [words.finishedAt, result.at === null ? null : momentText(result.at, language)],
  ]);
  return h(FactList, { facts });
}
