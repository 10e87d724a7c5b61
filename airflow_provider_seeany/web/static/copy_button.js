/** A button that copies a text, which may have to be loaded first. */

import { Chakra, copy, h, useEffect, useState } from "./elements.js";

/** @param {{ name: string, text: () => string | Promise<string>, words: import("./types").Words }} props */
export function CopyTextButton({ name, text, words }) {
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
      size: "sm",
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
