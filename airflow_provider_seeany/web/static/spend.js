/** The page's panel of spend: one line, which opens to the spend per day, DAG and connection of each currency. */

import { address, usePoll } from "./api.js";
import { Bars, DayChart } from "./chart.js";
import { Chakra, h, Panel, Quiet, React } from "./elements.js";
import { costText, daysOf, moneyText, sum, totals, viewersZone } from "./format.js";

const { Box, Button, Flex, Heading, Text } = Chakra;

/** @typedef {import("./types").Group} Group */
/** @typedef {import("./types").Money} Money */
/** @typedef {import("./types").Summary} Summary */
/** @typedef {import("./types").Words} Words */
/** @typedef {import("./chosen.js").Chosen} Chosen */
/** @typedef {import("./chosen.js").Choose} Choose */

const POLL_SECONDS = 600; // what was spent in the period before hardly changes
const HOUR = 3600;

/**
 * @param {{ summary: Summary, chosen: Chosen, choose: Choose, now: number, words: Words, language: string }} props `now`:
 *   the end of the range, in Unix seconds
 */
export function Spend({ summary, chosen, choose, now, words, language }) {
  const id = React.useId();
  const isOpen = chosen.spend === "open";
  const { days } = chosen;
  const since = now - Number(days) * 24 * HOUR;
  // In whole hours, so that it is not requested anew each minute.
  const until = Math.floor(since / HOUR) * HOUR;
  const before = usePoll(address("summary", { days, until, zone: viewersZone() }), () => POLL_SECONDS);
  const groups = chosenOf(summary, chosen);
  const sums = totals(groups.flatMap((group) => group.cost));
  if (sums.length === 0) return null;
  const earlier = before.data && totals(chosenOf(before.data, chosen).flatMap((group) => group.cost));
  return h(
    Panel,
    { as: "section", "aria-label": words.spend, p: 0 },
    h(
      Button,
      {
        variant: "ghost",
        w: "100%",
        h: "auto",
        minH: 10,
        px: 4,
        py: 2,
        justifyContent: "start",
        flexWrap: "wrap",
        columnGap: 4,
        rowGap: 0,
        whiteSpace: "normal",
        textAlign: "start",
        fontWeight: "normal",
        "aria-expanded": isOpen,
        "aria-controls": id,
        onClick: () => choose({ spend: isOpen ? "" : "open" }, true),
      },
      h(
        Box,
        { as: "span" },
        h("span", { "aria-hidden": true }, isOpen ? "▾ " : "▸ "),
        words.spendIn(chosen.days),
        h(Text, { as: "strong", fontWeight: "semibold" }, costText(sums)),
      ),
      earlier && h(Quiet, { as: "span" }, beforeText(sums, earlier, words, language)),
      // Sums go by how the waits ended, whatever Airflow has made of them.
      ["failed", "timed_out"].includes(chosen.state) && h(Quiet, { as: "span" }, words.spendOfEnds),
    ),
    isOpen &&
      h(
        Flex,
        { id, direction: "column", gap: 6, px: 4, pt: 3, pb: 4 },
        sums.map((total) =>
          h(Currency, { key: total.unit, total, groups, chosen, choose, since, now, words, language }),
        ),
        h(
          Box,
          null,
          h(
            Button,
            { size: "sm", variant: "outline", asChild: true },
            h("a", { href: address("summary.csv", csvOf(chosen)), download: true }, words.exportSums),
          ),
        ),
      ),
  );
}

/** @param {Chosen} chosen */
function csvOf({ dag, connection, state, days }) {
  return { dag_id: dag, conn_id: connection, state, days, zone: viewersZone() };
}

/** @param {Summary} summary @param {Chosen} chosen */
function chosenOf(summary, chosen) {
  return summary.groups.filter(
    (group) =>
      (!chosen.dag || group.dag_id === chosen.dag) &&
      (!chosen.connection || group.conn_id === chosen.connection) &&
      (!chosen.state || group.state === chosen.state),
  );
}

/** @param {Money[]} sums @param {Money[]} earlier @param {Words} words @param {string} language */
function beforeText(sums, earlier, words, language) {
  if (earlier.length === 0) return words.nothingBefore;
  const [[now], [then]] = [sums, earlier];
  const isSame = sums.length === 1 && earlier.length === 1 && now?.unit === then?.unit && Number(then?.amount) > 0;
  const change = isSame ? Number(now?.amount) / Number(then?.amount) - 1 : null;
  const style = /** @type {const} */ ({ style: "percent", signDisplay: "exceptZero", maximumFractionDigits: 0 });
  const percent = change === null ? "" : new Intl.NumberFormat(language, style).format(change);
  return words.spendBefore(costText(earlier), percent);
}

/**
 * @param {{ total: Money, groups: Group[], chosen: Chosen, choose: Choose, since: number, now: number, words: Words,
 *   language: string }} props
 */
function Currency({ total, groups, chosen, choose, since, now, words, language }) {
  const { unit } = total;
  /** @param {"day" | "dag_id" | "conn_id"} by @param {string[]} names */
  const bars = (by, names = [...new Set(groups.map((group) => group[by]))]) =>
    names.map((name) => ({
      name,
      amount: sum(
        groups
          .filter((group) => group[by] === name)
          .flatMap((group) => group.cost.filter((money) => money.unit === unit).map((money) => money.amount)),
      ),
    }));
  const days = bars("day", [...new Set([...daysOf(since, now), ...groups.map((group) => group.day)])].sort());
  const isCharted = days.filter(({ amount }) => Number(amount) !== 0).length > 1;
  const more = { unit, words, language };
  return h(
    Box,
    { as: "section", "aria-label": `${words.cost} ${unit}` },
    h(
      Box,
      {
        display: "grid",
        gap: 6,
        gridTemplateColumns: { base: "minmax(0, 1fr)", lg: isCharted ? "2fr 1fr 1fr" : "1fr 1fr" },
      },
      isCharted &&
        h(
          Box,
          { minW: 0 },
          h(Title, null, `${words.spendPerDay} (${unit}) · ${moneyText(total)}`),
          h(DayChart, { bars: days, ...more }),
        ),
      h(
        Box,
        { minW: 0 },
        h(Title, null, isCharted ? words.spendPerDag : `${words.spendPerDag} (${unit})`),
        h(Bars, {
          bars: bars("dag_id"),
          choose: chosen.dag ? null : (/** @type {string} */ dag) => choose({ dag }),
          ...more,
        }),
      ),
      h(
        Box,
        { minW: 0 },
        h(Title, null, words.spendPerConnection),
        h(Bars, {
          bars: bars("conn_id"),
          choose: chosen.connection ? null : (/** @type {string} */ connection) => choose({ connection }),
          ...more,
        }),
      ),
    ),
  );
}

/** @param {{ children?: any }} props */
function Title({ children }) {
  return h(Heading, { as: "h3", size: "sm", mb: 3 }, children);
}
