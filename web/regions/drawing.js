// The drawing as it travels in the workflow and in the API prompt; bridge/regions/canvas.py reads the same text.
import { clamp, rounded } from "../shared/geometry.js";
import { t } from "../shared/texts.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("../shared/geometry.js").Box} Box */
/**
 * A stroke of the brush, or, with fill, an outline that is filled. Strokes follow each other in the
 * order they were drawn; width is a share of the canvas width.
 * @typedef {{ width: number, points: Point[], erase: boolean, fill: boolean }} Stroke
 */
/** number: from 1, its name and its colour for life; 0 for one that is not in a drawing yet. off: it keeps its strength
 * and does nothing. locked: its shape stays. hidden: it is not shown, and acts all the same.
 * @typedef {{ number: number, phrase: string, strength: number, off: boolean, locked: boolean, hidden: boolean, boxes: Box[], polygons: Point[][], strokes: Stroke[] }} Region */
/**
 * Regions from front to back. size: width and height of the picture they were drawn for.
 * @typedef {{ size: [number, number] | null, regions: Region[] }} Drawing
 */

export const VERSION = 1;
export const MAX_CHARACTERS = 1_000_000;
export const MAX_REGIONS = 64;
export const MAX_STRENGTH = 2;
/** What is on or off about a region. */
const MARKS = /** @type {const} */ (["off", "locked", "hidden"]);
const MAX_PHRASE = 500;
const MAX_NUMBER = 999;

/** @type {Drawing} */
export const EMPTY = { size: null, regions: [] };

/** A region of one shape. @param {Partial<Region>} parts @returns {Region} */
export function region(parts) {
  return { number: 0, phrase: "", strength: 1, off: false, locked: false, hidden: false, boxes: [], polygons: [], strokes: [], ...parts };
}

/** With a number for each: who has one keeps it, others get the smallest ones that are free, from the back.
 * @param {Region[]} regions @returns {Region[]} */
export function numbered(regions) {
  if (regions.every(({ number }) => number)) return regions;
  const taken = new Set(regions.map(({ number }) => number));
  let free = 1;
  return [...regions].reverse().map((own) => {
    while (taken.has(free)) free++;
    return own.number ? own : { ...own, number: free++ };
  }).reverse();
}

/** As they would be in another drawing. @param {Region[]} regions */
export const unnumbered = (regions) => regions.map((own) => ({ ...own, number: 0 }));

/**
 * The drawing in a saved text, or why it cannot be read.
 * @param {unknown} text
 * @returns {{ drawing: Drawing, error: string }}
 */
export function parse(text) {
  if (typeof text !== "string" || !text.trim()) return { drawing: EMPTY, error: "" };
  try {
    if (text.length > MAX_CHARACTERS) throw new Error(t("it has {count} characters", { count: text.length }));
    const found = JSON.parse(text);
    if ((found.version ?? VERSION) !== VERSION) throw new Error(t("it was made by a newer Attention Director"));
    if (!Array.isArray(found.regions)) throw new Error(t("it lists no regions"));
    if (found.regions.length > MAX_REGIONS) throw new Error(t("it has {count} regions", { count: found.regions.length }));
    return { drawing: { size: readSize(found.size), regions: readRegions(found.regions) }, error: "" };
  } catch (error) {
    const reason = error instanceof SyntaxError ? t("it is not JSON") : /** @type {Error} */ (error).message;
    return { drawing: EMPTY, error: t("The saved drawing cannot be read: {reason}.", { reason }) };
  }
}

/** The text of a drawing; nothing drawn is the empty text. @param {Drawing} drawing */
export function serialise(drawing) {
  if (!drawing.regions.length) return "";
  const size = drawing.size ? { size: drawing.size } : {};
  return JSON.stringify({ version: VERSION, ...size, regions: drawing.regions.map(written) });
}

/** @param {Region} r */
function written(r) {
  /** @type {Record<string, unknown>} */
  const out = { number: r.number, phrase: r.phrase, strength: r.strength };
  for (const mark of MARKS) if (r[mark]) out[mark] = true;
  if (r.boxes.length) out.boxes = r.boxes.map((box) => box.map(rounded));
  if (r.polygons.length) out.polygons = r.polygons.map((line) => line.map(roundedPoint));
  if (r.strokes.length) out.strokes = r.strokes.map(writtenStroke);
  return out;
}

/** @param {Stroke} s */
function writtenStroke(s) {
  const points = s.points.map(roundedPoint);
  return s.fill ? { fill: true, points, erase: s.erase } : { width: rounded(s.width), points, erase: s.erase };
}

/** @param {Point} point */
function roundedPoint([x, y]) {
  return [rounded(x), rounded(y)];
}

/** A phrase of a length that the node takes; no character is cut in two. @param {string} phrase */
export const cut = (phrase) => [...phrase].slice(0, MAX_PHRASE).join("");

/** @param {any} value @returns {[number, number] | null} */
function readSize(value) {
  const fine = Array.isArray(value) && value.length === 2 && value.every((n) => Number.isFinite(n) && n > 0);
  return fine ? [value[0], value[1]] : null;
}

/** Numbers that are no names, as in drawings that have none, are given anew. @param {any[]} found */
function readRegions(found) {
  const regions = found.map(readRegion);
  const names = new Set(regions.map(({ number }) => number));
  return numbered(names.has(0) || names.size < regions.length ? unnumbered(regions) : regions);
}

/** @param {any} value @returns {Region} */
function readRegion(value) {
  return {
    number: Number.isInteger(value.number) && value.number > 0 && value.number <= MAX_NUMBER ? value.number : 0,
    phrase: cut(String(value.phrase ?? "")),
    strength: clamp(finite(value.strength ?? 1), 0, MAX_STRENGTH),
    off: value.off === true, locked: value.locked === true, hidden: value.hidden === true,
    boxes: (value.boxes ?? []).map((/** @type {any} */ b) => {
      const [x0, y0] = readPoint([b[0], b[1]]);
      const [x1, y1] = readPoint([b[2], b[3]]);
      return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
    }),
    polygons: (value.polygons ?? []).map(readPoints),
    strokes: (value.strokes ?? []).map(readStroke),
  };
}

/** @param {any} value @returns {Stroke} */
function readStroke(value) {
  const points = readPoints(value.points);
  if (!points.length) throw new Error(t("a stroke has no points"));
  return { width: clamp(finite(value.width ?? 0.05), 0, 2), points, erase: !!value.erase, fill: !!value.fill };
}

/** @param {any} value @returns {Point[]} */
function readPoints(value) {
  if (!Array.isArray(value)) throw new Error(t("a shape has no points"));
  return value.map(readPoint);
}

/** @param {any} value @returns {Point} */
function readPoint(value) {
  return [clamp(finite(value[0])), clamp(finite(value[1]))];
}

/** @param {unknown} value @returns {number} */
function finite(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Error(t("a coordinate is not a number"));
  return value;
}
