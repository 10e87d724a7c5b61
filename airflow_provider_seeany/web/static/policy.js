/** What the Content-Security-Policy of the page has refused to load: the browser tells scripts, and not the viewer. */

import { useSyncExternalStore } from "./elements.js";

/** @typedef {"media-src" | "img-src" | "connect-src"} Directive */

const MAX_REFUSED = 2000;

/** Directives and URLs. @type {Set<string>} */
const refused = new Set();
/** @type {Set<() => void>} */
const watchers = new Set();

document.addEventListener("securitypolicyviolation", ({ disposition, effectiveDirective, blockedURI }) => {
  if (disposition !== "enforce" || refused.size >= MAX_REFUSED) return;
  refused.add(`${effectiveDirective} ${blockedURI}`);
  for (const changed of watchers) changed();
});

/** @param {() => void} changed */
function watch(changed) {
  watchers.add(changed);
  return () => watchers.delete(changed);
}

/**
 * Whether the policy has refused a file.
 * @param {Directive} directive @param {string | null} url
 */
export function isRefused(directive, url) {
  if (!url || !URL.canParse(url)) return false;
  const { href, hash, origin } = new URL(url);
  // After a redirect, some browsers tell the origin alone.
  return [href.slice(0, href.length - hash.length), origin].some((each) => refused.has(`${directive} ${each}`));
}

/**
 * The same, for an element that is drawn before the browser tells it.
 * @param {Directive} directive @param {string | null} url
 */
export function useRefused(directive, url) {
  return useSyncExternalStore(watch, () => isRefused(directive, url));
}
