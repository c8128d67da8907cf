// A sketch as it travels in the workflow: {"version":1,"strokes":[{"width","points","erase"}]}, all from 0 to 1.
import { clamp, rounded } from "../shared/geometry.js";
import { t } from "../shared/texts.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {{ width: number, points: Point[], erase: boolean }} Stroke width: a share of the canvas width */

export const VERSION = 1;
export const MAX_CHARACTERS = 1_000_000;

/** @param {unknown} text @returns {{ strokes: Stroke[], error: string }} */
export function parse(text) {
  if (typeof text !== "string" || !text.trim()) return { strokes: [], error: "" };
  try {
    if (text.length > MAX_CHARACTERS) throw new Error(t("it has {count} characters", { count: text.length }));
    const found = JSON.parse(text);
    if ((found.version ?? VERSION) !== VERSION) throw new Error(t("it was made by a newer Attention Director"));
    if (!Array.isArray(found.strokes)) throw new Error(t("it lists no strokes"));
    return { strokes: found.strokes.map(readStroke), error: "" };
  } catch (error) {
    const reason = error instanceof SyntaxError ? t("it is not JSON") : /** @type {Error} */ (error).message;
    return { strokes: [], error: t("The saved sketch cannot be read: {reason}. Draw again to replace it.", { reason }) };
  }
}

/** @param {Stroke[]} strokes */
export function serialise(strokes) {
  if (!strokes.length) return "";
  return JSON.stringify({
    version: VERSION,
    strokes: strokes.map(({ width, points, erase }) => ({
      width: rounded(width), points: points.map(([x, y]) => [rounded(x), rounded(y)]), erase,
    })),
  });
}

/** @param {any} value @returns {Stroke} */
function readStroke(value) {
  if (!Array.isArray(value.points) || !value.points.length) throw new Error(t("a stroke has no points"));
  const points = value.points.map((/** @type {any} */ p) => /** @type {Point} */ ([clamp(finite(p[0])), clamp(finite(p[1]))]));
  return { width: clamp(finite(value.width ?? 0.01), 0, 2), points, erase: !!value.erase };
}

/** @param {unknown} value @returns {number} */
function finite(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Error(t("a coordinate is not a number"));
  return value;
}
