/** The fields by which the viewer chooses what the page shows. */

import { filterCount, STATES } from "./chosen.js";
import { Chakra, h, React, useEffect, useState } from "./elements.js";

const { Box, Button, Flex, Input, NativeSelect, Text } = Chakra;

/** @typedef {import("./types").Summary} Summary */
/** @typedef {import("./types").Words} Words */
/** @typedef {import("./chosen.js").Chosen} Chosen */
/** @typedef {import("./chosen.js").Choose} Choose */

const SEARCH_AFTER = 400; // milliseconds after the last key

/** @param {{ chosen: Chosen, choose: Choose, summary: Summary | null, words: Words }} props */
export function Filters({ chosen, choose, summary, words }) {
  const [isOpen, setIsOpen] = useState(false);
  const id = React.useId();
  const dags = (summary?.groups ?? []).map((group) => group.dag_id);
  const count = filterCount({ ...chosen, q: "" });
  return h(
    Box,
    { role: "search", display: "grid", gridTemplateColumns: { base: "1fr", lg: "minmax(14rem, 2fr) 5fr" }, gap: 3 },
    h(
      Flex,
      { gap: 2, align: "end" },
      h(SearchField, { value: chosen.q, choose, words }),
      // On a phone, what is not used is folded up.
      h(
        Button,
        {
          size: "sm",
          variant: "outline",
          display: { base: "inline-flex", md: "none" },
          "aria-expanded": isOpen,
          "aria-controls": id,
          onClick: () => setIsOpen(!isOpen),
        },
        count ? `${words.filters} (${count})` : words.filters,
      ),
    ),
    h(
      Box,
      {
        id,
        display: { base: isOpen ? "grid" : "none", md: "grid" },
        gridTemplateColumns: { base: "repeat(2, minmax(0, 1fr))", md: "repeat(5, minmax(0, 1fr))" },
        gap: 3,
      },
      h(Choice, {
        label: words.dag,
        value: chosen.dag,
        options: withAll(dags, chosen.dag, words),
        onChange: (/** @type {string} */ dag) => choose({ dag }),
      }),
      h(Choice, {
        label: words.connection,
        value: chosen.connection,
        options: withAll(summary?.connections ?? [], chosen.connection, words),
        onChange: (/** @type {string} */ connection) => choose({ connection }),
      }),
      h(Choice, {
        label: words.state,
        value: chosen.state,
        options: [
          ["", words.all],
          ...STATES.map((state) => [state, words.states[/** @type {keyof Words["states"]} */ (state)]]),
        ],
        onChange: (/** @type {string} */ state) => choose({ state }),
      }),
      h(Choice, {
        label: words.time,
        value: chosen.days,
        options: Object.entries(words.ranges),
        onChange: (/** @type {string} */ days) => choose({ days }),
      }),
      h(Choice, {
        label: words.sort,
        value: chosen.sort,
        options: Object.entries(words.orders),
        onChange: (/** @type {string} */ sort) => choose({ sort }),
      }),
    ),
  );
}

/** @param {string[]} names @param {string} kept @param {Words} words @returns {[string, string][]} */
function withAll(names, kept, words) {
  const sorted = [...new Set([...names, kept])].filter(Boolean).sort();
  return [["", words.all], ...sorted.map((name) => /** @type {[string, string]} */ ([name, name]))];
}

/** @param {{ value: string, choose: Choose, words: Words }} props */
function SearchField({ value, choose, words }) {
  const id = React.useId();
  const [text, setText] = useState(value);
  // As by the back button.
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text.trim() === value) return undefined;
    const timer = setTimeout(() => choose({ q: text.trim() }, value !== ""), SEARCH_AFTER);
    return () => clearTimeout(timer);
  }, [text]);
  return h(
    Box,
    { flex: "1 1 0", minW: 0 },
    h(Label, { htmlFor: id }, words.search),
    h(Input, {
      id,
      type: "search",
      size: "sm",
      value: text,
      maxLength: 250,
      placeholder: words.searchFor,
      onChange: (/** @type {any} */ event) => setText(event.target.value),
    }),
  );
}

/**
 * @param {{ label: string, value: string, options: [string, string][], onChange: (value: string) => void }} props
 */
function Choice({ label, value, options, onChange }) {
  const id = React.useId();
  return h(
    Box,
    { minW: 0 },
    h(Label, { htmlFor: id }, label),
    h(
      NativeSelect.Root,
      { size: "sm" },
      h(
        NativeSelect.Field,
        { id, value, onChange: (/** @type {any} */ event) => onChange(event.target.value) },
        options.map(([key, text]) => h("option", { key, value: key }, text)),
      ),
      h(NativeSelect.Indicator),
    ),
  );
}

/** @param {{ htmlFor: string, children?: any }} props */
function Label({ htmlFor, children }) {
  return h(Text, { as: "label", htmlFor, fontSize: "sm", display: "block", mb: 1 }, children);
}
