// Edits of the keyboard: a new box, and arrows that move and resize by the grid.
import { clamp, snapped } from "../shared/geometry.js";
import { region } from "./drawing.js";
import { added, replaced } from "./edits.js";
import { bounds, moved, stretched } from "./shapes.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {{ x: number, y: number }} Direction */
/** @typedef {[number, number]} Size */

const CELL_PX = 8;
const COARSE = 4;

/** One press of an arrow: a few cells of the latent grid, or a hundredth. @param {Size} size @param {boolean} snaps */
function stride(size, snaps) {
  return snaps ? [(COARSE * CELL_PX) / size[0], (COARSE * CELL_PX) / size[1]] : [0.01, 0.01];
}

/** A box in the middle, beside those that are there. @param {Drawing} drawing @param {Size} size @param {string} phrase */
export function adding(drawing, size, phrase) {
  const shift = (drawing.regions.length % 5) * 0.06;
  const cell = [CELL_PX / size[0], CELL_PX / size[1]];
  const left = snapped(0.2 + shift, cell[0]);
  const top = snapped(0.2 + shift, cell[1]);
  return added(drawing, region({ phrase, boxes: [[left, top, snapped(left + 0.3, cell[0]), snapped(top + 0.3, cell[1])]] }));
}

/** @param {Drawing} drawing @param {number} index @param {Direction} way @param {Size} size @param {boolean} snaps */
export function nudging(drawing, index, way, size, snaps) {
  const [dx, dy] = stride(size, snaps);
  return replaced(drawing, index, moved(drawing.regions[index], way.x * dx, way.y * dy, size[0] / size[1]));
}

/** The right and lower edges. @param {Drawing} drawing @param {number} index @param {Direction} way @param {Size} size @param {boolean} snaps */
export function growing(drawing, index, way, size, snaps) {
  const own = drawing.regions[index];
  const from = bounds(own, size[0] / size[1]);
  if (!from) return drawing;
  const [dx, dy] = stride(size, snaps);
  const right = clamp(from[2] + way.x * dx, from[0] + dx / COARSE, 1);
  const bottom = clamp(from[3] + way.y * dy, from[1] + dy / COARSE, 1);
  return replaced(drawing, index, stretched(own, from, [from[0], from[1], right, bottom]));
}
