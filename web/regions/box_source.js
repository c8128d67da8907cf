// Boxes that can be read from the nodes themselves, before any run; bridge/regions/boxes.py reads the same ones in a run.
import { ordered } from "../shared/geometry.js";
import { isLinked, sourceOf, widgetOf } from "../shared/host.js";
import { readBoxes } from "./box_formats.js";
import { cut } from "./drawing.js";

/** @typedef {import("../shared/comfyui").GraphNode} GraphNode */
/** @typedef {import("../shared/geometry.js").Box} Box */
/** @typedef {{ box: Box, phrase: string }} Found */
/** @typedef {Found & { strength: number }} BoxRegion */

const ACTIVE = 0;
const ROUNDING = 0.02; // of a side, by which a detector's box may lie beyond the picture
const MOST_NODES = 20;

/**
 * The regions wired into a node, front first, or null where only a run can tell them.
 * @param {GraphNode} node @returns {BoxRegion[] | null}
 */
export function wiredBoxes(node) {
  /** @type {BoxRegion[]} */
  const found = [];
  let at = node;
  for (let step = 0; step < MOST_NODES; step++) {
    if (!isLinked(at, "regions")) return found;
    const source = sourceOf(at, "regions");
    const own = source && regionsOf(source);
    if (!source || !own) return null;
    found.push(...own);
    at = source;
  }
  return null;
}

/** A widget's value; undefined where a wire replaces it. @param {GraphNode} node @param {string} name */
function valueOf(node, name) {
  return isLinked(node, name) ? undefined : widgetOf(node, name)?.value;
}

/** What one Regions from Boxes adds, or null. @param {GraphNode} node @returns {BoxRegion[] | null} */
function regionsOf(node) {
  if (node.type !== "AttnDirRegionsFromBoxes" || (node.mode ?? ACTIVE) !== ACTIVE) return null;
  const [phrases, strength, width, height] = ["phrases", "strength", "width", "height"].map((name) => valueOf(node, name));
  if (typeof phrases !== "string" || ![strength, width, height].every((n) => Number(n) >= 0)) return null;
  const boxes = boxesOf(node, Number(width), Number(height));
  const lines = phrases.split("\n").map((line) => line.trim());
  return boxes && boxes.map(({ box, phrase }, i) => ({ box, phrase: phrase || (lines[i] ?? ""), strength: Number(strength) }));
}

/** @param {GraphNode} node @param {number} width @param {number} height @returns {Found[] | null} */
function boxesOf(node, width, height) {
  const source = sourceOf(node, "bboxes");
  if (!source || (source.mode ?? ACTIVE) !== ACTIVE) return null;
  if (source.type === "CreateBoundingBoxes") return drawnBoxes(source);
  return /^PrimitiveString/.test(source.type) ? writtenBoxes(valueOf(source, "value"), width, height) : null;
}

/** The boxes of the host's own editor, which measures on a size of its own. @param {GraphNode} source @returns {Found[] | null} */
function drawnBoxes(source) {
  const [boxes, own, tall] = ["editor_state", "width", "height"].map((name) => valueOf(source, name));
  if (isLinked(source, "bboxes") || !Array.isArray(boxes) || !(own > 0 && tall > 0)) return null;
  return all(boxes, ({ x, y, width, height, metadata }) => ({
    box: [x / own, y / tall, (x + width) / own, (y + height) / tall], words: metadata?.desc || metadata?.text,
  }));
}

/** Boxes as JSON text. @param {unknown} text @param {number} width @param {number} height @returns {Found[] | null} */
function writtenBoxes(text, width, height) {
  try {
    return all(readBoxes(JSON.parse(String(text ?? "").trim() || "[]"), width, height), (found) => found);
  } catch {
    return null;
  }
}

/** Every box, its corners in order and on the canvas, or null where one cannot be read or lies beyond.
 * @param {any[]} list @param {(entry: any) => { box: number[], words: unknown }} read @returns {Found[] | null} */
function all(list, read) {
  const found = list.map((entry) => (entry && typeof entry === "object" ? read(entry) : null));
  if (!found.every((one) => one?.box.every((n) => n >= -ROUNDING && n <= 1 + ROUNDING))) return null;
  return found.map((one) => {
    const { box, words } = /** @type {{ box: number[], words: unknown }} */ (one);
    const phrase = cut(String(words ?? "").trim());
    return { box: ordered(/** @type {Box} */ (box.map((n) => Math.min(1, Math.max(0, n))))), phrase };
  });
}
