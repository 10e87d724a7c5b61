/** The tab of a task instance: how far the wait or the download is, or its result. */

import { address, usePoll } from "./api.js";
import { BatchTable } from "./batch.js";
import { Download } from "./download.js";
import { CopyButton } from "./copy_button.js";
import { Chakra, FactList, h, InLink, LoadError, Moment, Notice, Quiet, StateBadge } from "./elements.js";
import { Failure } from "./failure.js";
import { costText, countText, resultsPath, isWebUrl } from "./format.js";
import { FileButtons } from "./file_buttons.js";
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
    return h(Box, { p: 4 }, h(Quiet, null, noResultText(view, words)));
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

/** @param {TaskView} view @param {Words} words */
function noResultText({ task_state: state }, words) {
  if (state === "up_for_retry") return words.retryingNoRecord;
  return NOT_RUN.has(state ?? "") ? words.notRun : words.noRecord;
}

/** @param {TaskView} view */
function contentOf(view) {
  if (view.download) return Download;
  if (view.result?.state === "waiting") return WaitProgress;
  return view.result?.state === "created" ? Created : Ended;
}

/** @param {{ result: Result, words: Words }} props */
function Created({ result, words }) {
  return h(
    Box,
    null,
    h(Quiet, { role: "status", mb: 3 }, words.createdOnly),
    result.at !== null && h(FactList, { facts: [[words.createdAt, h(Moment, { at: result.at })]] }),
  );
}

/** @param {{ result: Result, words: Words }} props */
function Head({ result, words }) {
  return h(
    Flex,
    { align: "center", columnGap: 4, rowGap: 1, wrap: "wrap" },
    h(
      Heading,
      { as: "h2", size: "md", wordBreak: "break-all" },
      result.seeany_task_id ?? (result.total === null ? "SeeAny" : words.batch),
    ),
    h(StateBadge, { state: result.state, isPartial: result.is_partial, isTaskFailed: result.is_task_failed, words }),
    result.seeany_task_id &&
      h(CopyButton, { text: () => result.seeany_task_id ?? "", name: words.copyId, size: "xs", words }),
    result.conn_id && h(Quiet, { as: "span", overflowWrap: "anywhere" }, words.named(words.connection, result.conn_id)),
    h(InLink, { to: resultsPath(result.dag_id), fontSize: "sm" }, words.dagResults),
  );
}

/** @param {{ view: TaskView, result: Result, words: Words, language: string }} props */
function Ended({ view, result, words, language }) {
  const known = view.result_urls.length ? view.result_urls : [result.video_url, result.first_result];
  const urls = /** @type {string[]} */ (known.filter(isWebUrl));
  const others = urls.filter((each) => each !== result.video_url);
  const url = isWebUrl(result.video_url) ? result.video_url : (urls[0] ?? null);
  const isBatch = result.total !== null;
  const id = result.seeany_task_id ?? result.task_id;
  return h(
    Flex,
    { direction: "column", gap: 4 },
    (result.state !== "completed" || result.is_partial) && h(Failure, { result, words }),
    result.is_task_failed && h(Notice, { title: words.taskFailed, status: "warning" }),
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
            h(FileButtons, {
              files: (result.video_url ? [url] : urls).map((each) => ({ id, url: each })),
              words,
              language,
            }),
            (result.video_url || urls.length === 1) &&
              h(
                Button,
                { size: "sm", variant: "outline", asChild: true },
                h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, words.openOriginal),
              ),
          ),
      ),
    ),
    others.length > 0 && !isBatch && h(FileGrid, { urls: others, words, language }),
    !isBatch &&
      urls.length > 0 &&
      urls.length < result.results &&
      h(Quiet, null, words.shownOnly(countText(urls.length, language), countText(result.results, language))),
    isBatch && h(BatchTable, { view, result, words, language }),
  );
}

/** @param {{ result: Result, words: Words, language: string }} props */
function Facts({ result, words, language }) {
  const facts = /** @type {[string, any][]} */ ([
    // That of a batch stands above its table.
    [words.cost, result.total === null && costText(result.cost)],
    [words.duration, result.duration === null ? null : words.seconds(countText(result.duration, language))],
    [words.resolution, result.resolution],
    [words.result, !result.video_url && result.results ? words.files(result.results) : null],
    [
      result.state === "completed" ? words.finishedAt : words.waitEndedAt,
      result.at !== null && h(Moment, { at: result.at }),
    ],
  ]);
  return h(FactList, { facts });
}
