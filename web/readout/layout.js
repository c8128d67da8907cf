// Where pictures of one shape stand in a frame, as large as they can. No DOM.

/** @typedef {{ x: number, y: number, w: number, h: number }} Tile */

/**
 * @param {number} count @param {number} aspect of one, width by height
 * @param {number} width of the frame @param {number} height @param {number} gap between them
 * @returns {Tile[]} row by row, in the middle of the frame
 */
export function tiles(count, aspect, width, height, gap) {
  let [columns, wide] = [1, 0];
  for (let n = 1; n <= count; n++) {
    const rows = Math.ceil(count / n);
    const w = Math.min((width - gap * (n - 1)) / n, ((height - gap * (rows - 1)) / rows) * aspect);
    if (w > wide + 1e-9) [columns, wide] = [n, w];
  }
  const [w, h] = [Math.max(1, wide), Math.max(1, wide / aspect)];
  const rows = Math.ceil(count / columns);
  const top = (height - rows * h - (rows - 1) * gap) / 2;
  return Array.from({ length: count }, (_, i) => {
    const row = Math.floor(i / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = (width - inRow * w - (inRow - 1) * gap) / 2;
    return { x: left + (i % columns) * (w + gap), y: top + row * (h + gap), w, h };
  });
}

/** The tile at a point, with the place in it from 0 to 1; null between tiles. @param {Tile[]} all @param {number} x @param {number} y */
export function tileAt(all, x, y) {
  const index = all.findIndex((t) => x >= t.x && x < t.x + t.w && y >= t.y && y < t.y + t.h);
  if (index < 0) return null;
  const { x: left, y: top, w, h } = all[index];
  return { index, x: (x - left) / w, y: (y - top) / h };
}
