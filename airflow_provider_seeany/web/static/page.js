/** The page in the navigation: recent results of all DAGs that the viewer may read, and what they cost. */

import { address, useAnswer } from "./api.js";
import { DagBars, DayChart } from "./chart.js";
import {
  Chakra,
  h,
  InLink,
  Name,
  OutLink,
  Panel,
  Quiet,
  React,
  StateBadge,
  Tag,
  useMemo,
  useState,
} from "./elements.js";
import {
  costText,
  countText,
  daysOf,
  momentText,
  moneyText,
  shortMomentText,
  sum,
  tabPath,
  taskName,
  totals,
  viewersZone,
} from "./format.js";
import { Preview } from "./media.js";
import { batchText, Trouble } from "./tab.js";
import { useWords } from "./words.js";

const { Box, Button, Flex, Heading, NativeSelect, Progress, Table, Text } = Chakra;

/** @typedef {import("./types").Result} Result */
/** @typedef {import("./types").Summary} Summary */
/** @typedef {import("./types").Words} Words */
/** @typedef {{ dag_id: string, conn_id: string, state: string, days: number }} Chosen */

const PER_PAGE = 24;
const SECONDS_BETWEEN_LOOKS = 15;
const DAY = 24 * 3600;
const NOTHING_CHOSEN = { dag_id: "", conn_id: "", state: "", days: 30 };

const EXAMPLE = `from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

wait = SeeAnyTaskSensor(
    task_id="wait",
    seeany_task_id="{{ params.seeany_task_id }}",
)`;

export function ResultsPage() {
  const { words, language } = useWords();
  const [chosen, setChosen] = useState(/** @type {Chosen} */ (NOTHING_CHOSEN));
  const [isTable, setIsTable] = useState(false);
  const [pages, setPages] = useState(/** @type {string[]} */ ([]));
  // Whole minutes, so that the same question is not a new one at each drawing.
  const until = useMemo(() => Math.ceil(Date.now() / 60_000) * 60, [chosen]);
  const range = { since: until - chosen.days * DAY };
  const { dag_id, conn_id, state } = chosen;
  const before = pages[pages.length - 1];
  const list = useAnswer(address("results", { dag_id, conn_id, state, ...range, before, limit: PER_PAGE }), (answer) =>
    before && answer ? null : SECONDS_BETWEEN_LOOKS,
  );
  const all = useAnswer(address("summary", { ...range, zone: viewersZone() }), () => 4 * SECONDS_BETWEEN_LOOKS);

  /** @param {Partial<Chosen>} change */
  function choose(change) {
    setChosen({ ...chosen, ...change });
    setPages([]);
  }

  const results = list.answer ? [...list.answer.waiting, ...list.answer.results] : [];
  const isEmpty = list.answer !== null && results.length === 0;
  const isFiltered = Boolean(dag_id || conn_id || state || chosen.days !== NOTHING_CHOSEN.days);
  return h(
    Flex,
    { direction: "column", gap: 5, p: { base: 2, md: 4 }, maxW: "8xl", mx: "auto", w: "100%" },
    h(Box, null, h(Heading, { as: "h1", size: "xl" }, words.title), h(Quiet, { mt: 1 }, words.intro)),
    h(Filters, { chosen, choose, summary: all.answer, words }),
    all.error && !list.error && h(Trouble, { error: all.error, words }),
    all.answer && h(Spend, { summary: all.answer, chosen, choose, since: range.since, until, words, language }),
    h(
      Flex,
      { justify: "space-between", align: "center", gap: 3, wrap: "wrap" },
      h(Heading, { as: "h2", size: "md" }, words.results),
      h(ViewSwitch, { isTable, setIsTable, words }),
    ),
    list.error && h(Trouble, { error: list.error, words }),
    list.answer === null && !list.error && h(Quiet, { role: "status" }, words.loading),
    isEmpty && h(Empty, { isFiltered, words }),
    results.length > 0 && h(isTable ? ResultsTable : Gallery, { results, words, language }),
    (pages.length > 0 || list.answer?.next) &&
      h(
        Flex,
        { as: "nav", "aria-label": words.page, gap: 2, justify: "center", align: "center" },
        h(PageButton, { name: words.newer, go: pages.length > 0 ? () => setPages(pages.slice(0, -1)) : null }),
        h(Text, { fontSize: "sm" }, `${words.page} ${pages.length + 1}`),
        h(PageButton, {
          name: words.older,
          go: list.answer?.next ? () => setPages([...pages, /** @type {string} */ (list.answer?.next)]) : null,
        }),
      ),
  );
}

