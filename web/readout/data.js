// What the server sent about a run, checked. No DOM. A "block" says where maps lie in the bytes of the atlas.

/** @typedef {{ at: number, shape: number[] }} Block first byte, and [..., h, w] */
/** @typedef {Record<string, string>} File as the server names one for /view */
/** @typedef {{ image: number, phrase: string, column: number, region: number, scores: number[] }} Place */
/** @typedef {{ maps: Block, shown: number, phrases: string[], has: number[][], tops: number[][], steps: number[], total: number, mean: string, regions: Block | null, places: Place[] }} Heat */
/** @typedef {{ maps: Block, xs: number[], ys: number[] }} Links */
/** @typedef {{ masks: Block, levels: Block | null, links: Links | null }} Subjects */
/** @typedef {{ lines: Block, wanted: Block | null, agreement: number[][] }} Edges */
/**
 * images: of ``all`` that are shown. size: a picture's width and height. show, step: what the node was set to.
 * @typedef {{ images: number, all: number, size: [number, number], show: string, step: number, atlas: File, pictures: File[],
 *   heat: Heat | null, edit: { masks: Block } | null, subjects: Subjects | null, edges: Edges | null }} Data
 */
/** @typedef {{ values: Uint8Array, width: number, height: number }} Grid one map, 0 to 255 */

export const KEY = "attention_director_readout";
const VERSION = 1;
const MOST_BYTES = 4 * 1024 * 1024;

const isNumber = (/** @type {unknown} */ value) => typeof value === "number" && Number.isFinite(value);
/** @param {unknown} value @param {(part: any) => boolean} is */
const isAll = (value, is) => Array.isArray(value) && value.every(is);
const isNumbers = (/** @type {unknown} */ value) => isAll(value, isNumber);
const isFile = (/** @type {any} */ value) => typeof value?.filename === "string";

/** @param {any} value @param {number} dimensions @returns {Block | null} */
function blockOf(value, dimensions) {
  const whole = (/** @type {unknown} */ n) => Number.isInteger(n) && /** @type {number} */ (n) >= 0;
  if (!whole(value?.at) || !isAll(value?.shape, (n) => whole(n) && n > 0) || value.shape.length !== dimensions) return null;
  const length = value.shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
  return value.at + length <= MOST_BYTES ? { at: value.at, shape: value.shape } : null;
}

/** @param {any} value @returns {Heat | null} */
function heatOf(value) {
  const maps = blockOf(value?.maps, 5);
  const fits = maps && isAll(value.phrases, (p) => typeof p === "string") && value.phrases.length === maps.shape[2]
    && isAll(value.has, isNumbers) && value.has.length === maps.shape[1] && isAll(value.tops, isNumbers)
    && value.tops.length === maps.shape[0] && isNumbers(value.steps) && value.steps.length === maps.shape[0] && isNumber(value.shown);
  if (!maps || !fits) return null;
  const regions = blockOf(value.landing?.regions, 3);
  const isPlace = (/** @type {any} */ p) => p?.image < maps.shape[1] && p.column < maps.shape[2] && regions && p.region < regions.shape[0]
    && isNumbers(p.scores) && p.scores.length === maps.shape[0];
  const places = Array.isArray(value.landing?.places) ? value.landing.places.filter(isPlace)
    .map((/** @type {any} */ { image, column, region, scores }) => ({ image, column, region, scores, phrase: value.phrases[column] })) : [];
  const { shown, phrases, has, tops, steps } = value;
  return { maps, shown, phrases, has, tops, steps, total: Number(value.total) || 0, mean: String(value.mean ?? ""), regions, places };
}

/** @param {any} value @returns {Subjects | null} */
function subjectsOf(value) {
  const masks = blockOf(value?.masks, 4);
  if (!masks) return null;
  const maps = blockOf(value.links?.maps, 4);
  const fits = maps && isNumbers(value.links.xs) && isNumbers(value.links.ys) && value.links.xs.length === maps.shape[3]
    && value.links.ys.length === maps.shape[2] && maps.shape[0] === 3;
  return { masks, levels: blockOf(value.levels, 4), links: maps && fits ? { maps, xs: value.links.xs, ys: value.links.ys } : null };
}

/** @param {any} value @returns {Edges | null} */
function edgesOf(value) {
  const lines = blockOf(value?.lines, 4);
  if (!lines) return null;
  return { lines, wanted: blockOf(value.wanted, 4), agreement: isAll(value.agreement, isNumbers) ? value.agreement : [] };
}

/** The data of a run, or null where there is none or of another version. @param {any} value @returns {Data | null} */
export function parse(value) {
  if (value?.version !== VERSION || !isFile(value.atlas) || !Number.isInteger(value.images) || value.images < 1) return null;
  const size = isNumbers(value.size) && value.size.length === 2 && value.size[0] > 0 && value.size[1] > 0 ? value.size : [1, 1];
  const masks = blockOf(value.edit?.masks, 4);
  return {
    images: value.images, all: isNumber(value.all) ? value.all : value.images, size, show: String(value.show ?? ""),
    step: isNumber(value.step) ? value.step : -1, atlas: value.atlas, pictures: isAll(value.pictures, isFile) ? value.pictures : [],
    heat: heatOf(value.heat), edit: masks && { masks }, subjects: subjectsOf(value.subjects), edges: edgesOf(value.edges),
  };
}

/** One map of a block. Numbers outside it, and bytes that are not there, give zeros. @param {Uint8Array} bytes @param {Block} block @param {...number} place @returns {Grid} */
export function mapAt(bytes, block, ...place) {
  const [height, width] = block.shape.slice(-2);
  let index = 0;
  let inside = true;
  place.forEach((n, axis) => {
    inside &&= n >= 0 && n < block.shape[axis];
    index = index * block.shape[axis] + n;
  });
  const start = block.at + index * height * width;
  const found = inside ? bytes.subarray(start, start + height * width) : bytes.subarray(0, 0);
  const values = found.length === height * width ? found : new Uint8Array(height * width);
  return { values, width, height };
}

/** The value of a map at a place of the picture, 0 to 1. @param {Grid} grid @param {number} x @param {number} y */
export function valueAt(grid, x, y) {
  const column = Math.min(grid.width - 1, Math.max(0, Math.floor(x * grid.width)));
  const row = Math.min(grid.height - 1, Math.max(0, Math.floor(y * grid.height)));
  return grid.values[row * grid.width + column] / 255;
}
