/** A download on the tab: how far it is, then where the copies are. */

import { Chakra, FactList, h, Moment, Notice, Panel, Quiet } from "./elements.js";
import { bytesText, countText } from "./format.js";
import { ProgressBar } from "./progress.js";

const { Box, Text } = Chakra;

/** @typedef {import("./types").Download} Copies */
/** @typedef {import("./types").Words} Words */
/** @typedef {{ download: Copies, result: import("./types").Result, words: Words, language: string }} Props */

/** @param {Props} props */
export function Download(props) {
  return props.result.state === "downloading" ? h(UnderWay, props) : h(Ended, props);
}

/** @param {Props} props */
function UnderWay({ download, result, words, language }) {
  const { files, total, size } = download;
  const stored = total === null ? words.files(files) : words.filesOf(...counts([files, total], language));
  return h(
    Panel,
    null,
    h(Text, { fontWeight: "semibold", fontSize: "lg", mb: 2 }, `${stored} · ${bytesText(size, language)}`),
    h(ProgressBar, { value: result.percent, words }),
    result.at !== null && h(Quiet, { mt: 3 }, [`${words.lastUpdate} `, h(Moment, { key: "at", at: result.at })]),
  );
}

/** @param {Props} props */
function Ended({ download, result, words, language }) {
  const { files, size, failed, folder, paths } = download;
  return h(
    Box,
    null,
    (result.state === "failed" || result.state === "retrying") &&
      h(
        Notice,
        { title: words.downloadFailed, mb: 4 },
        words.downloadFailures(files ? countText(files, language) : "", failed ? countText(failed, language) : ""),
        h(Reasons, { download, words, language }),
      ),
    h(FactList, {
      facts: [
        [words.copies, words.files(files)],
        [words.size, bytesText(size, language)],
        [words.folder, folder],
        [words.lastUpdate, result.at === null ? null : h(Moment, { at: result.at })],
      ],
    }),
    paths.length > 0 &&
      h(
        Box,
        { as: "ul", "aria-label": words.copies, mt: 4, ps: 5, listStyleType: "disc", fontSize: "sm" },
        paths.map((path) => h(Box, { as: "li", key: path, overflowWrap: "anywhere" }, path)),
      ),
    paths.length > 0 &&
      paths.length < files &&
      h(Quiet, { mt: 2 }, words.shownOnly(...counts([paths.length, files], language))),
  );
}

/** Why it failed, as the log says it. @param {{ download: Copies, words: Words, language: string }} props */
function Reasons({ download, words, language }) {
  const { failures, failed, reason } = download;
  const texts = [...(reason ? [reason] : []), ...failures.map((failure) => `${failure.id}: ${failure.reason}`)];
  if (texts.length === 0) return h(Text, { as: "span", display: "block" }, words.seeLog);
  return h(
    Box,
    null,
    h(
      Box,
      { as: "ul", "aria-label": words.reasons, lang: "en", mt: 1, ps: 5, listStyleType: "disc" },
      texts.map((text, index) => h(Box, { as: "li", key: index, overflowWrap: "anywhere" }, text)),
    ),
    failures.length < failed && h(Text, null, words.shownOnly(...counts([failures.length, failed], language))),
  );
}

/** @param {[number, number]} numbers @param {string} language */
function counts([first, second], language) {
  return /** @type {[string, string]} */ ([countText(first, language), countText(second, language)]);
}
