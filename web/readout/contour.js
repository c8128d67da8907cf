// The border of a map at half its height, by marching squares. Coordinates are shares of the picture.

/** @typedef {import("./data.js").Grid} Grid */
/** @typedef {[number, number, number, number]} Segment x0, y0, x1, y1 */

const LEVEL = 127.5;
// Which sides of a square (0 top, 1 right, 2 bottom, 3 left) the border joins, by which corners are inside
// (1 upper left, 2 upper right, 4 lower right, 8 lower left).
/** @type {number[][]} */
const JOINS = [[], [3, 0], [0, 1], [3, 1], [1, 2], [3, 0, 1, 2], [0, 2], [3, 2], [2, 3], [2, 0], [0, 1, 2, 3], [2, 1], [1, 3], [1, 0], [0, 3], []];

/** @param {Grid} grid @returns {Segment[]} closed outlines, cut at the border of the picture */
export function contour({ values, width, height }) {
  const at = (/** @type {number} */ x, /** @type {number} */ y) =>
    (x < 0 || y < 0 || x >= width || y >= height ? 0 : values[y * width + x]);
  const share = (/** @type {number} */ n, /** @type {number} */ of) => Math.min(1, Math.max(0, (n + 0.5) / of));
  /** @type {Segment[]} */
  const found = [];
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)];
      const joins = JOINS[corners.reduce((sum, value, i) => sum + (value > LEVEL ? 1 << i : 0), 0)];
      for (let i = 0; i < joins.length; i += 2) {
        const [x0, y0] = crossing(joins[i], corners);
        const [x1, y1] = crossing(joins[i + 1], corners);
        found.push([share(x + x0, width), share(y + y0, height), share(x + x1, width), share(y + y1, height)]);
      }
    }
  }
  return found;
}

/** Where the border crosses a side, from the square's upper left corner. @param {number} side @param {number[]} corners */
function crossing(side, corners) {
  const [a, b] = [corners[side], corners[(side + 1) % 4]];
  const t = (LEVEL - a) / (b - a);
  return [[t, 0], [1, t], [1 - t, 1], [0, 1 - t]][side];
}
