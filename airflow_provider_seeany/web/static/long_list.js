/** A list that may be long: its first items, and buttons that show more of them. */

import { Chakra, h, useEffect, useRef, useState } from "./elements.js";
import { countText } from "./format.js";

const STEP = 100; // number of items that are drawn at first, and with each click
const LEAP = 1000; // maximum number of items that a browser draws at once without a pause

/**
 * Of these items those to draw, the `ref` of the element that has them as its children, and the buttons to put after it.
 * @template Item
 * @param {Item[]} items
 * @param {import("./types").Words} words
 * @param {string} language
 * @returns {{ shown: Item[], list: any, more: any }}
 */
export function useLongList(items, words, language) {
  const [{ count, before }, setCount] = useState({ count: STEP, before: 0 });
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    // To the first of the new ones: the last click takes the button away, and with it the focus.
    const item = before > 0 && /** @type {HTMLElement | undefined} */ (list.current?.children[before]);
    if (!item) return;
    item.tabIndex = -1;
    (item.querySelector("a") ?? item).focus();
  }, [before]);
  const left = items.length - count;
  /** @param {number} number @param {string} text */
  const button = (number, text) =>
    h(
      Chakra.Button,
      { size: "sm", variant: "outline", onClick: () => setCount({ count: count + number, before: count }) },
      text,
    );
  const [step, leap] = [Math.min(STEP, left), Math.min(LEAP, left)];
  const more =
    left > 0 &&
    h(
      Chakra.Flex,
      { gap: 2, mt: 3, wrap: "wrap" },
      button(step, words.showMore(countText(step, language), countText(left, language))),
      leap > step &&
        button(
          leap,
          leap === left ? words.showAll(countText(items.length, language)) : words.showNext(countText(leap, language)),
        ),
    );
  return { shown: items.slice(0, count), list, more };
}
