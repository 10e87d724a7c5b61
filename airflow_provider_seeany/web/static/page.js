/** The page in the navigation: recent results of all DAGs that the viewer may read, and what they cost. */

import { address, usePoll } from "./api.js";
import { filterCount, MAX_LISTED, PER_PAGE, useChosen } from "./chosen.js";
import { CopyButton } from "./copy_button.js";
import { Chakra, h, LoadError, Quiet, useEffect, useMemo, useSyncExternalStore } from "./elements.js";
import { Empty, NoneFound } from "./empty.js";
import { Filters } from "./filters.js";
import { countText, viewersZone } from "./format.js";
import { Gallery } from "./gallery.js";
import { ResultsTable } from "./results_table.js";
import { Spend } from "./spend.js";
import { useWords } from "./words.js";

const { Box, Button, Flex, Heading } = Chakra;

/** @typedef {import("./types").ResultsResponse} ResultsResponse */
/** @typedef {import("./types").Words} Words */
/** @typedef {import("./chosen.js").Chosen} Chosen */
/** @typedef {import("./chosen.js").Choose} Choose */

const POLL_SECONDS = 15;

/** The end of this minute, in Unix seconds. */
function wholeMinute() {
  return Math.ceil(Date.now() / 60_000) * 60;
}

export function ResultsPage() {
  const { words, language } = useWords();
  const { chosen, choose, clear } = useChosen();
  const isNarrow = useIsNarrow();
  const page = Number(chosen.page);
  // Whole minutes, so that a new rendering does not change the URL.
  const opened = useMemo(wholeMinute, [chosen.days, chosen.page, chosen.sort]);
  const until = Number(chosen.until) || opened;
  const { dag, connection, state, q, days } = chosen;
  const filters = { dag_id: dag, conn_id: connection, state, search: q, days };
  // What ends meanwhile moves only the first page of the newest: in another order nobody could tell what it has moved.
  const isLive = page === 1 && (chosen.sort === "newest" || chosen.state === "waiting");
  // The server computes the range at each poll: it moves with the clock, however long the page is open.
  const found = { ...filters, until: isLive ? "" : until };
  const offset = (page - 1) * PER_PAGE;
  const list = usePoll(
    address("results", { ...found, order: chosen.sort, offset, limit: PER_PAGE }),
    (/** @type {ResultsResponse | null} */ data) => (isLive || data === null ? POLL_SECONDS : null),
  );
  const last = list.data && Math.max(1, Math.ceil(Math.min(list.data.total, MAX_LISTED - PER_PAGE) / PER_PAGE));
  useEffect(() => {
    if (last !== null && page > last) choose({ page: String(last) }, true);
  }, [last, page]);
  // With all that this page shows, also if its browser's clock is behind or it has been open for long.
  const newest = Math.max(Math.ceil(Date.now() / 1000), (list.data?.results[0]?.at ?? 0) + 1);
  const zone = viewersZone();
  const all = usePoll(address("summary", { days, zone }), () => 4 * POLL_SECONDS);
  const now = useMemo(wholeMinute, [all.data]);

  const results = list.data ? [...list.data.waiting, ...list.data.results] : [];
  const isTable = chosen.view === "table";
  return h(
    Flex,
    { direction: "column", gap: { base: 3, md: 4 }, p: { base: 2, md: 4 }, maxW: "8xl", mx: "auto", w: "100%" },
    h(Box, null, h(Heading, { as: "h1", size: "xl" }, words.title), h(Quiet, { mt: 1 }, words.intro)),
    h(Filters, { chosen, choose, summary: all.data, words }),
    all.error && !list.error && h(LoadError, { error: all.error, words }),
    // The sums are not those of a search.
    all.data && !chosen.q && h(Spend, { summary: all.data, chosen, choose, now, words, language }),
    h(
      Flex,
      { justify: "space-between", align: "center", gap: 2, wrap: "wrap" },
      h(
        Flex,
        { align: "baseline", gap: 3 },
        h(Heading, { as: "h2", size: "md" }, words.results),
        list.data && h(Quiet, { as: "span", role: "status" }, countOf(list.data, offset, words, language)),
      ),
      h(
        Flex,
        { gap: 2, wrap: "wrap" },
        h(ViewSwitch, { isTable, choose, words }),
        results.length > 0 && h(Export, { found, words }),
      ),
    ),
    list.error && h(LoadError, { error: list.error, words }),
    list.data === null && !list.error && h(Quiet, { role: "status" }, words.loading),
    list.data !== null &&
      results.length === 0 &&
      page === 1 &&
      (filterCount(chosen) ? h(NoneFound, { clear, words }) : h(Empty, { words })),
    results.length > 0 &&
      (isTable && !isNarrow
        ? h(ResultsTable, { results, chosen, choose, words, language })
        : h(Gallery, { results, words, language, isCompact: isTable })),
    h(Pages, { page, last, choose, until: String(isLive ? newest : until), words, language }),
  );
}

/** @param {ResultsResponse} data @param {number} offset @param {Words} words @param {string} language */
function countOf({ waiting, results, total }, offset, words, language) {
  const [first, last, all] = [offset + 1, offset + results.length, Math.min(total, MAX_LISTED)].map((number) =>
    countText(number, language),
  );
  const range = results.length > 0 && words.shownOf(`${first}–${last}`, total > MAX_LISTED ? `${all}+` : `${all}`);
  return [waiting.length > 0 && words.waitingCount(countText(waiting.length, language)), range]
    .filter(Boolean)
    .join(" · ");
}

/** @param {{ found: Record<string, any>, words: Words }} props */
function Export({ found, words }) {
  async function urls() {
    const response = await fetch(address("results/urls", found), { credentials: "same-origin" });
    if (!response.ok) throw new Error(String(response.status));
    return response.text();
  }
  return h(
    Flex,
    { gap: 2 },
    h(
      Button,
      { size: "sm", variant: "outline", asChild: true },
      h("a", { href: address("results.csv", found), download: true }, words.exportCsv),
    ),
    h(CopyButton, { name: words.copyAllUrls, text: urls, words }),
  );
}

/**
 * @param {{ page: number, last: number | null, until: string, choose: Choose, words: Words, language: string }} props
 */
function Pages({ page, last, until, choose, words, language }) {
  const hasNext = last !== null && page < last;
  if (page === 1 && !hasNext) return null;
  /** @param {number} number */
  const go = (number) => () => choose({ page: String(number), until: number > 1 ? until : "" });
  return h(
    Flex,
    { as: "nav", "aria-label": words.pages, gap: 3, justify: "center", align: "center" },
    h(PageButton, { name: words.previous, go: page > 1 ? go(page - 1) : null }),
    h(Chakra.Text, { fontSize: "sm" }, words.pageNumber(countText(page, language))),
    h(PageButton, { name: words.next, go: hasNext ? go(page + 1) : null }),
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

/** @param {{ isTable: boolean, choose: Choose, words: Words }} props */
function ViewSwitch({ isTable, choose, words }) {
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
          onClick: () => choose({ view: forTable ? "table" : "gallery" }),
        },
        forTable ? words.table : words.gallery,
      ),
    ),
  );
}

const NARROW = matchMedia("(max-width: 47.99rem)");

/** @param {() => void} changed */
function watchWidth(changed) {
  NARROW.addEventListener("change", changed);
  return () => NARROW.removeEventListener("change", changed);
}

/** Whether the window is too narrow for a table. */
function useIsNarrow() {
  return useSyncExternalStore(watchWidth, () => NARROW.matches);
}
