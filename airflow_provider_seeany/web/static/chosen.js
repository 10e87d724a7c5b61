/** What the viewer has chosen on the page. It is in the address, so that reload, back button and links keep it. */

import { useCallback, useSyncExternalStore } from "./elements.js";

/** @typedef {typeof DEFAULTS} Chosen */

/** By the names in the address, which has only what differs. `until` holds the end of the range from page 2 on. */
export const DEFAULTS = {
  q: "",
  dag: "",
  connection: "",
  state: "",
  days: "30",
  sort: "newest",
  view: "gallery",
  spend: "",
  page: "1",
  until: "",
};

/** These decide which results are found. */
const FILTERS = /** @type {const} */ (["q", "dag", "connection", "state", "days"]);
const NO_FILTERS = /** @type {Partial<Chosen>} */ (Object.fromEntries(FILTERS.map((name) => [name, DEFAULTS[name]])));

export const STATES = ["waiting", "completed", "failed", "timed_out", "retrying", "skipped"];
export const PER_PAGE = 24;
export const MAX_LISTED = 10_000;

/** Of parameters with few values: another one is as good as none. @type {Record<string, string[]>} */
const VALUES = {
  state: STATES,
  days: ["1", "7", "30", "90", "366"],
  sort: ["newest", "oldest", "highest_cost", "lowest_cost"],
  view: ["gallery", "table"],
  spend: ["open"],
};

/** @param {string} name @param {string | null} value */
function read(name, value) {
  const fallback = DEFAULTS[/** @type {keyof Chosen} */ (name)];
  if (value === null || (VALUES[name] && !VALUES[name].includes(value))) return fallback;
  if (name === "page") {
    const last = Math.floor(MAX_LISTED / PER_PAGE);
    return /^[1-9]\d{0,4}$/.test(value) ? String(Math.min(Number(value), last)) : fallback;
  }
  return name === "until" && !/^\d{1,11}$/.test(value) ? fallback : value;
}

/** @param {Chosen} chosen */
export function filterCount(chosen) {
  return FILTERS.filter((name) => chosen[name] !== DEFAULTS[name]).length;
}

/** @type {Set<() => void>} */
const watchers = new Set();

/** @param {() => void} changed */
function watchAddress(changed) {
  watchers.add(changed);
  window.addEventListener("popstate", changed);
  return () => {
    watchers.delete(changed);
    window.removeEventListener("popstate", changed);
  };
}

/**
 * Not by Airflow's router, which would create the whole page anew, and so take the keyboard's focus away. It does so on
 * the way back, where it finds its own numbers of the entries, `idx`.
 * @param {string} query @param {boolean} replaces
 */
function setAddress(query, replaces) {
  const url = query ? `${window.location.pathname}?${query}` : window.location.pathname;
  const { state } = window.history;
  if (replaces) window.history.replaceState(state, "", url);
  else window.history.pushState({ ...state, idx: (state?.idx ?? 0) + 1, key: Date.now().toString(36) }, "", url);
  for (const changed of watchers) changed();
}

/**
 * @typedef {(change: Partial<Chosen>, replaces?: boolean) => void} Choose changes the address; `replaces`: without a
 *   step back to what it was
 * @returns {{ chosen: Chosen, choose: Choose, clear: () => void }}
 */
export function useChosen() {
  const parameters = new URLSearchParams(useSyncExternalStore(watchAddress, () => window.location.search));
  const chosen = /** @type {Chosen} */ (
    Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, read(name, parameters.get(name))]))
  );
  const choose = useCallback((/** @type {Partial<Chosen>} */ change, replaces = false) => {
    const isOtherList = [...FILTERS, "sort"].some((name) => name in change);
    const after = new URLSearchParams(window.location.search);
    for (const [name, value] of Object.entries(isOtherList ? { page: "", until: "", ...change } : change)) {
      if (value && value !== DEFAULTS[/** @type {keyof Chosen} */ (name)]) after.set(name, value);
      else after.delete(name);
    }
    setAddress(after.toString(), replaces);
  }, []);
  return { chosen, choose, clear: () => choose(NO_FILTERS) };
}
