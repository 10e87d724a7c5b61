/** The tab while a task waits: its progress, extrapolated between two polls by the service's own estimate. */

import { BatchTotals } from "./batch.js";
import { Chakra, FactList, h, Moment, Panel, Quiet, useEffect, useState } from "./elements.js";
import { durationText } from "./format.js";

const { Box, Flex, Progress, Text } = Chakra;

const MAX_OVERDUE = 30; // seconds in which the next poll is shown as due

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").Words} Words */

/**
 * @param {{ result: Result, words: Words, language: string, isWaiting: boolean, isCurrent: boolean }} props `isCurrent`:
 *   whether the progress is recent enough to extrapolate
 */
export function WaitProgress({ result, words, language, isWaiting, isCurrent }) {
  const now = useClock(isCurrent);
  const age = result.at === null ? 0 : Math.max(0, now - result.at);
  const left = result.seconds_left === null ? null : result.seconds_left - age;
  const percent = extrapolate(result, age);
  const isKnown = percent !== null || result.total !== null;
  return h(
    Panel,
    null,
    isKnown
      ? h(
          Flex,
          { justify: "space-between", gap: 3, mb: 2, wrap: "wrap" },
          h(Text, { fontWeight: "semibold", fontSize: "lg" }, `${Math.floor(percent ?? 0)} %`),
          left !== null && left > 0 && h(Quiet, null, words.left(left)),
        )
      : h(Quiet, { mb: 3 }, isWaiting ? words.noProgress : words.notStarted),
    h(ProgressBar, { value: percent, words }),
    result.total !== null && h(BatchTotals, { result, words, language }),
    h(Box, { mt: 4 }, h(Times, { result, now, words })),
  );
}

/** @param {{ result: Result, now: number, words: Words }} props */
function Times({ result, now, words }) {
  const { began, deadline, next_poll_at: next, at } = result;
  /** @param {number | null} moment */
  const shown = (moment) => moment !== null && h(Moment, { at: moment });
  const facts = /** @type {[string, any][]} */ ([
    [words.waitingFor, began !== null && durationText(now - began)],
    // A poll that is long overdue was not published, because nothing had changed, or the triggerer is away.
    [words.nextPoll, next !== null && next > now - MAX_OVERDUE && words.inSeconds(next - now)],
    [words.givesUpAt, shown(deadline)],
    [words.lastUpdate, shown(at)],
  ]);
  return h(FactList, { facts });
}

/** @param {{ value: number | null, words: Words }} props */
export function ProgressBar({ value, words }) {
  return h(
    Progress.Root,
    { value, min: 0, max: 100, size: "lg", colorPalette: "brand", striped: true, animated: true },
    h(Progress.Track, { borderRadius: "full", "aria-label": words.progress }, h(Progress.Range)),
  );
}

/**
 * The percentage to expect by now: the last one, extrapolated by the service's own estimate, but never to the end.
 * @param {Result} result
 * @param {number} age since that percentage was published, in seconds
 */
function extrapolate({ percent, seconds_left: left, total }, age) {
  if (percent === null) return null;
  if (total !== null || left === null || left <= 0) return percent;
  return Math.min(Math.max(percent, 99), percent + ((100 - percent) * Math.min(age, left)) / left);
}

/** @param {boolean} isRunning */
function useClock(isRunning) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    if (!isRunning) return undefined;
    const timer = setInterval(() => document.hidden || setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, [isRunning]);
  return now;
}
