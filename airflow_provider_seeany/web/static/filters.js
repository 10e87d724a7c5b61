/** What the page shows: the viewer's choice of DAG, connection, state and time range, and the fields to choose it. */

import { Chakra, h, React } from "./elements.js";

const { Box, NativeSelect, Text } = Chakra;

/** @typedef {import("./types").Summary} Summary */
/** @typedef {import("./types").Words} Words */
/** @typedef {{ dag_id: string, conn_id: string, state: string, days: number }} Chosen */

export const NO_FILTERS = { dag_id: "", conn_id: "", state: "", days: 30 };

/** @param {{ chosen: Chosen, choose: (change: Partial<Chosen>) => void, summary: Summary | null, words: Words }} props */
export function Filters({ chosen, choose, summary, words }) {
  const groups = summary?.groups ?? [];
  /** @param {string[]} names @param {string} kept */
  const options = (names, kept) =>
    [...new Set([...names, kept])]
      .filter(Boolean)
      .sort()
      .map((name) => /** @type {[string, string]} */ ([name, name]));
  const all = /** @type {[string, string]} */ (["", words.all]);
  return h(
    Box,
    {
      display: "grid",
      gridTemplateColumns: { base: "repeat(2, minmax(0, 1fr))", md: "repeat(4, minmax(0, 12rem))" },
      gap: 3,
      role: "search",
    },
    h(Choice, {
      label: words.dag,
      value: chosen.dag_id,
      options: [
        all,
        ...options(
          groups.map((group) => group.dag_id),
          chosen.dag_id,
        ),
      ],
      onChange: (/** @type {string} */ dag_id) => choose({ dag_id }),
    }),
    h(Choice, {
      label: words.connection,
      value: chosen.conn_id,
      options: [
        all,
        ...options(
          groups.map((group) => group.conn_id),
          chosen.conn_id,
        ),
      ],
      onChange: (/** @type {string} */ conn_id) => choose({ conn_id }),
    }),
    h(Choice, {
      label: words.state,
      value: chosen.state,
      options: [all, ...Object.entries(words.states).filter(([state]) => state !== "created")],
      onChange: (/** @type {string} */ state) => choose({ state }),
    }),
    h(Choice, {
      label: words.time,
      value: String(chosen.days),
      options: Object.entries(words.ranges),
      onChange: (/** @type {string} */ days) => choose({ days: Number(days) }),
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
    null,
    h(Text, { as: "label", htmlFor: id, fontSize: "sm", display: "block", mb: 1 }, label),
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
