// A drag from its first point to its last: each tool as a small machine without DOM.
import { boundsOf, clamp, insideBox, ordered, simplified, snapped } from "../shared/geometry.js";
import { MAX_REGIONS, region } from "./drawing.js";
import { added, replaced } from "./edits.js";
import { bounds, moved, pointOf, regionAt, stretched, touched } from "./shapes.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("../shared/geometry.js").Box} Box */
/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {import("./drawing.js").Region} Region */
/** @typedef {import("./drawing.js").Stroke} Stroke */
/** @typedef {"select" | "box" | "lasso" | "brush" | "erase"} Tool */
/** join: add to the selected region. cut: take away from it. @typedef {{ join: boolean, cut: boolean }} Keys */
/**
 * @typedef {object} Setting
 * @property {Drawing} drawing
 * @property {number} selected
 * @property {number} aspect width by height
 * @property {[number, number]} step the grid's cell as shares; zeros where nothing snaps
 * @property {number} width the brush, a share of the width
 * @property {string} phrase words waiting for their region
 * @property {string} handle the handle under the pointer, "" for none
 */
/** @typedef {{ drawing: Drawing, selected: number }} Result */
/** @typedef {{ move: (p: Point) => Result, end: () => Result | null }} Gesture end: null for no change */

const LEAST = 0.008;
const FINE = 0.0015;
const OF_LASSO = 0.004; // coarser: its points are moved by hand afterwards
const FEWEST = 3;

/** @param {Tool} tool @param {Setting} setting @param {Point} start @param {Keys} keys @returns {Gesture} */
export function begin(tool, setting, start, keys) {
  const from = inCanvas(start);
  if (setting.handle) return pointOf(setting.handle) ? movePoint(setting, keys) : resize(setting, setting.handle);
  if (tool === "select") return select(setting, from);
  if (tool === "box") return box(setting, from, keys);
  if (tool === "lasso") return lasso(setting, from, keys);
  return brush(setting, from, keys, tool === "erase" || keys.cut);
}

/** @param {Point} point @returns {Point} */
function inCanvas([x, y]) {
  return [clamp(x), clamp(y)];
}

/** @param {Setting} setting @param {Point} point @returns {Point} */
function onGrid({ step }, [x, y]) {
  return [clamp(snapped(x, step[0])), clamp(snapped(y, step[1]))];
}

/** The selected region, where its shape may change. @param {Setting} s */
function changeable(s) {
  const own = s.drawing.regions[s.selected];
  return own?.locked ? undefined : own;
}

/** What a finished outline becomes: a region of its own, or a part of the selected one.
 * @param {Setting} s @param {Keys} keys @param {Partial<Region>} parts @param {Point[]} outline @returns {Result} */
function placed(s, keys, parts, outline) {
  const old = changeable(s);
  if (!old || (!keys.join && !keys.cut)) {
    if (s.drawing.regions.length >= MAX_REGIONS) return { drawing: s.drawing, selected: s.selected };
    return { drawing: added(s.drawing, region({ phrase: s.phrase, ...parts })), selected: 0 };
  }
  // After a stroke an outline is one as well, so that the order of drawing holds.
  const stroke = { width: 0, points: outline, erase: keys.cut, fill: true };
  const next = keys.cut || old.strokes.length ? { ...old, strokes: [...old.strokes, stroke] }
    : { ...old, boxes: [...old.boxes, ...(parts.boxes ?? [])], polygons: [...old.polygons, ...(parts.polygons ?? [])] };
  return { drawing: replaced(s.drawing, s.selected, next), selected: s.selected };
}

/** @param {Setting} s @param {Point} start @returns {Gesture} */
function select(s, start) {
  const held = changeable(s);
  const within = held && bounds(held, s.aspect);
  const inside = within && insideBox(within, start);
  const hit = regionAt(s.drawing, start, s.aspect);
  const index = hit >= 0 ? hit : inside ? s.selected : -1;
  return index < 0 ? idle(s, -1) : moveRegion(s, index, start);
}

/** @param {Setting} s @param {number} selected @returns {Gesture} */
function idle(s, selected) {
  const result = { drawing: s.drawing, selected };
  return { move: () => result, end: () => result };
}

/** @param {Setting} s @param {number} index @param {Point} start @returns {Gesture} */
export function moveRegion(s, index, start) {
  const old = s.drawing.regions[index];
  if (old.locked) return idle(s, index);
  const box = bounds(old, s.aspect) ?? [0, 0, 0, 0];
  /** @type {Result} */
  let result = { drawing: s.drawing, selected: index };
  return {
    move: ([x, y]) => {
      const dx = snapped(box[0] + x - start[0], s.step[0]) - box[0];
      const dy = snapped(box[1] + y - start[1], s.step[1]) - box[1];
      const far = Math.hypot(x - start[0], y - start[1]) > LEAST / 2;
      result = { drawing: far ? replaced(s.drawing, index, moved(old, dx, dy, s.aspect)) : s.drawing, selected: index };
      return result;
    },
    end: () => result,
  };
}

