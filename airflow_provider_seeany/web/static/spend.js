/** The page's panel of spend: per day and per DAG, a panel for each currency. */

import { DagBars, DayChart } from "./chart.js";
import { Chakra, h, Panel } from "./elements.js";
import { daysOf, moneyText, sum, totals } from "./format.js";

const { Box, Flex, Heading, Text } = Chakra;

/** @typedef {import("./types").Summary} Summary */
/** @typedef {import("./types").Words} Words */
/** @typedef {import("./filters.js").Chosen} Chosen */

/**
 * @param {{ summary: Summary, chosen: Chosen, choose: (change: Partial<Chosen>) => void, since: number, until: number,
 *   words: Words, language: string }} props
 */
export function Spend({ summary, chosen, choose, since, until, words, language }) {
  const groups = summary.groups.filter(
    (group) =>
      (!chosen.dag_id || group.dag_id === chosen.dag_id) &&
      (!chosen.conn_id || group.conn_id === chosen.conn_id) &&
      (!chosen.state || group.state === chosen.state),
  );
  const sums = totals(groups.flatMap((group) => group.cost));
  if (sums.length === 0) return null;
  /** @param {string} unit @param {"day" | "dag_id"} by @param {string[]} names */
  const bars = (unit, by, names) =>
    names.map((name) => ({
      name,
      amount: sum(
        groups
          .filter((group) => group[by] === name)
          .flatMap((group) => group.cost.filter((money) => money.unit === unit).map((money) => money.amount)),
      ),
    }));
  const days = [...new Set([...daysOf(since, until), ...groups.map((group) => group.day)])].sort();
  const dags = [...new Set(groups.map((group) => group.dag_id))];
  return sums.map((total) =>
    h(
      Panel,
      { key: total.unit, as: "section", "aria-label": `${words.cost} ${total.unit}` },
      h(
        Flex,
        { gap: 8, direction: { base: "column", lg: "row" } },
        h(
          Box,
          { flex: "2 1 0", minW: 0 },
          h(
            Flex,
            { justify: "space-between", align: "baseline", mb: 3, gap: 3 },
            h(Heading, { as: "h2", size: "sm" }, `${words.spendPerDay} (${total.unit})`),
            h(Text, { fontSize: "xl", fontWeight: "semibold" }, moneyText(total)),
          ),
          h(DayChart, { unit: total.unit, bars: bars(total.unit, "day", days), words, language }),
        ),
        h(
          Box,
          { flex: "1 1 0", minW: 0 },
          h(Heading, { as: "h2", size: "sm", mb: 3 }, words.spendPerDag),
          h(DagBars, {
            unit: total.unit,
            bars: bars(total.unit, "dag_id", dags).filter((bar) => Number(bar.amount) !== 0),
            words,
            language,
            choose: (/** @type {string} */ dag_id) => choose({ dag_id }),
          }),
        ),
      ),
    ),
  );
}
