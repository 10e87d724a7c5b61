/** Asking the routes of this plugin, now or again and again while somebody looks. */

import { useEffect, useRef, useState } from "./elements.js";

const BASE = new URL("../api/", import.meta.url);

export class ApiError extends Error {
  /** @param {number} status @param {number} [retryAfter] seconds, if the server asks to come back then */
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
async function ask(url, signal) {
  const response = await fetch(url, { signal, headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (response.ok) return response.json();
  const said = await response.json().catch(() => null);
  // As Airflow's own UI reads it: a cookie that is no longer valid means to sign in again.
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  throw new ApiError(said?.detail === "Invalid JWT token" ? 401 : response.status, retryAfter);
}

/**
 * The answer to a question, asked again every so many seconds. A hidden tab asks nothing, and asks at once when it is
 * seen again.
 * @template T
 * @param {string} url
 * @param {(answer: T | null) => number | null} pause seconds until the next question; `null` for never again
 * @returns {{ answer: T | null, error: Error | null }}
 */
export function useAnswer(url, pause) {
  const [state, setState] = useState(
    /** @type {{ url: string, answer: T | null, error: Error | null }} */ ({ url, answer: null, error: null }),
  );
  const pauseNow = useRef(pause);
  pauseNow.current = pause;
  useEffect(() => {
    const abort = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let isDue = true;
    let isAsking = false;
    async function look() {
      if (document.hidden || !isDue || isAsking) return;
      isAsking = true;
      /** @type {T | null} */
      let answer = null;
      let retryAfter = 0;
      try {
        answer = await ask(url, abort.signal);
        setState({ url, answer, error: null });
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof ApiError) retryAfter = error.retryAfter;
        const trouble = error instanceof Error ? error : new Error(String(error));
        setState((/** @type {any} */ before) => ({
          url,
          answer: before.url === url ? before.answer : null,
          error: trouble,
        }));
      }
      isAsking = false;
      isDue = false;
      const seconds = retryAfter || pauseNow.current(answer);
      if (seconds === null || abort.signal.aborted) return;
      timer = setTimeout(() => {
        isDue = true;
        void look();
      }, seconds * 1000);
    }
    const seen = () => void look();
    document.addEventListener("visibilitychange", seen);
    void look();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [url]);
  return state.url === url ? state : { answer: null, error: null };
}
