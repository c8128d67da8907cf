// Wired regions as dashed ghosts behind the drawn ones: to see, not to hold.
import { css } from "../shared/colours.js";
import { trace } from "../shared/ink.js";
import { bounds } from "./shapes.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./drawing.js").Region} Region */

const LETTERS = 11;
const DASH = [6, 4];

/**
 * @param {CanvasRenderingContext2D} to @param {number} w @param {number} h in pixels @param {number} unit backing pixels
 * in a pixel of the page @param {Region[]} regions @param {number} first the first one's number
 */
export function paintWired(to, w, h, unit, regions, first) {
  to.setLineDash(DASH.map((length) => length * unit));
  to.lineWidth = 1.5 * unit;
  for (let i = regions.length - 1; i >= 0; i--) {
    to.fillStyle = css(first + i, 0.12);
    to.strokeStyle = css(first + i, 0.9);
    const solid = regions[i].boxes.length + regions[i].polygons.length;
    for (const [k, line] of outlines(regions[i]).entries()) {
      trace(to, line, w, h);
      if (k < solid) to.fill();
      to.stroke();
    }
  }
  to.setLineDash([]);
  regions.forEach((region, i) => paintWords(to, w, h, unit, region, first + i));
}

/** Holes too, as lines. @param {Region} region */
function outlines(region) {
  const corners = region.boxes.map(([a, b, c, d]) => /** @type {import("../shared/geometry.js").Point[]} */ ([[a, b], [c, b], [c, d], [a, d]]));
  return [...corners, ...region.polygons, ...region.strokes.map((stroke) => stroke.points)];
}

/** Its words at the foot, where labels of drawn regions seldom are. @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number, region: Region, index: number) => void} */
function paintWords(to, w, h, unit, region, index) {
  const box = bounds(region, w / h);
  if (!box) return;
  to.font = `italic ${LETTERS * unit}px system-ui, sans-serif`;
  to.textBaseline = "bottom";
  to.textAlign = "left";
  const text = region.phrase || t("no words");
  const width = Math.min(to.measureText(text).width + 6 * unit, w);
  const [x, y] = [Math.min(box[0] * w, w - width), Math.max(box[3] * h, LETTERS * 1.5 * unit)];
  to.fillStyle = "rgba(16, 17, 20, 0.7)";
  to.fillRect(x, y - LETTERS * 1.5 * unit, width, LETTERS * 1.5 * unit);
  to.fillStyle = css(index);
  to.fillText(text, x + 3 * unit, y - 2 * unit, width - 6 * unit);
}
