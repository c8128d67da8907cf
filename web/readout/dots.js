// Which part of an anchor each part of a picture drew from, as dots of one colour a place. No DOM.
import { mapAt } from "./data.js";

/** @typedef {import("./data.js").Links} Links */
/** @typedef {{ x: number, y: number, anchor: number, fromX: number, fromY: number, colour: string }} Dot places in shares of the picture */

const MOST_DOTS = 180;
const GOLDEN_DEGREES = 137.5;

/** Across: hue, down: lightness, and another turn of the hues for each anchor. @param {number} anchor @param {number} x @param {number} y */
export function colourOf(anchor, x, y) {
  return `hsl(${Math.round(300 * x + GOLDEN_DEGREES * anchor) % 360}, 90%, ${Math.round(38 + 40 * y)}%)`;
}

/** The dots of one picture, thinned evenly to so many. @param {Uint8Array} bytes @param {Links} links @param {number} image @returns {Dot[]} */
export function dotsOf(bytes, links, image, most = MOST_DOTS) {
  const [anchors, xs, ys] = [0, 1, 2].map((part) => mapAt(bytes, links.maps, part, image));
  const open = [...anchors.values.keys()].filter((i) => anchors.values[i] > 0);
  let stride = 1;
  /** @param {number} i */
  const kept = (i) => (i % anchors.width) % stride === 0 && Math.floor(i / anchors.width) % stride === 0;
  while (open.filter(kept).length > most) stride++;
  return open.filter(kept).map((i) => {
    const [anchor, fromX, fromY] = [anchors.values[i] - 1, xs.values[i] / 255, ys.values[i] / 255];
    return { x: links.xs[i % anchors.width], y: links.ys[Math.floor(i / anchors.width)], anchor, fromX, fromY,
      colour: colourOf(anchor, fromX, fromY) };
  });
}
