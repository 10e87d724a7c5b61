/** The page in the navigation: recent results of all DAGs that the viewer may read, and what they cost. */

import { address, usePoll } from "./api.js";
import { Chakra, h, InLink, LoadError, Panel, Quiet, useMemo, useState } from "./elements.js";
import { Filters, NO_FILTERS } from "./filters.js";
import { viewersZone } from "./format.js";
import { Gallery } from "./gallery.js";
import { ResultsTable } from "./results_table.js";
import { Spend } from "./spend.js";
import { useWords } from "./words.js";

const { Box, Button, Flex, Heading, Text } = Chakra;

/** @typedef {import("./types").Words} Words */
/** @typedef {import("./filters.js").Chosen} Chosen */

const PER_PAGE = 24;
const POLL_SECONDS = 15;
const DAY = 24 * 3600;

const EXAMPLE = `from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

wait = SeeAnyTaskSensor(
    task_id="wait",
    seeany_task_id="{{ params.seeany_task_id }}",
)`;

export function ResultsPage() {
  const { words, language } = useWords();
  const [chosen, setChosen] = useState(/** @type {Chosen} */ (NO_FILTERS));
  const [isTable, setIsTable] = useState(false);
  const [pages, setPages] = useState(/** @type {string[]} */ ([]));
  // Whole minutes, so that a new rendering does not change the URL.
  const until = useMemo(() => Math.ceil(Date.now() / 60_000) * 60, [chosen]);
  const range = { since: until - chosen.days * DAY };
  const { dag_id, conn_id, state } = chosen;
  const before = pages[pages.length - 1];
  const list = usePoll(address("results", { dag_id, conn_id, state, ...range, before, limit: PER_PAGE }), (data) =>
    before && data ? null : POLL_SECONDS,
  );
  const all = usePoll(address("summary", { ...range, zone: viewersZone() }), () => 4 * POLL_SECONDS);

  /** @param {Partial<Chosen>} change */
  function choose(change) {
    setChosen({ ...chosen, ...change });
    setPages([]);
  }

  const results = list.data ? [...list.data.waiting, ...list.data.results] : [];
  const isEmpty = list.data !== null && results.length === 0;
  const isFiltered = Boolean(dag_id || conn_id || state || chosen.days !== NO_FILTERS.days);
  return h(
    Flex,
    { direction: "column", gap: 5, p: { base: 2, md: 4 }, maxW: "8xl", mx: "auto", w: "100%" },
    h(Box, null, h(Heading, { as: "h1", size: "xl" }, words.title), h(Quiet, { mt: 1 }, words.intro)),
    h(Filters, { chosen, choose, summary: all.data, words }),
    all.error && !list.error && h(LoadError, { error: all.error, words }),
    all.data && h(Spend, { summary: all.data, chosen, choose, since: range.since, until, words, language }),
    h(
      Flex,
      { justify: "space-between", align: "center", gap: 3, wrap: "wrap" },
      h(Heading, { as: "h2", size: "md" }, words.results),
      h(ViewSwitch, { isTable, setIsTable, words }),
    ),
    list.error && h(LoadError, { error: list.error, words }),
    list.data === null && !list.error && h(Quiet, { role: "status" }, words.loading),
    isEmpty && h(Empty, { isFiltered, words }),
    results.length > 0 && h(isTable ? ResultsTable : Gallery, { results, words, language }),
    (pages.length > 0 || list.data?.next) &&
      h(
        Flex,
        { as: "nav", "aria-label": words.page, gap: 2, justify: "center", align: "center" },
        h(PageButton, { name: words.newer, go: pages.length > 0 ? () => setPages(pages.slice(0, -1)) : null }),
        h(Text, { fontSize: "sm" }, words.pageNumber(pages.length + 1)),
        h(PageButton, {
          name: words.older,
          go: list.data?.next ? () => setPages([...pages, /** @type {string} */ (list.data?.next)]) : null,
        }),
      ),
  );
}

/**
 * Never `disabled`, neither at the last page nor while a page loads: that would take the keyboard focus away.
 * @param {{ name: string, go: (() => void) | null }} props
 */
function PageButton({ name, go }) {
  const off = go === null ? { "aria-disabled": true, opacity: 0.5, cursor: "not-allowed" } : { onClick: go };
  return h(Button, { size: "sm", variant: "outline", ...off }, name);
}
/** @param {{ isTable: boolean, setIsTable: (isTable: boolean) => void, words: Words }} props */
function ViewSwitch({ isTable, setIsTable, words }) {
  return h(
    Flex,
    { role: "group", "aria-label": words.view, gap: 1 },
    [false, true].map((forTable) =>
      h(
        Button,
        {
          key: String(forTable),
          size: "sm",
          variant: isTable === forTable ? "solid" : "outline",
          colorPalette: "brand",
          "aria-pressed": isTable === forTable,
          onClick: () => setIsTable(forTable),
        },
        forTable ? words.table : words.gallery,
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
