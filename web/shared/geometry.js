// Points and outlines in shares of a picture (0 to 1 each way). No DOM.

/** @typedef {[number, number]} Point */
/** @typedef {[number, number, number, number]} Box left, top, right, bottom */

/** @param {number} value @param {number} low @param {number} high */
export function clamp(value, low = 0, high = 1) {
  return Math.min(high, Math.max(low, value));
}

/** Four decimals: a sixteenth of a pixel on a canvas of 1024. @param {number} value */
export function rounded(value) {
  return Math.round(value * 1e4) / 1e4;
}

/** The nearest multiple of step; step 0 leaves the value alone. @param {number} value @param {number} step */
export function snapped(value, step) {
  return step > 0 ? Math.round(value / step) * step : value;
}

/** A box with its corners in order. @param {Box} box @returns {Box} */
export function ordered([x0, y0, x1, y1]) {
  return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
}

/** @param {Point[]} points @returns {Box | null} */
export function boundsOf(points) {
  if (!points.length) return null;
  /** @type {Box} */
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x);
    box[3] = Math.max(box[3], y);
  }
  return box;
}

/** The smallest box around both; null stands for nothing. @param {Box | null} a @param {Box | null} b */
export function union(a, b) {
  if (!a || !b) return a ?? b;
  return /** @type {Box} */ ([Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])]);
}

/** @param {Box} box @param {Point} point */
export function insideBox([x0, y0, x1, y1], [x, y]) {
  return x >= x0 && x <= x1 && y >= y0 && y <= y1;
}

/** By crossings of a ray to the right, so that a knot counts as it is filled. @param {Point[]} polygon @param {Point} point */
export function insidePolygon(polygon, [x, y]) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/**
 * How far a point lies from a line through points, in shares of the width.
 * @param {Point[]} points @param {Point} point @param {number} aspect width by height
 */
export function distanceToLine(points, [px, py], aspect) {
  let nearest = Infinity;
  const last = points.length - 1;
  for (let i = 0; i <= last; i++) {
    const [ax, ay] = points[Math.max(0, i - 1)];
    const [bx, by] = points[i];
    const [dx, dy] = [bx - ax, (by - ay) / aspect];
    const [ex, ey] = [px - ax, (py - ay) / aspect];
    const length = dx * dx + dy * dy;
    const t = length ? clamp((ex * dx + ey * dy) / length) : 0;
    nearest = Math.min(nearest, Math.hypot(ex - t * dx, ey - t * dy));
  }
  return nearest;
}

/**
 * Fewer points of the same course (Douglas and Peucker 1973). Without recursion: a scribble is long.
 * @param {Point[]} points @param {number} tolerance greatest distance left out, in shares
 * @returns {Point[]}
 */
export function simplified(points, tolerance) {
  if (points.length < 3) return points;
  const keep = new Set([0, points.length - 1]);
  /** @type {[number, number][]} */
  const spans = [[0, points.length - 1]];
  for (let span = spans.pop(); span; span = spans.pop()) {
    const [first, last] = span;
    let [far, index] = [tolerance, -1];
    for (let i = first + 1; i < last; i++) {
      const distance = distanceToLine([points[first], points[last]], points[i], 1);
      if (distance > far) [far, index] = [distance, i];
    }
    if (index < 0) continue;
    keep.add(index);
    spans.push([first, index], [index, last]);
  }
  return points.filter((_, i) => keep.has(i));
}
