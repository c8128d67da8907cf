// One picture of the run with what is to be shown over it. All words go by fillText.
import { tint } from "../shared/colours.js";
import { contour } from "./contour.js";
import { mapAt } from "./data.js";
import { dotsOf } from "./dots.js";
import { percent, regionsOf } from "./model.js";
import { heatPixels, tintPixels } from "./ramp.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./data.js").Grid} Grid */
/** @typedef {import("./layout.js").Tile} Tile */
/** @typedef {CanvasRenderingContext2D} Context */
/** @typedef {HTMLImageElement | HTMLCanvasElement | null} Picture */
/**
 * pictures: colour and dimmed grey, by image, one for all, or none. hover: the image under the mouse, or -1.
 * @typedef {{ data: Data, bytes: Uint8Array, pictures: { plain: Picture, dim: Picture }[], choice: import("./model.js").Choice, hover: number }} Scene
 */

const LINES = "#7ee0ff"; // a drawing's lines over a picture
const TINT_SHIFT = 4; // away from the colours of the first regions

/** @param {Context} to @param {Tile} tile @param {Scene} scene @param {number} image @param {number} unit canvas pixels to one of the page */
export function paintTile(to, tile, scene, image, unit) {
  const picture = scene.pictures[image % (scene.pictures.length || 1)] ?? { plain: null, dim: null };
  to.save();
  to.beginPath();
  to.rect(tile.x, tile.y, tile.w, tile.h);
  to.clip();
  const badge = PAINTERS[scene.choice.kind](to, tile, scene, image, unit, picture);
  const number = scene.data.images > 1 ? `${image + 1}` : "";
  paintBadge(to, tile, [number, badge].filter(Boolean).join("  "), unit);
  to.restore();
}

/** @typedef {(to: Context, tile: Tile, scene: Scene, image: number, unit: number, picture: { plain: Picture, dim: Picture }) => string} Painter returns the badge's words */

/** @type {Painter} */
function heat(to, tile, { data, bytes, choice }, image, _, picture) {
  const maps = data.heat;
  if (!maps || choice.item < 0) return base(to, tile, picture.plain);
  if (!maps.has[image]?.[choice.item]) return base(to, tile, picture.dim) || t("not in this prompt");
  overlay(to, tile, picture.dim, mapAt(bytes, maps.maps, choice.step, image, choice.item));
  return "";
}

/** @type {Painter} */
function landing(to, tile, { data, bytes, choice }, image, unit, picture) {
  const regions = regionsOf(data);
  const maps = data.heat;
  if (!maps?.regions) return base(to, tile, picture.plain);
  const chosen = regions[choice.item];
  const places = (chosen ? [chosen] : regions).flatMap((r) => r.places.filter((place) => place.image === image));
  if (chosen && places.length) overlay(to, tile, picture.dim, mapAt(bytes, maps.maps, choice.step, image, chosen.column));
  else base(to, tile, chosen ? picture.dim : picture.plain);
  for (const place of places) outline(to, tile, mapAt(bytes, maps.regions, place.region), "#ffffff", unit);
  if (chosen && !places.length) return t("not in this prompt");
  return chosen ? percent(places[0].scores[choice.step]) : "";
}

/** @type {Painter} */
function edit(to, tile, { data, bytes, choice }, image, unit, picture) {
  base(to, tile, picture.plain);
  if (!data.edit || choice.item < 0) return "";
  const mask = mapAt(bytes, data.edit.masks, choice.item, image);
  drawGrid(to, tile, mask, picture.plain ? tintPixels(mask.values, [0, 0, 0], 0.72, true) : tintPixels(mask.values, [255, 255, 255], 0.9));
  outline(to, tile, mask, "#ffffff", unit);
  return mask.values.some((value) => value > 127) ? "" : t("nothing here");
}

/** @type {Painter} */
function subjects(to, tile, scene, image, unit, picture) {
  const { data, bytes, choice, hover } = scene;
  const found = data.subjects;
  base(to, tile, found?.links && choice.matches ? picture.dim : picture.plain);
  if (!found) return "";
  const count = found.masks.shape[0];
  for (let layer = 0; layer < count; layer++) {
    if (choice.item < 0 || (count > 1 && choice.item !== layer)) continue;
    const mask = choice.step && found.levels ? mapAt(bytes, found.levels, choice.step - 1, image) : mapAt(bytes, found.masks, layer, image);
    const colour = tint(layer + TINT_SHIFT);
    if (!choice.matches || !found.links) drawGrid(to, tile, mask, tintPixels(mask.values, colour, 0.42));
    outline(to, tile, mask, `rgb(${colour.join(", ")})`, unit);
  }
  if (found.links && choice.matches) paintDots(to, tile, scene, image, unit, hover);
  return "";
}

