/** Buttons that copy a text. */

import { Chakra, h, useEffect, useState } from "./elements.js";

/**
 * Copies a text, which may have to be loaded first.
 * @param {{ name: string, text: () => string | Promise<string>, size?: string, words: import("./types").Words }} props
 */
export function CopyButton({ name, text, size = "sm", words }) {
  const [outcome, setOutcome] = useState("");
  useEffect(() => {
    if (!outcome) return undefined;
    const timer = setTimeout(() => setOutcome(""), 2000);
    return () => clearTimeout(timer);
  }, [outcome]);
  async function run() {
    await copy(await text());
  }
  return h(
    Chakra.Button,
    {
      size,
      variant: "outline",
      onClick: () =>
        void run().then(
          () => setOutcome(words.copied),
          () => setOutcome(words.notCopied),
        ),
    },
    h("span", { "aria-live": "polite" }, outcome || name),
  );
}

/** @param {string} text */
async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Browsers offer no clipboard to pages loaded over plain HTTP from another machine.
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  area.style.opacity = "0";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) throw new Error("not copied");
}
