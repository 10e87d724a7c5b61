/** Videos and pictures from another site, and a placeholder where that site forbids embedding. */

import { Chakra, h, OutLink, Quiet, useEffect, useRef, useState } from "./elements.js";
import { isPicture, isWebUrl } from "./format.js";
import { useLongList } from "./long_list.js";
import { useRefused } from "./policy.js";

const { Box, Flex } = Chakra;

/** @typedef {import("./types").Words} Words */

const FRAME = { borderRadius: "md", overflow: "hidden", bg: "bg.emphasized", position: "relative" };
const FILL = { display: "block", width: "100%", height: "100%" };

/**
 * @param {{ url: string | null, directive: import("./policy.js").Directive, words: Words, ratio?: string,
 *   hasAdvice?: boolean }} props `directive`: of a policy that may have refused it; `hasAdvice`: whether there is room
 *   for what can be done about that
 */
function Placeholder({ url, directive, words, ratio = "16 / 9", hasAdvice = false }) {
  const isRefused = useRefused(directive, url);
  return h(
    Flex,
    {
      ...FRAME,
      aspectRatio: ratio,
      direction: "column",
      align: "center",
      justify: "center",
      gap: 1,
      p: 3,
      textAlign: "center",
    },
    h(Quiet, null, isRefused ? words.refused(directive) : words.cannotEmbed),
    isRefused && hasAdvice && h(Quiet, null, words.allowHost(new URL(url ?? "").host, directive)),
    url && h(OutLink, { href: url, fontSize: "sm" }, words.openOriginal),
  );
}

/** @param {{ url: string, poster: string | null, label: string, words: Words }} props */
export function Player({ url, poster, label, words }) {
  const [failed, setFailed] = useState(false);
  useEffect(() => setFailed(false), [url]);
  if (failed || !isWebUrl(url)) return h(Placeholder, { url, directive: "media-src", words, hasAdvice: true });
  return h(
    Box,
    { ...FRAME, bg: "black" },
    h("video", {
      src: url,
      poster: isWebUrl(poster) ? poster : undefined,
      controls: true,
      playsInline: true,
      preload: "metadata",
      "aria-label": label,
      style: { ...FILL, maxHeight: "60vh", objectFit: "contain" },
      onError: () => setFailed(true),
    }),
  );
}

/** @param {{ url: string, label: string, words: Words }} props */
export function Picture({ url, label, words }) {
  const [failed, setFailed] = useState(false);
  if (failed || !isWebUrl(url)) return h(Placeholder, { url, directive: "img-src", words, ratio: "1" });
  return h(
    Box,
    { ...FRAME, aspectRatio: "1" },
    h("img", {
      src: url,
      alt: label,
      loading: "lazy",
      referrerPolicy: "no-referrer",
      style: { ...FILL, objectFit: "cover" },
      onError: () => setFailed(true),
    }),
  );
}

/**
 * The result files of an image set: pictures as pictures, others as links.
 * @param {{ urls: string[], words: Words, language: string }} props
 */
export function FileGrid({ urls, words, language }) {
  const columns = "repeat(auto-fill, minmax(9rem, 1fr))";
  const { shown, list, more } = useLongList([...new Set(urls)].filter(isWebUrl), words, language);
  return h(
    Box,
    null,
    h(
      Box,
      { as: "ul", ref: list, display: "grid", gridTemplateColumns: columns, gap: 3, listStyleType: "none", p: 0 },
      shown.map((url, index) =>
        h(
          "li",
          { key: url, style: { minWidth: 0 } },
          isPicture(url)
            ? h(
                OutLink,
                { href: url, display: "block", position: "relative" },
                h(Picture, { url, label: words.image(index + 1), words }),
                h(PictureNumber, { number: index + 1 }),
              )
            : h(OutLink, { href: url, fontSize: "sm" }, url),
        ),
      ),
    ),
    more,
  );
}

/** The number of a picture, on it. @param {{ number: number }} props */
function PictureNumber({ number }) {
  const place = { position: "absolute", top: 1.5, insetStart: 1.5, px: 1.5, borderRadius: "sm", fontSize: "xs" };
  return h(Box, { as: "span", "aria-hidden": true, bg: "bg", color: "fg", opacity: 0.85, ...place }, number);
}

/**
 * A thumbnail that plays while a pointer or the keyboard's focus is on it.
 * @param {{ result: import("./types").Result, label: string, words: Words, playing: boolean }} props
 */
export function Preview({ result, label, words, playing }) {
  const [failed, setFailed] = useState(/** @type {(string | null)[]} */ ([]));
  const video = useRef(/** @type {HTMLVideoElement | null} */ (null));
  /** @param {string | null} url */
  const isShown = (url) => isWebUrl(url) && !failed.includes(url);
  const picture = [result.thumbnail_url, result.first_result].find(isShown);
  const url = result.video_url;
  const plays = playing && isShown(url);
  useEffect(() => {
    // A browser may refuse to play; the picture is still there then.
    if (plays) video.current?.play().catch(() => undefined);
  }, [plays]);
  if (!picture && !isShown(url)) {
    const directive = url ? "media-src" : "img-src";
    return h(Placeholder, { url: url ?? result.first_result, directive, words });
  }
  return h(
    Box,
    { ...FRAME, aspectRatio: "16 / 9" },
    picture
      ? h("img", {
          src: picture,
          alt: label,
          loading: "lazy",
          referrerPolicy: "no-referrer",
          style: { ...FILL, objectFit: "cover" },
          onError: () => setFailed([...failed, picture]),
        })
      : null,
    plays || !picture
      ? h("video", {
          ref: video,
          src: url,
          muted: true,
          loop: true,
          playsInline: true,
          preload: "metadata",
          "aria-label": label,
          style: { ...FILL, objectFit: "cover", position: "absolute", inset: 0 },
          onError: () => setFailed([...failed, url]),
        })
      : null,
  );
}