/**
 * Not `disabled` where it leads nowhere, and not while a page loads: that would take the keyboard's focus away.
 * @param {{ name: string, go: (() => void) | null }} props
 */
function PageButton({ name, go }) {
  const off = go === null ? { "aria-disabled": true, opacity: 0.5, cursor: "not-allowed" } : { onClick: go };
  return h(Button, { size: "sm", variant: "outline", ...off }, name);
}

/** @param {{ chosen: Chosen, choose: (change: Partial<Chosen>) => void, summary: Summary | null, words: Words }} props */
function Filters({ chosen, choose, summary, words }) {
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
      options: [all, ...Object.entries(words.states)],
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

/**
 * @param {{ summary: Summary, chosen: Chosen, choose: (change: Partial<Chosen>) => void, since: number, until: number,
 *   words: Words, language: string }} props
 */
function Spend({ summary, chosen, choose, since, until, words, language }) {
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
            h(Text, { fontSize: "xl", fontWeight: "semibold" }, moneyText(total, language)),
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

/** @param {{ isTable: boolean, setIsTable: (isTable: boolean) => void, words: Words }} props */
function ViewSwitch({ isTable, setIsTable, words }) {
  return h(
    Flex,
    { role: "group", "aria-label": words.view, gap: 1 },
    [false, true].map((wantsTable) =>
      h(
        Button,
        {
          key: String(wantsTable),
          size: "sm",
          variant: isTable === wantsTable ? "solid" : "outline",
          colorPalette: "brand",
          "aria-pressed": isTable === wantsTable,
          onClick: () => setIsTable(wantsTable),
        },
        wantsTable ? words.table : words.gallery,
      ),
    ),
  );
}

/** @param {{ isFiltered: boolean, words: Words }} props */
function Empty({ isFiltered, words }) {
  return h(
    Panel,
    { py: 8, textAlign: "center" },
    h(Heading, { as: "h3", size: "sm", mb: 2 }, isFiltered ? words.emptyFiltered : words.emptyTitle),
    !isFiltered && h(Quiet, { mb: 2 }, words.emptyHow),
    !isFiltered && h(Box, { mb: 4 }, h(InLink, { to: "/connections" }, words.connections)),
    !isFiltered &&
      h(
        Box,
        {
          as: "pre",
          tabIndex: 0,
          focusVisibleRing: "outside",
          display: "inline-block",
          textAlign: "start",
          fontSize: "sm",
          p: 4,
          borderRadius: "md",
          bg: "bg.muted",
          maxW: "100%",
          overflowX: "auto",
        },
        EXAMPLE,
      ),
  );
}

/** @param {{ results: Result[], words: Words, language: string }} props */
function Gallery({ results, words, language }) {
  return h(
    Box,
    {
      as: "ul",
      display: "grid",
      gridTemplateColumns: "repeat(auto-fill, minmax(min(15rem, 100%), 1fr))",
      gap: 4,
      listStyleType: "none",
      p: 0,
    },
    results.map((result) => h(Card, { key: keyOf(result), result, words, language })),
  );
}

/** @param {Result} result */
function keyOf(result) {
  // With the moment: a task instance that waits anew may still have the record of an earlier wait.
  return [result.dag_id, result.run_id, result.task_id, result.map_index, result.state, result.at].join("\n");
}

/** @param {{ result: Result, words: Words, language: string }} props */
function Card({ result, words, language }) {
  const [playing, setPlaying] = useState(false);
  const start = () => setPlaying(true);
  const stop = () => setPlaying(false);
  return h(
    Panel,
    {
      as: "li",
      p: 3,
      display: "flex",
      flexDirection: "column",
      gap: 2,
      onMouseEnter: start,
      onMouseLeave: stop,
      onFocus: start,
      onBlur: stop,
    },
    h(CardTop, { result, words, playing, language }),
    h(
      Flex,
      { justify: "space-between", gap: 2, align: "baseline" },
      h(InLink, { to: tabPath(result) }, taskName(result)),
      h(Text, { fontWeight: "semibold", whiteSpace: "nowrap" }, costText(result.cost, language)),
    ),
    h(Quiet, { truncate: true, title: result.dag_id }, result.dag_id),
    h(
      Flex,
      { justify: "space-between", gap: 2, align: "center", wrap: "wrap", mt: "auto" },
      h(StateBadge, { state: result.state, words }),
      result.at !== null &&
        result.state !== "waiting" &&
        h(Quiet, { as: "span", title: momentText(result.at, language) }, shortMomentText(result.at, language)),
    ),
  );
}

/** @param {{ result: Result, words: Words, playing: boolean, language: string }} props */
function CardTop({ result, words, playing, language }) {
  if (result.video_url || result.first_result) {
    const label = `${words.made} ${result.seeany_task_id ?? ""}`;
    return h(
      Box,
      { position: "relative" },
      h(Preview, { result, label, words, playing }),
      h(
        Flex,
        { position: "absolute", bottom: 2, insetEnd: 2, gap: 1 },
        h(
          Tag,
          null,
          result.duration === null ? words.files(result.results) : words.seconds(countText(result.duration, language)),
        ),
      ),
    );
  }
  const batch =
    result.total !== null &&
    `${words.batch} · ${countText(result.completed ?? 0, language)} / ${countText(result.total, language)}`;
  return h(
    Flex,
    {
      aspectRatio: "16 / 9",
      borderRadius: "md",
      bg: "bg.muted",
      p: 3,
      direction: "column",
      justify: "center",
      gap: 2,
      overflow: "hidden",
    },
    batch && h(Text, { fontWeight: "medium", textAlign: "center" }, batch),
    result.error_code && h(Text, { fontSize: "sm", fontWeight: "semibold", wordBreak: "break-all" }, result.error_code),
    result.error_message &&
      !batch &&
      h(Text, { fontSize: "sm", lineClamp: 3, wordBreak: "break-word" }, result.error_message),
    result.state === "waiting" && h(SmallProgress, { percent: result.percent, words }),
  );
}

/** @param {{ percent: number | null, words: Words }} props */
function SmallProgress({ percent, words }) {
  return h(
    Box,
    null,
    h(
      Text,
      { fontSize: "sm", mb: 1, textAlign: "center" },
      percent === null ? words.states.waiting : `${Math.floor(percent)} %`,
    ),
    h(
      Progress.Root,
      { value: percent, size: "sm", colorPalette: "brand" },
      h(Progress.Track, { borderRadius: "full", "aria-label": words.progress }, h(Progress.Range)),
    ),
  );
}

/** @param {{ results: Result[], words: Words, language: string }} props */
function ResultsTable({ results, words, language }) {
  const names = [words.task, words.dag, words.state, words.made, words.cost, words.connection, words.finishedAt];
  return h(
    Box,
    { overflowX: "auto", tabIndex: 0, role: "region", "aria-label": words.results, focusVisibleRing: "outside" },
    h(
      Table.Root,
      { size: "sm", striped: true },
      h(
        Table.Header,
        null,
        h(
          Table.Row,
          null,
          names.map((name) => h(Table.ColumnHeader, { key: name, whiteSpace: "nowrap" }, name)),
        ),
      ),
      h(
        Table.Body,
        null,
        results.map((result) =>
          h(
            Table.Row,
            { key: keyOf(result) },
            h(Table.Cell, null, h(Name, null, h(InLink, { to: tabPath(result) }, taskName(result)))),
            h(Table.Cell, null, h(Name, null, result.dag_id)),
            h(Table.Cell, null, h(StateBadge, { state: result.state, words })),
            h(Table.Cell, { maxW: "24rem" }, h(Made, { result, words, language })),
            h(Table.Cell, { whiteSpace: "nowrap" }, costText(result.cost, language) || "–"),
            h(Table.Cell, null, h(Name, null, result.conn_id ?? "–")),
            h(
              Table.Cell,
              result.at === null ? {} : { whiteSpace: "nowrap", title: momentText(result.at, language) },
              result.at === null || result.state === "waiting" ? "–" : shortMomentText(result.at, language),
            ),
          ),
        ),
      ),
    ),
  );
}

/** @param {{ result: Result, words: Words, language: string }} props */
function Made({ result, words, language }) {
  if (result.video_url) return h(OutLink, { href: result.video_url, whiteSpace: "nowrap" }, words.openOriginal);
  if (result.first_result)
    return h(OutLink, { href: result.first_result, whiteSpace: "nowrap" }, words.files(result.results));
  if (result.total !== null) return batchText(result, words, language);
  if (result.percent !== null) return `${Math.floor(result.percent)} %`;
  return h(Text, { lineClamp: 2 }, result.error_code ?? result.error_message ?? "–");
}
