// What the sketch pad holds, and what each event makes of it. A state in, a state out; no DOM.
import { clamp, simplified } from "../shared/geometry.js";
import { MAX_CHARACTERS, parse, serialise } from "./strokes.js";
import { t } from "../shared/texts.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("./strokes.js").Stroke} Stroke */
/**
 * @typedef {object} State
 * @property {Stroke[]} strokes
 * @property {Point[] | null} line the stroke that is being drawn
 * @property {string} value the strokes as the node saves them
 * @property {number} edits finished here
 * @property {string} problem the saved text cannot be read, or is full
 * @property {boolean} erases
 * @property {number} px the pen's width in pixels of the picture
 * @property {[number, number]} size of the picture
 */

export const WIDEST_PX = 64;
const FINE = 0.0008;
const RUBBER = 4; // times the pen's width

/** @type {State} */
export const FIRST = { strokes: [], line: null, value: "", edits: 0, problem: "", erases: false, px: 4, size: [1024, 1024] };

/** The pen's width as a share of the picture's. @param {State} state */
export const shareOf = ({ px, erases, size }) => clamp((px * (erases ? RUBBER : 1)) / size[0], 0.0005, 1);

/** @param {State} state @param {Point[]} points @returns {Stroke} */
const strokeOf = (state, points) => ({ width: shareOf(state), points, erase: state.erases });

/** Strokes with the one that is being drawn. @param {State} state */
export const shownStrokes = (state) => (state.line ? [...state.strokes, strokeOf(state, state.line)] : state.strokes);

/** After an edit. @param {State} state @param {Stroke[]} strokes @returns {State} */
export function committed(state, strokes) {
  const value = serialise(strokes);
  if (value.length > MAX_CHARACTERS) return { ...state, line: null, problem: t("The sketch is full: remove something first.") };
  return { ...state, strokes, value, line: null, problem: "", edits: state.edits + 1 };
}

/** With points at the end of the line. @param {State} state @param {Point[]} points @returns {State} */
export function drawn(state, points) {
  return { ...state, line: [...state.line ?? [], ...points.map(([x, y]) => /** @type {Point} */ ([clamp(x), clamp(y)]))] };
}

/** With the line as a stroke. @param {State} state */
export function lifted(state) {
  return state.line ? committed(state, [...state.strokes, strokeOf(state, simplified(state.line, FINE))]) : state;
}

/** With the text that a node has saved. @param {State} state @param {unknown} saved @returns {State} */
export function withValue(state, saved) {
  const value = typeof saved === "string" ? saved : "";
  const { strokes, error } = parse(value);
  return { ...state, value, strokes, problem: error, line: null };
}

/** @param {State} state @param {number} px @returns {State} */
export const withPen = (state, px) => ({ ...state, px: clamp(Math.round(px) || 1, 1, WIDEST_PX) });
