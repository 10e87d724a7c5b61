/** Why a wait has no result: the provider's errors in the viewer's language, the service's in its own words. */

import { Chakra, h, Notice } from "./elements.js";

const { Box, Text } = Chakra;

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").Words} Words */

/**
 * What happened, in one line; empty for a success.
 * @param {Result} result @param {Words} words
 */
export function failureText({ error_kind: kind, error_numbers: numbers, is_own_message: isOwn, ...result }, words) {
  const known = kind === null ? undefined : words.errors[kind];
  const texts = [known ? known(numbers) : result.error_code, known && isOwn ? null : result.error_message];
  return texts.filter(Boolean).join(": ");
}

/** @param {{ result: Result, words: Words }} props */
export function Failure({ result, words }) {
  const { error_code: code, error_message: message, error_kind: kind, is_own_message: isOwn } = result;
  const status = result.state === "failed" && !result.is_partial ? "error" : "warning";
  const text = isOwn ? null : [code, message].filter(Boolean);
  const advice = kind === null ? undefined : words.advice[kind];
  return h(
    Notice,
    { title: titleOf(result, words), status },
    result.is_partial ? text?.join(": ") : message && !isOwn && h(Text, { as: "span", display: "block" }, message),
    advice && h(Text, { as: "span", display: "block" }, advice),
    result.state === "retrying" && h(Text, { as: "span", display: "block" }, words.willRetry),
    result.state === "skipped" && h(Text, { as: "span", display: "block" }, words.wasSkipped),
    isOwn && message && h(LogText, { message, isOpen: !advice, words }),
  );
}

/** @param {Result} result @param {Words} words */
function titleOf(result, words) {
  if (result.is_partial) return words.partialResult;
  const { error_kind: kind, error_code: code } = result;
  const known = kind === null ? undefined : words.errors[kind];
  if (known) return known(result.error_numbers);
  if (code) return words.named(words.failedWith, code);
  return words.failedAs[result.state === "timed_out" ? "timed_out" : "failed"];
}

/** @param {{ message: string, isOpen: boolean, words: Words }} props */
function LogText({ message, isOpen, words }) {
  return h(
    Box,
    { as: "details", open: isOpen, mt: 1 },
    h(Box, { as: "summary", cursor: "pointer", focusVisibleRing: "outside" }, words.textOfLog),
    h(Text, { as: "span", display: "block", mt: 1, lang: "en" }, message),
  );
}
