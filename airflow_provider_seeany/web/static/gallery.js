/** The page's results as cards: each with a preview, what it is of, the cost and the state. */

import { Chakra, h, InLink, Moment, Panel, Quiet, StateBadge, Tag, useState } from "./elements.js";
import { costText, countText, dagPath, resultKey, runPath, tabPath, taskName } from "./format.js";
import { failureText } from "./failure.js";
import { Preview } from "./media.js";

const { Box, Flex, Progress, Text } = Chakra;

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").Words} Words */

/** @param {{ results: Result[], words: Words, language: string, isCompact?: boolean }} props */
export function Gallery({ results, words, language, isCompact = false }) {
  return h(
    Box,
    {
      as: "ul",
      "aria-label": words.results,
      display: "grid",
      gridTemplateColumns: isCompact ? "minmax(0, 1fr)" : "repeat(auto-fill, minmax(min(15rem, 100%), 1fr))",
      gap: isCompact ? 2 : 4,
      listStyleType: "none",
      p: 0,
    },
    results.map((result) => h(Card, { key: resultKey(result), result, words, language, isCompact })),
  );
}

/** @param {{ result: Result, words: Words, language: string, isCompact: boolean }} props */
function Card({ result, words, language, isCompact }) {
  const [playing, setPlaying] = useState(false);
  const start = () => setPlaying(true);
  const stop = () => setPlaying(false);
  return h(
    Panel,
    {
      as: "li",
      p: 3,
      display: "flex",
      flexDirection: isCompact ? "row" : "column",
      gap: isCompact ? 3 : 2,
      onMouseEnter: start,
      onMouseLeave: stop,
      onFocus: start,
      onBlur: stop,
    },
    h(Box, isCompact ? { w: "7rem", flexShrink: 0 } : {}, h(CardTop, { result, words, playing, language, isCompact })),
    h(
      Flex,
      { direction: "column", gap: 1, flex: "1 1 auto", minW: 0 },
      h(
        Flex,
        { justify: "space-between", gap: 2, align: "baseline" },
        h(InLink, { to: tabPath(result) }, taskName(result)),
        h(Text, { fontWeight: "semibold", whiteSpace: "nowrap" }, costText(result.cost)),
      ),
      h(Names, { result, words }),
      isCompact && h(ErrorText, { result, words }),
      h(
        Flex,
        { justify: "space-between", gap: 2, align: "center", wrap: "wrap", mt: "auto", pt: 1 },
        h(StateBadge, {
          state: result.state,
          isPartial: result.is_partial,
          isTaskFailed: result.is_task_failed,
          words,
        }),
        result.at !== null &&
          result.state !== "waiting" &&
          h(Quiet, { as: "span" }, h(Moment, { at: result.at, isShort: true })),
      ),
    ),
  );
}

const SMALL = { fontSize: "sm", fontWeight: "normal", display: "block", truncate: true };

/** What a result is of, a link each, and where its copies are. @param {{ result: Result, words: Words }} props */
function Names({ result, words }) {
  const { seeany_task_id: id, dag_id: dag, run_id: run } = result;
  return h(
    Box,
    { minW: 0 },
    id && h(InLink, { to: tabPath(result), ...SMALL, title: `${words.seeanyTask}: ${id}` }, id),
    h(InLink, { to: dagPath(result), ...SMALL, title: `${words.dag}: ${dag}` }, dag),
    h(InLink, { to: runPath(result), ...SMALL, title: `${words.run}: ${run}` }, run),
    h(CopyPath, { result, words }),
  );
}

/** Where downloads have stored the files. @param {{ result: Result, words: Words }} props */
export function CopyPath({ result, words }) {
  const [first] = result.copy_paths;
  if (!first) return null;
  const more = result.copy_paths.length > 1 ? ` +${result.copy_paths.length - 1}` : "";
  return h(Quiet, { overflowWrap: "anywhere", title: result.copy_paths.join("\n") }, `${words.copyAt}${first}${more}`);
}

/** @param {{ result: Result, words: Words }} props */
export function ErrorText({ result, words }) {
  const text = failureText(result, words);
  return text ? h(Text, { fontSize: "sm", lineClamp: 3, wordBreak: "break-word", title: text }, text) : null;
}

/**
 * A preview that is a link to the tab; a link within it stays one of its own.
 * @param {{ result: Result, words: Words, playing: boolean }} props
 */
export function LinkedPreview({ result, words, playing }) {
  const label = `${words.result} ${result.seeany_task_id ?? ""}`;
  return h(
    Box,
    { position: "relative" },
    // The names beside it are links to the same tab, for the keyboard and for screen readers.
    h(
      InLink,
      { to: tabPath(result), position: "absolute", inset: 0, tabIndex: -1, "aria-hidden": true, "data-preview": true },
      "",
    ),
    h(
      Box,
      { css: { pointerEvents: "none", "& a": { pointerEvents: "auto" } } },
      h(Preview, { result, label, words, playing }),
    ),
  );
}

/** @param {{ result: Result, words: Words, playing: boolean, language: string, isCompact: boolean }} props */
function CardTop({ result, words, playing, language, isCompact }) {
  const batch =
    result.total !== null &&
    `${words.batch} · ${countText(result.completed ?? 0, language)} / ${countText(result.total, language)}`;
  if (result.video_url || result.first_result || result.thumbnail_url) {
    const length = result.duration === null ? null : words.seconds(countText(result.duration, language));
    return h(
      Box,
      { position: "relative" },
      h(LinkedPreview, { result, words, playing }),
      h(
        Flex,
        { position: "absolute", bottom: 2, insetEnd: 2, gap: 1, pointerEvents: "none" },
        h(Tag, null, batch || length || words.files(result.results)),
      ),
    );
  }
  if (isCompact && !batch && result.state !== "waiting") return null;
  return h(
    Flex,
    {
      aspectRatio: "16 / 9",
      borderRadius: "md",
      bg: "bg.muted",
      p: isCompact ? 1 : 3,
      direction: "column",
      justify: "center",
      gap: 2,
      overflow: "hidden",
      fontSize: "sm",
    },
    batch && h(Text, { fontWeight: "medium", textAlign: "center" }, batch),
    !isCompact && !batch && h(ErrorText, { result, words }),
    result.state === "waiting" && h(SmallProgress, { percent: result.percent, words }),
  );
}

/** @param {{ percent: number | null, words: Words }} props */
function SmallProgress({ percent, words }) {
  return h(
    Box,
    null,
    h(
      Text,
      { fontSize: "sm", mb: 1, textAlign: "center" },
      percent === null ? words.states.waiting : `${Math.floor(percent)} %`,
    ),
    h(
      Progress.Root,
      { value: percent, size: "sm", colorPalette: "brand" },
      h(Progress.Track, { borderRadius: "full", "aria-label": words.progress }, h(Progress.Range)),
    ),
  );
}