/** Filled: the patches that draw. Rings: where in an anchor the picture under the mouse draws from. @type {(to: Context, tile: Tile, scene: Scene, image: number, unit: number, hover: number) => void} */
function paintDots(to, tile, { data, bytes }, image, unit, hover) {
  const links = data.subjects?.links;
  if (!links) return;
  const radius = Math.max(2 * unit, tile.w / 90);
  const round = (/** @type {number} */ x, /** @type {number} */ y) => {
    to.beginPath();
    to.arc(tile.x + x * tile.w, tile.y + y * tile.h, radius, 0, 2 * Math.PI);
  };
  if (hover < 0 || hover === image) {
    to.strokeStyle = "rgba(0, 0, 0, 0.7)";
    to.lineWidth = unit;
    for (const dot of dotsOf(bytes, links, image)) {
      to.fillStyle = dot.colour;
      round(dot.x, dot.y);
      to.fill();
      to.stroke();
    }
    return;
  }
  to.lineWidth = 2 * unit;
  for (const dot of dotsOf(bytes, links, hover)) {
    if (dot.anchor !== image) continue;
    to.strokeStyle = dot.colour;
    round(dot.fromX, dot.fromY);
    to.stroke();
  }
}

/** The picture with the drawing's lines, and beside it the lines the predictor found. @type {Painter} */
function edges(to, tile, { data, bytes, choice }, image, unit, picture) {
  const found = data.edges;
  const half = { ...tile, w: tile.w / 2 };
  const right = { ...half, x: tile.x + half.w };
  base(to, half, picture.dim);
  if (!found) return "";
  const layer = Math.max(0, choice.item);
  if (found.wanted) {
    const wanted = mapAt(bytes, found.wanted, layer, image);
    drawGrid(to, half, wanted, tintPixels(wanted.values, [126, 224, 255], 1));
  }
  base(to, right, null);
  const lines = mapAt(bytes, found.lines, layer, image);
  drawGrid(to, right, lines, tintPixels(lines.values, [255, 255, 255], 1));
  to.fillStyle = "rgba(255, 255, 255, 0.5)";
  to.fillRect(right.x - unit / 2, tile.y, unit, tile.h);
  const near = found.agreement[layer]?.[image];
  paintBadge(to, right, "predicted", unit);
  if (found.wanted) paintBadge(to, { ...half, y: tile.y + tile.h - 18 * unit, h: 18 * unit }, "drawn", unit, LINES);
  return near === undefined ? "" : t("agreement {number}", { number: near.toFixed(2) });
}

/** @type {Record<import("./model.js").Kind, Painter>} */
const PAINTERS = { "heat maps": heat, landing, "edit mask": edit, subjects, edges };

/** @param {Context} to @param {Tile} tile @param {Picture} picture @returns {""} */
function base(to, tile, picture) {
  to.fillStyle = "#000000";
  to.fillRect(tile.x, tile.y, tile.w, tile.h);
  to.imageSmoothingQuality = "high";
  if (picture) to.drawImage(picture, tile.x, tile.y, tile.w, tile.h);
  return "";
}

/** @param {Context} to @param {Tile} tile @param {Picture} dim @param {Grid} map */
function overlay(to, tile, dim, map) {
  base(to, tile, dim);
  drawGrid(to, tile, map, heatPixels(map.values, !dim));
}

const small = /** @type {{ canvas?: HTMLCanvasElement }} */ ({});

/** Pixels of a map over the whole tile, smooth between the cells. @param {Context} to @param {Tile} tile @param {Grid} map @param {Uint8ClampedArray<ArrayBuffer>} pixels */
function drawGrid(to, tile, map, pixels) {
  small.canvas ??= document.createElement("canvas");
  Object.assign(small.canvas, { width: map.width, height: map.height });
  small.canvas.getContext("2d")?.putImageData(new ImageData(pixels, map.width, map.height), 0, 0);
  to.imageSmoothingEnabled = true;
  to.imageSmoothingQuality = "high";
  to.drawImage(small.canvas, tile.x, tile.y, tile.w, tile.h);
}

/** A map's border, light on dark. @param {Context} to @param {Tile} tile @param {Grid} map @param {string} colour @param {number} unit */
function outline(to, tile, map, colour, unit) {
  to.beginPath();
  for (const [x0, y0, x1, y1] of contour(map)) {
    to.moveTo(tile.x + x0 * tile.w, tile.y + y0 * tile.h);
    to.lineTo(tile.x + x1 * tile.w, tile.y + y1 * tile.h);
  }
  to.lineCap = "round";
  for (const [style, width] of /** @type {[string, number][]} */ ([["rgba(0, 0, 0, 0.75)", 4], [colour, 2]])) {
    to.strokeStyle = style;
    to.lineWidth = width * unit;
    to.stroke();
  }
}

/** @param {Context} to @param {Tile} tile @param {string} words @param {number} unit @param {string} [colour] */
function paintBadge(to, tile, words, unit, colour = "#ffffff") {
  if (!words) return;
  to.font = `600 ${11 * unit}px system-ui, sans-serif`;
  to.textAlign = "left";
  to.textBaseline = "middle";
  const room = Math.max(0, tile.w - 10 * unit);
  const wide = Math.min(room, to.measureText(words).width);
  to.fillStyle = "rgba(0, 0, 0, 0.62)";
  to.fillRect(tile.x, tile.y, wide + 10 * unit, 17 * unit);
  to.fillStyle = colour;
  to.fillText(words, tile.x + 5 * unit, tile.y + 9 * unit, room);
}
