// How much of the attention to each region's words was in the region, as Attention Readout measures it. No DOM.
import { KEY, parse } from "../readout/data.js";

/** Of the drawing with this value. @typedef {{ value: string, scores: Record<string, number> }} Landing by phrase, 0 to 1 */
/** @typedef {import("./drawing.js").Region} Region */

const LEAST = 0.5; // else most of the attention was elsewhere

/** By phrase, in the last step that was recorded: in earlier ones the regions force what is measured. Of the image where
 * it is worst; null where the output is none of a readout with regions.
 * @param {unknown} output what a node sent after a run @returns {Record<string, number> | null} */
export function scoresIn(output) {
  const places = parse(/** @type {any} */ (output)?.[KEY]?.at?.(-1))?.heat?.places ?? [];
  /** @type {Record<string, number>} */
  const scores = {};
  for (const place of places) scores[place.phrase] = Math.min(place.scores[place.scores.length - 1], scores[place.phrase] ?? 1);
  return places.length ? scores : null;
}

/** Each region's score, null where there is none: of another drawing they would be of other regions.
 * @param {Landing | null} landing @param {string} value of the drawing that is shown @param {Region[]} regions @returns {(number | null)[]} */
export const scoresOf = (landing, value, regions) =>
  regions.map(({ phrase, off }) => (landing?.value === value && !off ? landing.scores[phrase] ?? null : null));

/** Did a thing not land? @param {number | null} score */
export const isMissed = (score) => score !== null && score < LEAST;