/** @param {Setting} s @param {string} handle @returns {Gesture} */
function resize(s, handle) {
  const old = s.drawing.regions[s.selected];
  const from = /** @type {Box} */ (bounds(old, s.aspect));
  /** @type {Result | null} */
  let result = null;
  return {
    move: (point) => {
      const [x, y] = onGrid(s, inCanvas(point));
      const to = /** @type {Box} */ ([...from]);
      if (handle.includes("w")) to[0] = Math.min(x, from[2] - LEAST);
      if (handle.includes("e")) to[2] = Math.max(x, from[0] + LEAST);
      if (handle.includes("n")) to[1] = Math.min(y, from[3] - LEAST);
      if (handle.includes("s")) to[3] = Math.max(y, from[1] + LEAST);
      result = { drawing: replaced(s.drawing, s.selected, stretched(old, from, to)), selected: s.selected };
      return result;
    },
    end: () => result,
  };
}

/** A point of an outline, dragged; with cut it is taken away. @param {Setting} s @param {Keys} keys @returns {Gesture} */
function movePoint(s, keys) {
  const [line, at] = /** @type {[number, number]} */ (pointOf(s.handle));
  const old = s.drawing.regions[s.selected];
  const withLine = (/** @type {Point[]} */ points) => ({
    drawing: replaced(s.drawing, s.selected, { ...old, polygons: old.polygons.map((own, i) => (i === line ? points : own)) }), selected: s.selected,
  });
  const points = old.polygons[line];
  const gone = keys.cut && points.length > FEWEST ? withLine(points.filter((_, i) => i !== at)) : null;
  /** @type {Result | null} */
  let result = gone;
  return {
    move: (point) => {
      const to = onGrid(s, inCanvas(point));
      result = gone ?? withLine(points.map((own, i) => (i === at ? to : own)));
      return result;
    },
    end: () => result,
  };
}

/** @param {Setting} s @param {Point} start @param {Keys} keys @returns {Gesture} */
function box(s, start, keys) {
  const [x, y] = onGrid(s, start);
  /** @type {Result | null} */
  let result = null;
  return {
    move: (point) => {
      const [px, py] = onGrid(s, inCanvas(point));
      const b = ordered([x, y, px, py]);
      const enough = b[2] - b[0] > LEAST && b[3] - b[1] > LEAST;
      const outline = /** @type {Point[]} */ ([[b[0], b[1]], [b[2], b[1]], [b[2], b[3]], [b[0], b[3]]]);
      result = enough ? placed(s, keys, { boxes: [b] }, outline) : null;
      return result ?? { drawing: s.drawing, selected: s.selected };
    },
    end: () => result ?? { drawing: s.drawing, selected: regionAt(s.drawing, start, s.aspect) },
  };
}

/** An outline closes by itself: a last point on the first one would be a second handle there. @param {Point[]} line */
function open(line) {
  const [first, last] = [line[0], line[line.length - 1]];
  return line.length > FEWEST && Math.hypot(first[0] - last[0], first[1] - last[1]) < LEAST ? line.slice(0, -1) : line;
}

/** @param {Setting} s @param {Point} start @param {Keys} keys @returns {Gesture} */
function lasso(s, start, keys) {
  const points = [start];
  const now = () => {
    const line = open(simplified(points, OF_LASSO));
    const around = boundsOf(line);
    const enough = around && line.length > 2 && Math.max(around[2] - around[0], around[3] - around[1]) > LEAST;
    return enough ? placed(s, keys, { polygons: [line] }, line) : null;
  };
  return {
    move: (point) => {
      points.push(inCanvas(point));
      return now() ?? { drawing: s.drawing, selected: s.selected };
    },
    end: () => now() ?? { drawing: s.drawing, selected: regionAt(s.drawing, start, s.aspect) },
  };
}

/** @param {Setting} s @param {Point} start @param {Keys} keys @param {boolean} erase @returns {Gesture} */
function brush(s, start, keys, erase) {
  const points = [start];
  const index = changeable(s) ? s.selected : erase ? regionAt(s.drawing, start, s.aspect) : -1;
  if (erase && index < 0) return idle(s, -1);
  // A stroke that never meets the selected region is of another one, like a box or a lasso.
  let meets = erase || keys.join || (index >= 0 && touched(s.drawing.regions[index], start, s.width, s.aspect));
  const now = (/** @type {Point[]} */ line) => {
    const stroke = { width: s.width, points: line, erase, fill: false };
    if (index < 0 || !meets) return placed({ ...s, selected: -1 }, keys, { strokes: [stroke] }, []);
    const old = s.drawing.regions[index];
    return { drawing: replaced(s.drawing, index, { ...old, strokes: [...old.strokes, stroke] }), selected: index };
  };
  return {
    move: (point) => {
      points.push(inCanvas(point));
      meets ||= index >= 0 && touched(s.drawing.regions[index], inCanvas(point), s.width, s.aspect);
      return now(points.slice());
    },
    end: () => now(simplified(points, FINE)),
  };
}
