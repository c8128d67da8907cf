// The regions that other nodes bring in by wire, as the last run or their nodes tell them. bridge/regions/wired.py writes.
import { parse, region } from "./drawing.js";
import { traced } from "./tracing.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./drawing.js").Region} Region */
/** layouts: masks in the largest batch, of which the first is shown. left_out: regions that were too many to tell.
 * @typedef {{ regions: Region[], layouts: number, left_out: number }} Wired */

const MOST_PIXELS = 1 << 18;

/** @type {Wired} */
export const NONE = { regions: [], layouts: 1, left_out: 0 };

/** What a run told, or NONE where it cannot be read. @param {unknown} text @returns {Wired} */
export function parseWired(text) {
  if (typeof text !== "string" || !text) return NONE;
  const { drawing, error } = parse(text); // checks all but the runs
  if (error) return NONE;
  try {
    const told = JSON.parse(text);
    const regions = drawing.regions.map((own, i) => ({ ...own, ...fromRuns(told.regions[i]) }));
    const layouts = Math.max(1, ...told.regions.map((/** @type {any} */ r) => Number(r.layouts) || 1));
    return { regions: regions.filter(hasShape), layouts, left_out: Number(told.left_out) || 0 };
  } catch {
    return NONE;
  }
}

/** @param {Region} r */
const hasShape = (r) => r.boxes.length + r.polygons.length + r.strokes.length > 0;

/** The outlines of a mask that came as lengths of its runs, off first. @param {any} told */
function fromRuns({ size, runs }) {
  if (!Array.isArray(size) || !Array.isArray(runs)) return {};
  const [w, h] = size;
  if (!(Number.isInteger(w) && Number.isInteger(h) && w > 0 && h > 0 && w * h <= MOST_PIXELS)) return {};
  const mask = new Uint8Array(w * h);
  let at = 0;
  runs.forEach((length, i) => {
    if (i % 2) mask.fill(1, at, at + length);
    at += length;
  });
  return traced(mask, w, h) ?? {};
}

/** Regions of boxes. @param {{ box: import("../shared/geometry.js").Box, phrase: string, strength: number }[]} boxes @returns {Wired} */
export function ofBoxes(boxes) {
  return { ...NONE, regions: boxes.map(({ box, phrase, strength }) => region({ phrase, strength, boxes: [box] })) };
}

/** One sentence about them, "" for none. @param {Wired} wired */
export function wiredSentence({ regions, layouts, left_out }) {
  if (!regions.length) return "";
  const count = regions.length === 1 ? t("1 wired region (dashed)") : t("{count} wired regions (dashed)", { count: regions.length });
  const first = layouts > 1 ? t(", the first of {count} layouts", { count: layouts }) : "";
  return `${count}${first}${left_out ? t(", {count} more not shown", { count: left_out }) : ""}`;
}
