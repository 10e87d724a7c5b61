/** Bar charts: spend per day, and per DAG or connection, in one currency. */

import { Chakra, h, useState } from "./elements.js";
import { countText, dayText, moneyText } from "./format.js";

const { Box, Flex, Text } = Chakra;

/** @typedef {{ name: string, amount: string }} Bar */
/** @typedef {import("./types").Words} Words */

const HEIGHT = 120;

/**
 * One bar a day, with the same numbers in a table for screen readers.
 * @param {{ unit: string, bars: Bar[], words: Words, language: string }} props
 */
export function DayChart({ unit, bars, words, language }) {
  const maximum = Math.max(...bars.map((bar) => Number(bar.amount)), 0) || 1;
  const highest = bars.find((bar) => Number(bar.amount) === maximum);
  const label = `${words.spendPerDay}, ${unit}`;
  const edge = { fontSize: "xs", color: "fg.muted" };
  return h(
    Box,
    { position: "relative" },
    // Above the highest bar, on the line that it reaches.
    highest && h(Text, { ...edge, "data-top": true, "aria-hidden": true }, moneyText({ unit, amount: highest.amount })),
    h(
      Flex,
      {
        align: "end",
        gap: "2px",
        h: `${HEIGHT}px`,
        borderYWidth: 1,
        borderTopStyle: "dashed",
        borderColor: "border.emphasized",
        "aria-hidden": true,
      },
      bars.map(({ name, amount }) =>
        h(Box, {
          key: name,
          "data-bar": name,
          title: `${dayText(name, language)}: ${moneyText({ unit, amount })}`,
          flex: "1 1 0",
          minW: "1px",
          maxW: 12,
          h: `${(100 * Number(amount)) / maximum}%`,
          minH: Number(amount) > 0 ? "3px" : 0,
          bg: "brand.solid",
          borderTopRadius: "2px",
          _hover: { opacity: 0.75 },
        }),
      ),
    ),
    h(
      Flex,
      { justify: "space-between", mt: 1, "aria-hidden": true },
      h(Text, edge, dayText(bars[0]?.name ?? "1970-01-01", language)),
      bars.length > 1 && h(Text, edge, dayText(bars[bars.length - 1]?.name ?? "1970-01-01", language)),
    ),
    h(NumbersTable, { label, unit, bars: bars.filter((bar) => Number(bar.amount) !== 0), words, language }),
  );
}

/** @param {{ label: string, unit: string, bars: Bar[], words: Words, language: string }} props */
function NumbersTable({ label, unit, bars, words, language }) {
  // Hidden around the table: a table grows to its content whatever its height, and the page would grow with it.
  return h(
    Chakra.VisuallyHidden,
    { as: "div" },
    h(
      "table",
      null,
      h("caption", null, label),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, words.day), h("th", { scope: "col" }, words.cost))),
      h(
        "tbody",
        null,
        bars.map(({ name, amount }) =>
          h(
            "tr",
            { key: name },
            h("th", { scope: "row" }, dayText(name, language)),
            h("td", null, moneyText({ unit, amount })),
          ),
        ),
      ),
    ),
  );
}

const SHOWN = 5;

/**
 * One bar a name, the highest cost first; the others when they are asked for.
 * @param {{ unit: string, bars: Bar[], words: Words, language: string, choose: ((name: string) => void) | null }} props
 *   `choose`: `null` if there is nothing to choose
 */
export function Bars({ unit, bars, words, language, choose }) {
  const [isWhole, setIsWhole] = useState(false);
  const maximum = Math.max(...bars.map((bar) => Number(bar.amount)), 0) || 1;
  const sorted = bars
    .filter(({ amount }) => Number(amount) !== 0)
    .sort((one, other) => Number(other.amount) - Number(one.amount));
  const left = sorted.length - SHOWN;
  return h(
    Flex,
    { as: "ul", direction: "column", gap: 2, listStyleType: "none", p: 0 },
    (isWhole ? sorted : sorted.slice(0, SHOWN)).map(({ name, amount }) =>
      h(
        "li",
        { key: name },
        h(
          Flex,
          { justify: "space-between", gap: 3, fontSize: "sm" },
          choose ? h(TextButton, { onClick: () => choose(name) }, name) : h(Text, { wordBreak: "break-all" }, name),
          h(Text, { fontWeight: "medium", whiteSpace: "nowrap" }, moneyText({ unit, amount })),
        ),
        h(
          Box,
          { h: 2, borderRadius: "full", bg: "bg.emphasized", mt: 1, "aria-hidden": true },
          h(Box, {
            "data-name": name,
            h: 2,
            borderRadius: "full",
            bg: "brand.solid",
            w: `${(100 * Number(amount)) / maximum}%`,
          }),
        ),
      ),
    ),
    left > 0 &&
      h(
        Box,
        { as: "li", fontSize: "sm" },
        h(
          TextButton,
          { onClick: () => setIsWhole(!isWhole), "aria-expanded": isWhole },
          isWhole ? words.less : words.andMore(countText(left, language)),
        ),
      ),
  );
}

/** @param {{ children?: any, [more: string]: any }} props */
function TextButton({ children, ...more }) {
  const style = { color: "fg.info", wordBreak: "break-all", textAlign: "start" };
  return h(Chakra.Link, { as: "button", type: "button", ...style, ...more }, children);
}
