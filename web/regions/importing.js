// Masks of pictures as regions: what a drawing becomes, and what to say about it.
import { MAX_REGIONS, region } from "./drawing.js";
import { maskOf } from "./mask_picture.js";
import { traced } from "./tracing.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/** A picture by name. pixels: null where it cannot be opened.
 * @typedef {{ name: string, pixels: { data: ArrayLike<number>, width: number, height: number } | null }} Picture */
/** @typedef {ReturnType<typeof read>} Reading */

/** One picture as the shapes of a region, or why not. @param {Picture} picture */
export function read({ name, pixels }) {
  if (!pixels) return { name, shapes: null, problem: t("cannot be opened") };
  const { mask, problem } = maskOf(pixels.data);
  const shapes = problem ? null : traced(mask, pixels.width, pixels.height);
  return { name, shapes, problem: problem || (shapes ? "" : t("contains no area for a region")) };
}

/**
 * The drawing with a region a mask, in front; and a sentence.
 * @param {Drawing} drawing @param {Reading[]} readings @returns {{ drawing: Drawing, said: string, warns: boolean }}
 */
export function withMasks(drawing, readings) {
  const good = readings.flatMap(({ shapes }) => (shapes ? [region(shapes)] : []));
  const bad = readings.filter(({ shapes }) => !shapes);
  const fitting = good.slice(0, MAX_REGIONS - drawing.regions.length);
  const parts = [];
  if (fitting.length) parts.push(fitting.length === 1 ? t("1 region from 1 mask: select the words of each.")
    : t("{count} regions from {count} masks: select the words of each.", { count: fitting.length }));
  if (fitting.length < good.length) parts.push(t("{count} left out: a drawing can have {most} regions.", { count: good.length - fitting.length, most: MAX_REGIONS }));
  if (bad.length) parts.push(`"${bad[0].name}" ${bad[0].problem}${bad.length > 1 ? t(", and {count} more", { count: bad.length - 1 }) : ""}.`);
  if (!readings.length) parts.push(t("There is no picture to read: run the graph first."));
  const next = fitting.length ? { ...drawing, regions: [...fitting, ...drawing.regions] } : drawing;
  return { drawing: next, said: parts.join(" "), warns: fitting.length < readings.length || !readings.length };
}
