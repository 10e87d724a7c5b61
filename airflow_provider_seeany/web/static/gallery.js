/** The page's results as cards, each with a preview, the cost and the state. */

import { Chakra, h, InLink, Panel, Quiet, StateBadge, Tag, useState } from "./elements.js";
import { costText, countText, momentText, resultKey, shortMomentText, tabPath, taskName } from "./format.js";
import { failureText } from "./failure.js";
import { Preview } from "./media.js";

const { Box, Flex, Progress, Text } = Chakra;

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").Words} Words */

/** @param {{ results: Result[], words: Words, language: string }} props */
export function Gallery({ results, words, language }) {
  return h(
    Box,
    {
      as: "ul",
      display: "grid",
      gridTemplateColumns: "repeat(auto-fill, minmax(min(15rem, 100%), 1fr))",
      gap: 4,
      listStyleType: "none",
      p: 0,
    },
    results.map((result) => h(Card, { key: resultKey(result), result, words, language })),
  );
}

/** @param {{ result: Result, words: Words, language: string }} props */
function Card({ result, words, language }) {
  const [playing, setPlaying] = useState(false);
  const start = () => setPlaying(true);
  const stop = () => setPlaying(false);
  return h(
    Panel,
    {
      as: "li",
      p: 3,
      display: "flex",
      flexDirection: "column",
      gap: 2,
      onMouseEnter: start,
      onMouseLeave: stop,
      onFocus: start,
      onBlur: stop,
    },
    h(CardTop, { result, words, playing, language }),
    h(
      Flex,
      { justify: "space-between", gap: 2, align: "baseline" },
      h(InLink, { to: tabPath(result) }, taskName(result)),
      h(Text, { fontWeight: "semibold", whiteSpace: "nowrap" }, costText(result.cost)),
    ),
    h(Quiet, { truncate: true, title: result.dag_id }, result.dag_id),
    h(
      Flex,
      { justify: "space-between", gap: 2, align: "center", wrap: "wrap", mt: "auto" },
      h(StateBadge, { state: result.state, isPartial: result.is_partial, isTaskFailed: result.is_task_failed, words }),
      result.at !== null &&
        result.state !== "waiting" &&
        h(Quiet, { as: "span", title: momentText(result.at) }, shortMomentText(result.at)),
    ),
  );
}

/** @param {{ result: Result, words: Words, playing: boolean, language: string }} props */
function CardTop({ result, words, playing, language }) {
  if (result.video_url || result.first_result) {
    const label = `${words.result} ${result.seeany_task_id ?? ""}`;
    return h(
      Box,
      { position: "relative" },
      h(Preview, { result, label, words, playing }),
      h(
        Flex,
        { position: "absolute", bottom: 2, insetEnd: 2, gap: 1 },
        h(
          Tag,
          null,
          result.duration === null ? words.files(result.results) : words.seconds(countText(result.duration, language)),
        ),
      ),
    );
  }
  const batch =
    result.total !== null &&
    `${words.batch} · ${countText(result.completed ?? 0, language)} / ${countText(result.total, language)}`;
  return h(
    Flex,
    {
      aspectRatio: "16 / 9",
      borderRadius: "md",
      bg: "bg.muted",
      p: 3,
      direction: "column",
      justify: "center",
      gap: 2,
      overflow: "hidden",
    },
    batch && h(Text, { fontWeight: "medium", textAlign: "center" }, batch),
    h(Text, { fontSize: "sm", fontWeight: "semibold", wordBreak: "break-word" }, failureText(result, words)),
    result.error_message &&
      !result.is_own_message &&
      !batch &&
      h(Text, { fontSize: "sm", lineClamp: 3, wordBreak: "break-word" }, result.error_message),
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
