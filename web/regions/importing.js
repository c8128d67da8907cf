// Masks of pictures as regions: what a drawing becomes, and what to say about it.
import { MAX_REGIONS, region } from "./drawing.js";
import { maskOf } from "./mask_picture.js";
import { traced } from "./tracing.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/** A picture by name. pixels: null where it cannot be opened.
 * @typedef {{ name: string, pixels: { data: ArrayLike<number>, width: number, height: number } | null }} Picture */
/** @typedef {ReturnType<typeof read>} Reading */

/** One picture as the shapes of a region, or why not. @param {Picture} picture */
export function read({ name, pixels }) {
  if (!pixels) return { name, shapes: null, problem: "cannot be opened" };
  const { mask, problem } = maskOf(pixels.data);
  const shapes = problem ? null : traced(mask, pixels.width, pixels.height);
  return { name, shapes, problem: problem || (shapes ? "" : "contains no area for a region") };
}

/** @param {number} n @param {string} word */
const several = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/**
 * The drawing with a region a mask, in front; and a sentence.
 * @param {Drawing} drawing @param {Reading[]} readings @returns {{ drawing: Drawing, said: string, warns: boolean }}
 */
export function withMasks(drawing, readings) {
  const good = readings.flatMap(({ shapes }) => (shapes ? [region(shapes)] : []));
  const bad = readings.filter(({ shapes }) => !shapes);
  const fitting = good.slice(0, MAX_REGIONS - drawing.regions.length);
  const parts = [];
  if (fitting.length) parts.push(`${several(fitting.length, "region")} from ${several(fitting.length, "mask")}: select the words of each.`);
  if (fitting.length < good.length) parts.push(`${good.length - fitting.length} left out: a drawing can have ${MAX_REGIONS} regions.`);
  if (bad.length) parts.push(`"${bad[0].name}" ${bad[0].problem}${bad.length > 1 ? `, and ${bad.length - 1} more` : ""}.`);
  if (!readings.length) parts.push("There is no picture to read: run the graph first.");
  const next = fitting.length ? { ...drawing, regions: [...fitting, ...drawing.regions] } : drawing;
  return { drawing: next, said: parts.join(" "), warns: fitting.length < readings.length || !readings.length };
}
