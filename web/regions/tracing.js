// The white areas of a mask as outlines along the edges between its pixels, holes among them. No DOM.
import { simplified } from "../shared/geometry.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("../shared/geometry.js").Box} Box */
/** @typedef {import("./drawing.js").Region} Region */
/** A closed outline in pixels. area: in pixels, below 0 for a hole. @typedef {{ points: Point[], area: number }} Ring */

const LEAST_SHARE = 1e-4; // of the picture; smaller specks are left out
const MOST_POINTS = 400; // of a region, so that 64 of them fit into a drawing
const MOST_RINGS = 60;
const TOLERANCE_PX = 0.75;
const COARSEST_PX = 50;
/** Right, down, left, up. @type {Point[]} */
const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/**
 * The shapes of a region that covers the white of a mask, or null where there is none. A lone rectangle is a box.
 * @param {ArrayLike<number>} mask row by row, 0 is black @param {number} w @param {number} h
 * @returns {Pick<Region, "boxes" | "polygons" | "strokes"> | null}
 */
export function traced(mask, w, h) {
  const all = rings(mask, w, h).sort((a, b) => Math.abs(b.area) - Math.abs(a.area));
  const large = all.filter((ring, i) => i === 0 || Math.abs(ring.area) >= LEAST_SHARE * w * h);
  const lines = fewer(large.slice(0, MOST_RINGS).map((ring) => ({ ...ring, points: slanted(ring.points) })));
  return lines.length ? shapes(lines, w, h) : null;
}

/**
 * The corners of an outline, but a slanted edge, which pixels turn into steps, through the middles of its steps.
 * @param {Point[]} corners @returns {Point[]}
 */
function slanted(corners) {
  const at = (/** @type {number} */ i) => corners[(i + corners.length) % corners.length];
  const heading = (/** @type {number} */ i) => Math.atan2(at(i + 1)[1] - at(i)[1], at(i + 1)[0] - at(i)[0]);
  const step = corners.map(([x, y], i) => Math.abs(at(i + 1)[0] - x) + Math.abs(at(i + 1)[1] - y) === 1 && heading(i - 1) === heading(i + 1));
  return corners.flatMap((corner, i) => {
    const middle = /** @type {Point} */ ([(corner[0] + at(i + 1)[0]) / 2, (corner[1] + at(i + 1)[1]) / 2]);
    const kept = step[i] || step[(i + corners.length - 1) % corners.length] ? [] : [corner];
    return step[i] ? [...kept, middle] : kept;
  });
}

/** Outlines of few points. @param {Ring[]} all */
function fewer(all) {
  for (let tolerance = TOLERANCE_PX; ; tolerance *= 1.5) {
    const lines = all.map((ring) => ({ ...ring, points: outline(ring.points, tolerance) })).filter((ring) => ring.points.length > 2);
    if (tolerance > COARSEST_PX || lines.reduce((sum, ring) => sum + ring.points.length, 0) <= MOST_POINTS) return lines;
  }
}

/** A hair line would fall together into two points: it keeps more of them. @param {Point[]} points @param {number} tolerance */
function outline(points, tolerance) {
  const line = closed(points, tolerance);
  return line.length > 2 ? line : closed(points, tolerance / 3);
}

/** A closed outline with fewer points: its two halves, each simplified. @param {Point[]} points @param {number} tolerance */
function closed(points, tolerance) {
  const [[x, y]] = points;
  const distance = (/** @type {Point} */ p) => Math.hypot(p[0] - x, p[1] - y);
  const far = points.reduce((best, p, i) => (distance(p) > distance(points[best]) ? i : best), 0);
  const there = simplified(points.slice(0, far + 1), tolerance);
  const back = simplified([...points.slice(far), points[0]], tolerance);
  return [...there, ...back.slice(1, -1)];
}

/**
 * Outlines, large ones first, as a drawing paints them: what stands before the first hole as boxes and polygons, the
 * rest as strokes in this order. A ring that holds another is the larger one, so each is painted upon what holds it.
 * @param {Ring[]} all @param {number} w @param {number} h
 */
function shapes(all, w, h) {
  /** @type {Pick<Region, "boxes" | "polygons" | "strokes">} */
  const out = { boxes: [], polygons: [], strokes: [] };
  for (const { points, area } of all) {
    const line = points.map(([x, y]) => /** @type {Point} */ ([x / w, y / h]));
    const box = boxOf(line);
    if (area < 0 || out.strokes.length) out.strokes.push({ width: 0, points: line, erase: area < 0, fill: true });
    else if (box) out.boxes.push(box);
    else out.polygons.push(line);
  }
  return out;
}

/** The box that an upright rectangle is, or null. @param {Point[]} line @returns {Box | null} */
function boxOf(line) {
  const [xs, ys] = [0, 1].map((side) => [...new Set(line.map((p) => p[side]))].sort((a, b) => a - b));
  return line.length === 4 && xs.length === 2 && ys.length === 2 ? [xs[0], ys[0], xs[1], ys[1]] : null;
}

/** Every outline, white on its right hand. @param {ArrayLike<number>} mask @param {number} w @param {number} h @returns {Ring[]} */
function rings(mask, w, h) {
  const white = (/** @type {number} */ x, /** @type {number} */ y) => x >= 0 && y >= 0 && x < w && y < h && !!mask[y * w + x];
  const seen = new Uint8Array(w * h);
  /** @type {Ring[]} */
  const found = [];
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      if (white(x, y) && !white(x, y - 1) && !seen[y * w + x]) found.push(walk(white, seen, w, x, y));
    }
  }
  return found;
}

/** Is there an edge from a corner in a direction? @param {(x: number, y: number) => boolean} white @param {number} x @param {number} y @param {number} way */
function edge(white, x, y, way) {
  if (way === 0) return white(x, y) && !white(x, y - 1);
  if (way === 1) return white(x - 1, y) && !white(x, y);
  if (way === 2) return white(x - 1, y - 1) && !white(x - 1, y);
  return white(x, y - 1) && !white(x - 1, y - 1);
}

/**
 * Along an outline from the upper edge of a pixel back to it. Where two white pixels touch at a corner it goes on to
 * the other, so that a slanted hair line is one area.
 * @param {(x: number, y: number) => boolean} white @param {Uint8Array} seen upper edges walked @param {number} w
 * @param {number} startX @param {number} startY @returns {Ring}
 */
function walk(white, seen, w, startX, startY) {
  /** @type {Point[]} */
  const points = [];
  let [x, y, way, twice] = [startX, startY, 0, 0];
  do {
    if (way === 0) seen[y * w + x] = 1;
    const [dx, dy] = STEPS[way];
    twice += x * (y + dy) - (x + dx) * y;
    [x, y] = [x + dx, y + dy];
    const next = [3, 0, 1].map((turn) => (way + turn) % 4).find((to) => edge(white, x, y, to)) ?? way;
    if (next !== way) points.push([x, y]);
    way = next;
  } while (x !== startX || y !== startY || way !== 0);
  return { points, area: twice / 2 };
}
