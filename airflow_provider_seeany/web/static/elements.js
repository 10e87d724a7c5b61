/** React and Chakra, which Airflow shares with plugins, and the elements that page and tab both use. */

import { isWebUrl, momentText, shortMomentText } from "./format.js";

/** @type {any} */
const shared = globalThis;

export const React = shared.React;
export const Chakra = shared.ChakraUI;
export const { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } = React;

/** Create an element. Strings become text nodes: this UI never parses HTML. */
export const h = React.createElement;

const { Badge, Box, Button, Flex, Text } = Chakra;

const PALETTES = {
  waiting: "deferred",
  created: "scheduled",
  downloading: "running",
  completed: "success",
  failed: "failed",
  timed_out: "failed",
  retrying: "up_for_retry",
  skipped: "skipped",
};

/**
 * A state, and behind it a mark if the result is partial, or the Airflow task has failed after it.
 * @param {{
 *   state: import("./types").State, isPartial: boolean, isTaskFailed?: boolean, words: import("./types").Words
 * }} props
 */
export function StateBadge({ state, isPartial, isTaskFailed = false, words }) {
  return h(
    Flex,
    { as: "span", alignItems: "center", gap: 1.5, display: "inline-flex", fontSize: "sm", whiteSpace: "nowrap" },
    h(Box, {
      as: "span",
      boxSize: 2.5,
      borderRadius: "full",
      flexShrink: 0,
      colorPalette: PALETTES[state],
      bg: "colorPalette.solid",
      "aria-hidden": true,
    }),
    h("span", null, words.states[state]),
    [isPartial && words.partial, isTaskFailed && words.taskFailedMark]
      .filter(Boolean)
      .map((mark) => h(Badge, { key: mark, colorPalette: "orange", variant: "surface", fontWeight: "normal" }, mark)),
  );
}

/**
 * A link to another site; plain text if the address is not http(s).
 * @param {{ href: string | null | undefined, children?: any, [more: string]: any }} props
 */
export function OutLink({ href, children, ...more }) {
  if (!isWebUrl(href)) return h(Text, { as: "span", ...more }, children);
  return h(
    Chakra.Link,
    { href, target: "_blank", rel: "noopener noreferrer", color: "fg.info", wordBreak: "break-all", ...more },
    children,
  );
}

/**
 * A link within Airflow, below its path prefix.
 * @param {{ to: string, children?: any, [more: string]: any }} props
 */
export function InLink({ to, children, ...more }) {
  const router = shared.ReactRouterDOM;
  const style = { color: "fg.info", fontWeight: "medium", wordBreak: "break-word", ...more };
  if (router?.Link) return h(Chakra.Link, { asChild: true, ...style }, h(router.Link, { to }, children));
  return h(Chakra.Link, { href: new URL(to.replace(/^\//, ""), document.baseURI).href, ...style }, children);
}

/**
 * A time as Airflow's UI writes it, with the same in UTC as its title.
 * @param {{ at: number, isShort?: boolean }} props
 */
export function Moment({ at, isShort = false }) {
  const text = isShort ? shortMomentText(at) : momentText(at);
  return h("time", { title: `${momentText(at, "UTC")} UTC`, style: { whiteSpace: "nowrap" } }, text);
}

/**
 * Copies URLs, one per line, or with a label of its own another text.
 * @param {{ urls: string[], label?: string, size?: string, words: import("./types").Words }} props
 */
export function CopyButton({ urls, label = "", size = "sm", words }) {
  const [outcome, setOutcome] = useState("");
  useEffect(() => {
    if (!outcome) return undefined;
    const timer = setTimeout(() => setOutcome(""), 2000);
    return () => clearTimeout(timer);
  }, [outcome]);
  return h(
    Button,
    {
      size,
      variant: "outline",
      onClick: () =>
        void copy(urls.join("\n")).then(
          () => setOutcome(words.copied),
          () => setOutcome(words.notCopied),
        ),
    },
    h("span", { "aria-live": "polite" }, outcome || label || words.copyUrl(urls.length)),
  );
}

/** @param {string} text */
export async function copy(text) {
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
  document.execCommand("copy");
  area.remove();
}

/**
 * Why the data could not be loaded.
 * @param {{ error: any, words: import("./types").Words }} props
 */
export function LoadError({ error, words }) {
  const texts = /** @type {Record<number, string>} */ ({
    401: words.signIn,
    403: words.forbidden,
    404: words.notThere,
    503: words.busy,
  });
  const other = error.status ? words.httpError(error.status) : words.noResponse;
  return h(Box, { role: "alert" }, h(Notice, { title: words.failedToLoad }, texts[error.status] ?? other));
}

/** @param {{ children?: any, [more: string]: any }} props */
export function Quiet({ children, ...more }) {
  return h(Text, { color: "fg.muted", fontSize: "sm", ...more }, children);
}

/** @param {{ children?: any, [more: string]: any }} props */
export function Panel({ children, ...more }) {
  return h(
    Box,
    { borderWidth: 1, borderColor: "border.emphasized", borderRadius: "lg", bg: "bg", p: 4, minW: 0, ...more },
    children,
  );
}

/**
 * @param {{ title: string, children?: any, status?: "error" | "warning" | "info", [more: string]: any }} props
 */
export function Notice({ title, children, status = "error", ...more }) {
  const { Alert } = Chakra;
  return h(
    Alert.Root,
    { status, variant: "outline", alignItems: "start", ...more },
    h(Alert.Indicator, { "aria-hidden": true }),
    h(
      Alert.Content,
      { minW: 0 },
      h(Alert.Title, null, title),
      h(Alert.Description, { wordBreak: "break-word", whiteSpace: "pre-wrap" }, children),
    ),
  );
}

/**
 * Names and values, without those that are not known.
 * @param {{ facts: [string, any][] }} props the values are texts or elements
 */
export function FactList({ facts }) {
  return h(
    Box,
    { as: "dl", display: "grid", gridTemplateColumns: "max-content minmax(0, 1fr)", columnGap: 6, rowGap: 2 },
    facts
      .filter(([, value]) => value)
      .flatMap(([name, value]) => [
        h(Text, { as: "dt", key: name, color: "fg.muted" }, name),
        h(Text, { as: "dd", key: `${name} value`, fontWeight: "medium", m: 0, overflowWrap: "anywhere" }, value),
      ]),
  );
}

/**
 * A name in a table, on one line; only a very long one wraps.
 * @param {{ children?: any }} props
 */
export function Name({ children }) {
  const maxW = { base: "45vw", md: "24rem" };
  return h(Box, { display: "inline-block", w: "max-content", maxW, overflowWrap: "anywhere" }, children);
}

/** @param {{ children?: any }} props */
export function Tag({ children }) {
  return h(Badge, { variant: "surface", fontWeight: "normal" }, children);
}
