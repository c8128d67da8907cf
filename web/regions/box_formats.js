// Boxes as people have them: of the host's editor and its detector, of Florence-2 and of other detectors.
// bridge/regions/boxes.py reads the same ones in a run.

const ELEMENT_GRID = 1000;
/** Names of left, top, right and bottom. */
const CORNERS = [["xmin", "ymin", "xmax", "ymax"], ["x1", "y1", "x2", "y2"], ["x0", "y0", "x1", "y1"]];

/** @param {any} value */
const isCorners = (value) => Array.isArray(value) && value.length === 4 && value.every((n) => typeof n === "number");

/** One entry a box, from one box, a list, a list of frames (the first is taken), or boxes and labels side by side. @param {any} value @returns {any[]} */
export function listOf(value) {
  if (isCorners(value)) return [value];
  if (Array.isArray(value)) {
    const [first] = value;
    const frames = Array.isArray(first) ? !isCorners(first) : Array.isArray(first?.bboxes);
    return frames ? listOf(first) : value;
  }
  if (!Array.isArray(value?.bboxes)) return [value];
  return value.bboxes.map((/** @type {any} */ box, /** @type {number} */ i) => ({ box, label: value.labels?.[i] }));
}

/**
 * Corners as shares of the picture, and the words of a box. An element's bbox is top, left, bottom, right on a grid;
 * with a detector's label it is left, top, right, bottom in pixels.
 * @param {any} entry @param {number} width @param {number} height @returns {{ box: number[], words: unknown }}
 */
export function readBox(entry, width, height) {
  if (isCorners(entry)) return { box: shares(entry, width, height), words: "" };
  const described = entry.desc || entry.text;
  if ("bbox" in entry && (described || entry.label === undefined)) {
    const [top, left, bottom, right] = entry.bbox;
    return { box: [left, top, right, bottom].map((n) => n / ELEMENT_GRID), words: described };
  }
  const pixels = pixelsOf(entry.bbox ?? entry.box ?? entry);
  return { box: shares(pixels, width, height), words: entry.metadata?.desc || described || entry.label };
}

/** @param {any} place @returns {number[]} left, top, right, bottom */
function pixelsOf(place) {
  if (isCorners(place)) return place;
  const names = CORNERS.find((all) => all.every((name) => name in place));
  return names ? names.map((name) => place[name]) : [place.x, place.y, place.x + place.width, place.y + place.height];
}

/** @param {number[]} pixels @param {number} width @param {number} height */
const shares = ([left, top, right, bottom], width, height) => [left / width, top / height, right / width, bottom / height];
