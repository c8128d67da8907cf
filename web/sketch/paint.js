// The sketch as a picture: white lines on black, as the node gives them, over a dimmed background.
import { paintBackground, paintBrush, paintHint, paintStroke } from "../shared/ink.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./strokes.js").Stroke} Stroke */
/**
 * @typedef {object} Scene
 * @property {Stroke[]} strokes
 * @property {HTMLImageElement | null} background
 * @property {import("../shared/geometry.js").Point | null} at where the pen is
 * @property {number} width the pen's, a share of the picture's
 * @property {HTMLCanvasElement} paper a surface for the strokes alone, since the eraser must not reach the background
 */

/** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number, scene: Scene) => void} */
export function paint(to, w, h, unit, { strokes, background, at, width, paper }) {
  to.fillStyle = "#000000";
  to.fillRect(0, 0, w, h);
  if (background) paintBackground(to, w, h, background, 0.6);
  if (paper.width !== w || paper.height !== h) [paper.width, paper.height] = [w, h];
  const own = paper.getContext("2d");
  if (own) paintStrokes(own, w, h, strokes);
  to.drawImage(paper, 0, 0);
  if (!strokes.length) paintHint(to, w, h, unit, t("Draw here.\nD pen  E eraser  , . width"));
  if (at) paintBrush(to, w, h, unit, at, width);
}

/** @type {(own: CanvasRenderingContext2D, w: number, h: number, strokes: Stroke[]) => void} */
function paintStrokes(own, w, h, strokes) {
  own.globalCompositeOperation = "source-over";
  own.clearRect(0, 0, w, h);
  own.lineCap = own.lineJoin = "round";
  own.fillStyle = own.strokeStyle = "#ffffff";
  for (const stroke of strokes) {
    own.globalCompositeOperation = stroke.erase ? "destination-out" : "source-over";
    paintStroke(own, w, h, stroke);
  }
}
