// Boxes as people have them: of the host's editor and its detector, of Florence-2 and of other detectors.
// bridge/regions/boxes.py reads the same ones in a run, and says by which rules.

/** @typedef {{ corners: number[], words: unknown, grid: number }} Raw left, top, right, bottom; grid: of an element's numbers, 0 for pixels or shares */

const ELEMENT_GRID = 1000;
const LEAST_PIXELS = 2;
const MANY = ["bboxes", "boxes", "quad_boxes"];
const DESCRIBED = ["desc", "text"];
const WORDS = [...DESCRIBED, "label", "class", "class_name"];
const DETECTED = ["label", "class", "class_name", "score", "confidence"];
/** Names of left, top, right and bottom. */
const SIDES = [["xmin", "ymin", "xmax", "ymax"], ["x0", "y0", "x1", "y1"], ["x1", "y1", "x2", "y2"], ["left", "top", "right", "bottom"]];

/** @param {any} value */
const isCorners = (value) => Array.isArray(value) && value.length > 0 && value.every((n) => typeof n === "number");
/** @param {any} value */
const isObject = (value) => Boolean(value) && typeof value === "object" && !Array.isArray(value);
/** @param {any} value */
const isMany = (value) => isObject(value) && MANY.some((name) => name in value);

/** One entry per box of the first picture: from one box, a list, or boxes and labels side by side. @param {any} value @returns {any[]} */
function listed(value) {
  if (isCorners(value)) return [value];
  if (Array.isArray(value)) {
    const [first] = value;
    return isMany(first) || (Array.isArray(first) && !isCorners(first)) ? listed(first) : value;
  }
  const name = isObject(value) && MANY.find((one) => one in value);
  if (name) return value[name].map((/** @type {any} */ box, /** @type {number} */ i) => ({ box, label: (value.labels ?? value.classes)?.[i] }));
  const inner = isObject(value) ? Object.values(value) : [];
  return inner.length === 1 && isMany(inner[0]) ? listed(inner[0]) : [value];
}

/** @param {number[]} numbers four corners as they are, eight as the box round them @returns {number[]} */
function cornersOf(numbers) {
  if (numbers.length !== 8) return numbers.length === 4 ? numbers : [NaN, NaN, NaN, NaN];
  const [xs, ys] = [0, 1].map((odd) => numbers.filter((_, i) => i % 2 === odd));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** @param {any} place @returns {number[]} */
function sidesOf(place) {
  const names = SIDES.find((all) => all.every((name) => name in place));
  return names ? names.map((name) => place[name]) : [place.x, place.y, place.x + place.width, place.y + place.height];
}

/** @param {any} entry @returns {unknown} */
const wordsOf = (entry) => [entry.metadata?.desc, ...WORDS.map((name) => entry[name])].find((text) => typeof text === "string" && text.trim());

/** @param {any} entry @returns {Raw} */
function rawOf(entry) {
  if (isCorners(entry)) return { corners: cornersOf(entry), words: "", grid: 0 };
  const words = wordsOf(entry);
  const inner = entry.box ?? entry.bbox;
  if (inner === undefined) return { corners: sidesOf(entry), words, grid: 0 };
  if (isObject(inner)) return { corners: sidesOf(inner), words, grid: 0 };
  const detected = DETECTED.some((name) => name in entry) && !DESCRIBED.some((name) => entry[name]);
  if ("box" in entry || detected) return { corners: cornersOf(inner), words, grid: 0 };
  const [top, left, bottom, right] = cornersOf(inner);
  return { corners: [left, top, right, bottom], words, grid: ELEMENT_GRID };
}

/**
 * Every box as shares of the picture, and its words. Numbers are pixels unless none of them reaches 2.
 * @param {any} value @param {number} width @param {number} height @returns {{ box: number[], words: unknown }[]}
 */
export function readBoxes(value, width, height) {
  const found = listed(value).map((entry) => {
    if (!entry || typeof entry !== "object") throw new Error("not a box");
    return rawOf(entry);
  });
  const free = found.filter((raw) => !raw.grid).flatMap((raw) => raw.corners.map(Math.abs));
  const [across, down] = free.some((n) => n >= LEAST_PIXELS) ? [width, height] : [1, 1];
  return found.map(({ corners: [left, top, right, bottom], words, grid }) => ({
    box: [left / (grid || across), top / (grid || down), right / (grid || across), bottom / (grid || down)], words }));
}
