// What a region covers, and the same region somewhere else.
import { boundsOf, clamp, distanceToLine, insideBox, insidePolygon, union } from "../shared/geometry.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("../shared/geometry.js").Box} Box */
/** @typedef {import("./drawing.js").Region} Region */
/** @typedef {import("./drawing.js").Stroke} Stroke */
/** @typedef {import("./drawing.js").Drawing} Drawing */

/** The smallest box around what is painted, cut at the canvas; null for a region without paint.
 * @param {Region} region @param {number} aspect width by height @returns {Box | null} */
export function bounds(region, aspect) {
  /** @type {Box | null} */
  let box = null;
  for (const own of region.boxes) box = union(box, own);
  for (const polygon of region.polygons) box = union(box, boundsOf(polygon));
  for (const stroke of region.strokes) if (!stroke.erase) box = union(box, strokeBounds(stroke, aspect));
  return box && /** @type {Box} */ (box.map((n) => clamp(n)));
}

/** @param {Stroke} stroke @param {number} aspect @returns {Box | null} */
function strokeBounds(stroke, aspect) {
  const box = boundsOf(stroke.points);
  const x = stroke.fill ? 0 : stroke.width / 2;
  return box && [box[0] - x, box[1] - x * aspect, box[2] + x, box[3] + x * aspect];
}

/** @param {Region} region @param {Point} point @param {number} aspect */
export function covers(region, point, aspect) {
  let inside = region.boxes.some((box) => insideBox(box, point))
    || region.polygons.some((polygon) => insidePolygon(polygon, point));
  for (const stroke of region.strokes) if (under(stroke, point, aspect)) inside = !stroke.erase;
  return inside;
}

/** Does a round brush of this width meet the region? One without paint is met anywhere.
 * @param {Region} region @param {Point} point @param {number} width @param {number} aspect */
export function touched(region, [x, y], width, aspect) {
  const turns = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => (n * Math.PI) / 4);
  const rim = turns.map((turn) => /** @type {Point} */ ([x + (width / 2) * Math.cos(turn), y + (width / 2) * aspect * Math.sin(turn)]));
  return !bounds(region, aspect) || [/** @type {Point} */ ([x, y]), ...rim].some((point) => covers(region, point, aspect));
}

/** @param {Stroke} stroke @param {Point} point @param {number} aspect */
function under(stroke, point, aspect) {
  if (stroke.fill) return insidePolygon(stroke.points, point);
  return distanceToLine(stroke.points, point, aspect) <= stroke.width / 2;
}

/** The front region at a point that a hand can take, or -1. @param {Drawing} drawing @param {Point} point @param {number} aspect */
export function regionAt(drawing, point, aspect) {
  return drawing.regions.findIndex((region) => !region.locked && !region.hidden && covers(region, point, aspect));
}

const MOST_POINTS = 120; // of a region: more would hide what they outline

/** The points of a region's outlines that can be dragged, each with the name of its handle. @param {Region} region @returns {[string, Point][]} */
export function pointsOf(region) {
  const all = region.polygons.flatMap((line, i) => line.map((point, k) => /** @type {[string, Point]} */ ([`point ${i} ${k}`, point])));
  return all.length > MOST_POINTS ? [] : all;
}

/** Which outline and which of its points a handle is, or null for one of the frame's. @param {string} handle @returns {[number, number] | null} */
export function pointOf(handle) {
  const [kind, line, at] = handle.split(" ");
  return kind === "point" ? [Number(line), Number(at)] : null;
}

/** Each point of a region elsewhere. @param {Region} region @param {(p: Point) => Point} place @param {number} widen */
function mapped(region, place, widen = 1) {
  const line = (/** @type {Point[]} */ points) => points.map(place);
  return {
    ...region,
    boxes: region.boxes.map((b) => /** @type {Box} */ ([...place([b[0], b[1]]), ...place([b[2], b[3]])])),
    polygons: region.polygons.map(line),
    strokes: region.strokes.map((s) => ({ ...s, width: clamp(s.width * widen, 0, 2), points: line(s.points) })),
  };
}

/**
 * The region moved, but no further than the canvas's edge.
 * @param {Region} region @param {number} dx @param {number} dy @param {number} aspect @returns {Region}
 */
export function moved(region, dx, dy, aspect) {
  const box = bounds(region, aspect);
  if (!box) return region;
  const x = clamp(dx, -box[0], 1 - box[2]);
  const y = clamp(dy, -box[1], 1 - box[3]);
  return mapped(region, ([px, py]) => [clamp(px + x), clamp(py + y)]);
}

/**
 * The region stretched from one box onto another; strokes grow in thickness with it.
 * @param {Region} region @param {Box} from @param {Box} to @returns {Region}
 */
export function stretched(region, from, to) {
  const scale = (/** @type {number} */ side) => {
    const length = from[side + 2] - from[side];
    return length > 1e-6 ? (to[side + 2] - to[side]) / length : 1;
  };
  const [sx, sy] = [scale(0), scale(1)];
  const place = (/** @type {Point} */ [x, y]) =>
    /** @type {Point} */ ([clamp(to[0] + (x - from[0]) * sx), clamp(to[1] + (y - from[1]) * sy)]);
  return mapped(region, place, Math.sqrt(Math.abs(sx * sy)));
}

/**
 * Every region with the proportions it had on a picture of another shape, centred.
 * @param {Drawing} drawing @param {[number, number]} size the picture's new width and height @returns {Drawing}
 */
export function refitted(drawing, size) {
  if (!drawing.size) return { ...drawing, size };
  const ratio = drawing.size[0] / drawing.size[1] / (size[0] / size[1]);
  const [sx, sy] = ratio > 1 ? [1, 1 / ratio] : [ratio, 1];
  const to = /** @type {Box} */ ([(1 - sx) / 2, (1 - sy) / 2, (1 + sx) / 2, (1 + sy) / 2]);
  const place = (/** @type {Point} */ [x, y]) => /** @type {Point} */ ([to[0] + x * sx, to[1] + y * sy]);
  return { size, regions: drawing.regions.map((region) => mapped(region, place, sx)) };
}
