/** A list that may be long: its first items, and a button that shows more of them. */

import { Chakra, h, useEffect, useRef, useState } from "./elements.js";

const STEP = 100; // number of items that are drawn at first, and with each click

/**
 * Of these items those to draw, the `ref` of the element that has them as its children, and the button to put after it.
 * @template Item
 * @param {Item[]} items
 * @param {import("./types").Words} words
 * @returns {{ shown: Item[], list: any, more: any }}
 */
export function useLongList(items, words) {
  const [count, setCount] = useState(STEP);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    // To the first of the new ones: the last click takes the button away, and with it the focus.
    const item = count > STEP && /** @type {HTMLElement | undefined} */ (list.current?.children[count - STEP]);
    if (!item) return;
    item.tabIndex = -1;
    (item.querySelector("a") ?? item).focus();
  }, [count]);
  const left = items.length - count;
  const more =
    left > 0 &&
    h(
      Chakra.Button,
      { size: "sm", variant: "outline", mt: 3, onClick: () => setCount(count + STEP) },
      words.showMore(Math.min(STEP, left), left),
    );
  return { shown: items.slice(0, count), list, more };
}
