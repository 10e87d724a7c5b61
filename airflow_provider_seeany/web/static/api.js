/** Polling the routes of this plugin while the page is visible. */

import { useEffect, useRef, useState } from "./elements.js";

const BASE = new URL("../api/", import.meta.url);

export class ApiError extends Error {
  /** @param {number} status @param {number} [retryAfter] seconds of the Retry-After header, 0 without one */
  constructor(status, retryAfter = 0) {
    super(`HTTP ${status}`);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} parameters
 */
export function address(path, parameters) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  return url.href;
}

/** @param {string} url @param {AbortSignal} signal */
async function getJson(url, signal) {
  const response = await fetch(url, { signal, headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (response.ok) return response.json();
  const payload = await response.json().catch(() => null);
  // As in Airflow's own UI: an expired cookie means to sign in again.
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  throw new ApiError(payload?.detail === "Invalid JWT token" ? 401 : response.status, retryAfter);
}

/**
 * Poll a URL. A hidden browser tab does not poll; once visible, it polls at once if a poll is due.
 * @template T
 * @param {string} url
 * @param {(data: T | null) => number | null} interval seconds until the next poll, given what this one returned
 *   (`null` after an error); `null` ends the polling
 * @returns {{ data: T | null, error: Error | null }} after an error, `data` is that of the last poll that worked
 */
export function usePoll(url, interval) {
  const [state, setState] = useState(
    /** @type {{ url: string, data: T | null, error: Error | null }} */ ({ url, data: null, error: null }),
  );
  const latestInterval = useRef(interval);
  latestInterval.current = interval;
  useEffect(() => {
    const abort = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let isDue = true;
    let isPending = false;
    async function poll() {
      if (document.hidden || !isDue || isPending) return;
      isPending = true;
      /** @type {T | null} */
      let data = null;
      let retryAfter = 0;
      try {
        data = await getJson(url, abort.signal);
        setState({ url, data, error: null });
      } catch (caught) {
        if (abort.signal.aborted) return;
        if (caught instanceof ApiError) retryAfter = caught.retryAfter;
        const error = caught instanceof Error ? caught : new Error(String(caught));
        setState((/** @type {any} */ last) => ({ url, data: last.url === url ? last.data : null, error }));
      }
      isPending = false;
      isDue = false;
      const seconds = retryAfter || latestInterval.current(data);
      if (seconds === null || abort.signal.aborted) return;
      timer = setTimeout(() => {
        isDue = true;
        void poll();
      }, seconds * 1000);
    }
    const onVisible = () => void poll();
    document.addEventListener("visibilitychange", onVisible);
    void poll();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [url]);
  return state.url === url ? state : { data: null, error: null };
}
