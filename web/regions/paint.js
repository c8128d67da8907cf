// The drawing as a picture. Words are drawn by fillText, so they stay words.
import { css } from "../shared/colours.js";
import { paintBackground, paintBrush, paintHint, paintStroke, trace } from "../shared/ink.js";
import { bounds, pointsOf } from "./shapes.js";

/** @typedef {import("../shared/geometry.js").Box} Box */
/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {import("./drawing.js").Region} Region */
/**
 * @typedef {object} Scene
 * @property {Drawing} drawing
 * @property {number} selected index, or -1
 * @property {number} hovered index, or -1
 * @property {string[]} labels a region's label
 * @property {string[]} scores what follows it, whole
 * @property {boolean[]} stale its words are not in the prompt
 * @property {boolean[]} missed its thing did not land there
 * @property {HTMLImageElement | null} background
 * @property {Point | null} brush where the brush stands
 * @property {number} brushWidth share of the width
 * @property {[number, number] | null} grid cells across and down, shown while something snaps
 * @property {() => void} ghosts paints what lies behind the drawn regions
 * @property {string} hint what an empty canvas says
 */

const MISSED = "#ff4d4d";
export const HANDLE = 7;
export const POINT = 6; // around a point of an outline
const LABEL = 11.5;

/** Handle names of a box and their places. @param {Box} b @returns {[string, Point][]} */
export function handles([x0, y0, x1, y1]) {
  const [cx, cy] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return [["nw", [x0, y0]], ["n", [cx, y0]], ["ne", [x1, y0]], ["e", [x1, cy]], ["se", [x1, y1]], ["s", [cx, y1]],
    ["sw", [x0, y1]], ["w", [x0, cy]]];
}

/**
 * @param {CanvasRenderingContext2D} to @param {number} w @param {number} h in pixels
 * @param {number} unit backing pixels in a pixel of the page @param {Scene} scene
 * @returns {(Box | null)[]} where each label stands, from 0 to 1
 */
export function paint(to, w, h, unit, scene) {
  to.clearRect(0, 0, w, h);
  to.fillStyle = "#202124";
  to.fillRect(0, 0, w, h);
  if (scene.background) paintBackground(to, w, h, scene.background, 0.75);
  if (scene.grid) paintGrid(to, w, h, scene.grid);
  scene.ghosts();
  const { regions } = scene.drawing;
  const held = regions[scene.selected]?.hidden ? undefined : regions[scene.selected];
  for (let i = regions.length - 1; i >= 0; i--) {
    if (regions[i].hidden) continue;
    const strong = i === scene.selected || i === scene.hovered;
    paintRegion(to, w, h, unit, regions[i], strong, !!scene.background);
    if (scene.missed[i]) paintFrame(to, w, h, unit, regions[i], MISSED);
  }
  if (held) paintFrame(to, w, h, unit, held);
  /** @type {(Box | null)[]} */
  const labels = [];
  const order = regions.map((_, i) => i).reverse().sort((a, b) => Number(a === scene.selected) - Number(b === scene.selected));
  for (const i of order) labels[i] = regions[i].hidden ? null : paintLabel(to, w, h, unit, regions[i], i, scene);
  if (held && !held.locked) paintHandles(to, w, h, unit, held);
  if (scene.brush) paintBrush(to, w, h, unit, scene.brush, scene.brushWidth);
  if (!regions.length && scene.hint) paintHint(to, w, h, unit, scene.hint);
  return labels;
}

/** @type {(to: CanvasRenderingContext2D, w: number, h: number, grid: [number, number]) => void} */
function paintGrid(to, w, h, [across, down]) {
  const coarse = Math.max(1, Math.ceil(across / 48), Math.ceil(down / 48));
  to.strokeStyle = "rgba(255, 255, 255, 0.09)";
  to.lineWidth = 1;
  to.beginPath();
  for (let i = coarse; i < across; i += coarse) line(to, (i / across) * w, 0, (i / across) * w, h);
  for (let i = coarse; i < down; i += coarse) line(to, 0, (i / down) * h, w, (i / down) * h);
  to.stroke();
}

/** @type {(to: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number) => void} */
function line(to, x0, y0, x1, y1) {
  to.moveTo(Math.round(x0) + 0.5, Math.round(y0) + 0.5);
  to.lineTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
}

/** @type {HTMLCanvasElement | null} */
let scratch = null;

/** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number, region: Region, strong: boolean, clear: boolean) => void} clear: a picture shines through */
function paintRegion(to, w, h, unit, region, strong, clear) {
  const alpha = (strong ? 0.55 : 0.36) * (clear ? 0.45 : 1) * (region.off ? 0.3 : 1);
  if (!region.strokes.length) {
    to.fillStyle = css(region.number, alpha);
    to.strokeStyle = css(region.number);
    to.lineWidth = (strong ? 2 : 1.25) * unit;
    to.setLineDash(region.off ? [2 * unit, 3 * unit] : []);
    for (const outline of outlines(region)) {
      trace(to, outline, w, h);
      to.fill();
      to.stroke();
    }
    to.setLineDash([]);
    return;
  }
  scratch ??= document.createElement("canvas");
  if (scratch.width !== w || scratch.height !== h) [scratch.width, scratch.height] = [w, h];
  const own = scratch.getContext("2d");
  if (!own) return;
  paintShape(own, w, h, region, css(region.number));
  to.globalAlpha = alpha;
  to.drawImage(scratch, 0, 0);
  to.globalAlpha = 1;
}

/** A region with strokes on a surface of its own, since the eraser must not reach the others.
 * @type {(own: CanvasRenderingContext2D, w: number, h: number, region: Region, colour: string) => void} */
export function paintShape(own, w, h, region, colour) {
  own.globalCompositeOperation = "source-over";
  own.clearRect(0, 0, w, h);
  own.fillStyle = own.strokeStyle = colour;
  own.lineCap = own.lineJoin = "round";
  for (const outline of outlines(region)) {
    trace(own, outline, w, h);
    own.fill();
  }
  for (const stroke of region.strokes) {
    own.globalCompositeOperation = stroke.erase ? "destination-out" : "source-over";
    paintStroke(own, w, h, stroke);
  }
  own.globalCompositeOperation = "source-over";
}

/** @param {Region} region @returns {Point[][]} */
function outlines(region) {
  return [...region.boxes.map(([a, b, c, d]) => /** @type {Point[]} */ ([[a, b], [c, b], [c, d], [a, d]])),
    ...region.polygons.filter((polygon) => polygon.length > 2)];
}

/** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number, region: Region, i: number, scene: Scene) => Box | null} */
function paintLabel(to, w, h, unit, region, i, scene) {
  const box = bounds(region, w / h);
  if (!box) return null;
  const size = LABEL * unit;
  to.font = `500 ${size}px system-ui, sans-serif`;
  to.textBaseline = "middle";
  to.textAlign = "left";
  const wide = Math.max(size * 2, Math.min(w, Math.max((box[2] - box[0]) * w, size * 9)));
  const score = scene.scores[i];
  const words = shortened(to, `${scene.stale[i] ? "⚠ " : ""}${scene.labels[i]}`, wide - size * 0.8 - to.measureText(score).width) + score;
  const width = to.measureText(words).width + size * 0.8;
  const height = size * 1.5;
  const x = Math.min(box[0] * w, w - width);
  const y = Math.min(box[1] * h, h - height);
  to.fillStyle = scene.missed[i] ? MISSED : css(region.number);
  to.fillRect(x, y, width, height);
  to.fillStyle = "#14161a";
  to.fillText(words, x + size * 0.4, y + height / 2);
  if (scene.stale[i]) {
    to.strokeStyle = "#ffb02e";
    to.lineWidth = 2 * unit;
    to.strokeRect(x, y, width, height);
  }
  return [x / w, y / h, (x + width) / w, (y + height) / h];
}

/** @type {(to: CanvasRenderingContext2D, text: string, width: number) => string} */
export function shortened(to, text, width) {
  if (to.measureText(text).width <= width) return text;
  const letters = [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment); // an emoji is several characters
  while (letters.length > 1 && to.measureText(`${letters.join("")}…`).width > width) letters.pop();
  return `${letters.join("")}…`;
}

/** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number, region: Region, colour?: string) => void} */
function paintFrame(to, w, h, unit, region, colour = "#ffffff") {
  const box = bounds(region, w / h);
  if (!box) return;
  const [x0, y0, x1, y1] = [box[0] * w, box[1] * h, box[2] * w, box[3] * h];
  to.setLineDash([5 * unit, 4 * unit]);
  to.lineWidth = 1.5 * unit;
  to.strokeStyle = colour;
  to.strokeRect(x0, y0, x1 - x0, y1 - y0);
  to.setLineDash([]);
}

/** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number, region: Region) => void} */
function paintHandles(to, w, h, unit, region) {
  to.fillStyle = "#ffffff";
  for (const [, [x, y]] of pointsOf(region)) {
    to.beginPath();
    to.arc(x * w, y * h, (POINT / 2) * unit, 0, 2 * Math.PI);
    to.fill();
  }
  for (const [, [x, y]] of handles(bounds(region, w / h) ?? [0, 0, 0, 0])) {
    const size = HANDLE * unit;
    to.fillStyle = "#ffffff";
    to.strokeStyle = "#14161a";
    to.lineWidth = unit;
    const [left, top] = [Math.min(Math.max(x * w - size / 2, 0), w - size), Math.min(Math.max(y * h - size / 2, 0), h - size)];
    to.fillRect(left, top, size, size);
    to.strokeRect(left, top, size, size);
  }
}
