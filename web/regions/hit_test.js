// What lies under the pointer, and the cursor that says so.
import { insideBox } from "../shared/geometry.js";
import { bounds, pointOf, pointsOf } from "./shapes.js";
import { handles, HANDLE, POINT } from "./paint.js";

/** @typedef {import("../shared/geometry.js").Point} Point */

/** @type {Record<string, string>} */
const RESIZE = { nw: "nwse", se: "nwse", ne: "nesw", sw: "nesw", n: "ns", s: "ns", e: "ew", w: "ew" };

/**
 * The handle of a region under a point, or "".
 * @param {import("./drawing.js").Region | undefined} region @param {number} aspect @param {Point} point
 * @param {[number, number]} size the canvas in pixels of the page
 */
export function handleAt(region, aspect, [x, y], [width, height]) {
  const box = region && !region.locked && !region.hidden && bounds(region, aspect);
  if (!box) return "";
  const far = (/** @type {Point} */ [hx, hy]) => Math.max(Math.abs(hx - x) * (width || 300), Math.abs(hy - y) * (height || 300));
  const nearest = pointsOf(region).sort((a, b) => far(a[1]) - far(b[1]))[0];
  if (nearest && far(nearest[1]) <= POINT) return nearest[0];
  return handles(box).find(([, place]) => far(place) <= HANDLE)?.[0] ?? "";
}

/** The label under a point, or -1: the selected region's lies on top, then those in front.
 * @param {(import("../shared/geometry.js").Box | null)[]} labels @param {number} selected @param {Point} point */
export function labelAt(labels, selected, point) {
  const hit = (/** @type {number} */ i) => !!labels[i] && insideBox(/** @type {any} */ (labels[i]), point);
  return hit(selected) ? selected : labels.findIndex((_, i) => hit(i));
}

/**
 * @param {{ tool: import("./gestures.js").Tool, handle: string, label: boolean, region: boolean }} under
 * @returns {string} a CSS cursor
 */
export function cursorOver({ tool, handle, label, region }) {
  if (tool === "brush" || tool === "erase") return "none"; // its ring is drawn
  if (handle) return pointOf(handle) ? "pointer" : `${RESIZE[handle]}-resize`;
  if (label) return "move";
  if (tool === "select") return region ? "move" : "default";
  return "crosshair";
}
