/** Downloading many files one by one, as far as their sites allow a page of another site to read them. */

import { isRefused } from "./policy.js";

const PAUSE = 120; // milliseconds after each file: Chrome drops every other download without one

/** @typedef {{ saved: number, listed: number, isRefused: boolean }} Saved how many files are saved, and how many only
 *   listed; whether the page's own policy refused one of those */

/**
 * Save files to the viewer's disk; of those that may not be read, a list of their URLs.
 * @param {{ url: string, name: string }[]} files
 * @param {AbortSignal} signal ends it, also within a file
 * @param {(number: number) => void} onNext called with the number of each file before it is fetched
 * @returns {Promise<Saved>}
 */
export async function saveAll(files, signal, onNext) {
  let saved = 0;
  const listed = [];
  for (const [index, { url, name }] of files.entries()) {
    if (signal.aborted) break;
    onNext(index + 1);
    try {
      const response = await fetch(url, { credentials: "omit", referrerPolicy: "no-referrer", signal });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      save(await response.blob(), name);
      saved += 1;
      await pause(PAUSE);
    } catch {
      if (!signal.aborted) listed.push(url);
    }
  }
  // The browser tells what the policy has refused a moment after it has refused it.
  await pause(0);
  if (listed.length > 0) save(new Blob([`${listed.join("\n")}\n`], { type: "text/plain" }), "urls.txt");
  return { saved, listed: listed.length, isRefused: listed.some((url) => isRefused("connect-src", url)) };
}

/** @param {number} milliseconds @returns {Promise<void>} */
function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** @param {Blob} content @param {string} name */
function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The browser reads the content after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * The name of a file on disk: the SeeAny id, its number, and the ending of its URL.
 * @param {string} id @param {number} number @param {string} url
 */
export function fileName(id, number, url) {
  const ending = /\.[a-z0-9]{1,5}$/i.exec(new URL(url).pathname)?.[0] ?? "";
  return `${id.replace(/[^\w.-]+/g, "_").slice(0, 100)}-${number}${ending}`;
}
