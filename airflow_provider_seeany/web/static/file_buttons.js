/** The buttons that copy the URLs of several files, and download the files. */

import { CopyButton } from "./copy_button.js";
import { Chakra, h, Panel, Quiet, useEffect, useRef, useState } from "./elements.js";
import { countText } from "./format.js";
import { fileName, saveAll } from "./save.js";

const { Box, Button, Flex, Text } = Chakra;

/** @typedef {import("./types").Words} Words */
/** @typedef {import("./save.js").Saved} Saved */

const MAX_UNASKED = 20; // maximum number of files that are downloaded without a question

/** @param {{ files: { id: string, url: string }[], words: Words, language: string }} props */
export function FileButtons({ files, words, language }) {
  const [isAsked, setIsAsked] = useState(false);
  const [number, setNumber] = useState(0);
  const [ended, setEnded] = useState(/** @type {(Saved & { total: number, isCancelled: boolean }) | null} */ (null));
  const abort = useRef(/** @type {AbortController | null} */ (null));
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => () => abort.current?.abort(), []);
  const count = countText(files.length, language);

  async function download() {
    const { signal } = (abort.current = new AbortController());
    setEnded(null);
    answer();
    const named = files.map(({ id, url }, index) => ({ url, name: fileName(id, index + 1, url) }));
    const saved = await saveAll(named, signal, setNumber);
    abort.current = null;
    setNumber(0);
    setEnded({ ...saved, total: files.length, isCancelled: signal.aborted });
  }
  function answer() {
    setIsAsked(false);
    // The button that was pressed goes away, and with it the focus.
    main.current?.focus();
  }
  function start() {
    if (abort.current) return;
    if (files.length > MAX_UNASKED) setIsAsked(true);
    else void download();
  }
  function cancel() {
    abort.current?.abort();
    main.current?.focus();
  }
  return h(
    Box,
    null,
    h(
      Flex,
      { gap: 2, wrap: "wrap", align: "center" },
      h(CopyButton, { name: words.copyUrl(count), text: () => files.map(({ url }) => url).join("\n"), words }),
      files.length > 1 &&
        h(
          Button,
          { ref: main, size: "sm", variant: "outline", "aria-disabled": number > 0, onClick: start },
          number > 0 ? words.downloadedOf(countText(number, language), count) : words.downloadAll,
        ),
      number > 0 && h(Button, { size: "sm", variant: "ghost", onClick: cancel }, words.cancel),
    ),
    isAsked && h(Question, { count, answer, download: () => void download(), words }),
    h(Quiet, { mt: ended ? 2 : 0, role: "status" }, ended && endText(ended, words, language)),
  );
}

/** @param {{ count: string, answer: () => void, download: () => void, words: Words }} props */
function Question({ count, answer, download, words }) {
  const yes = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => yes.current?.focus(), []);
  return h(
    Panel,
    {
      mt: 3,
      p: 3,
      role: "group",
      "aria-label": words.downloadAll,
      onKeyDown: (/** @type {any} */ event) => event.key === "Escape" && answer(),
    },
    h(Text, { fontSize: "sm", mb: 3 }, words.downloadMany(count)),
    h(
      Flex,
      { gap: 2, wrap: "wrap" },
      h(Button, { ref: yes, size: "sm", colorPalette: "brand", onClick: download }, words.downloadFiles(count)),
      h(Button, { size: "sm", variant: "outline", onClick: answer }, words.cancel),
    ),
  );
}

/** @param {Saved & { total: number, isCancelled: boolean }} ended @param {Words} words @param {string} language */
function endText({ saved, listed, total, isCancelled, isRefused }, words, language) {
  const counts = /** @type {const} */ ([countText(saved, language), countText(total, language)]);
  return [
    isCancelled ? words.downloadCancelled(...counts) : saved > 0 && words.downloadEnded(...counts),
    listed > 0 && words.onlyListed(listed, isRefused),
  ]
    .filter(Boolean)
    .join(" ");
}
