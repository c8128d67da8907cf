// The pictures of the run on one canvas: all side by side, or one alone. A click goes between the two.
import { createPad } from "../shared/pad.js";
import { tileAt, tiles } from "./layout.js";
import { paintTile } from "./paint.js";

/** @typedef {import("./paint.js").Scene} Scene */
/** @typedef {{ image: number, x: number, y: number }} Spot a place in a picture, 0 to 1 */
/**
 * @typedef {object} StageEvents
 * @property {(spot: Spot | null) => void} point the mouse is over this place
 * @property {(image: number) => void} pick
 * @property {(event: WheelEvent | PointerEvent) => void} graph
 */

const GAP = 3;

/** @param {StageEvents} on */
export function createStage(on) {
  /** @type {Scene | null} */
  let scene = null;
  /** @type {import("./layout.js").Tile[]} */
  let shown = [];
  let size = [1, 1];

  /** Which images are shown. */
  const images = () => {
    if (!scene) return [];
    return scene.choice.image < 0 ? Array.from({ length: scene.data.images }, (_, i) => i) : [scene.choice.image];
  };
  /** @param {import("../shared/geometry.js").Point} point @returns {Spot | null} */
  const spotAt = ([x, y]) => {
    const hit = tileAt(shown, x * size[0], y * size[1]);
    if (!hit) return null;
    const across = scene?.choice.kind === "edges" ? (2 * hit.x) % 1 : hit.x;
    return { image: images()[hit.index], x: across, y: hit.y };
  };
  const pad = createPad({
    down: () => {},
    move: (point) => on.point(spotAt(point)),
    up: (point) => {
      const spot = spotAt(point);
      if (spot) on.pick(spot.image);
    },
    cancel: () => {},
    paint: (to, w, h) => {
      const unit = w / (pad.canvas.clientWidth || w);
      size = [w, h];
      to.clearRect(0, 0, w, h);
      shown = [];
      if (!scene) return;
      const aspect = (scene.data.size[0] / scene.data.size[1]) * (scene.choice.kind === "edges" ? 2 : 1);
      const numbers = images();
      shown = tiles(numbers.length, aspect, w, h, GAP * unit);
      numbers.forEach((image, i) => scene && paintTile(to, shown[i], scene, image, unit));
    },
    graph: on.graph,
  });
  pad.fill();
  return {
    element: pad.element,
    redraw: pad.redraw,
    /** @param {Scene | null} next */
    show: (next) => {
      scene = next;
      pad.canvas.style.cursor = next && next.data.images > 1 ? "zoom-in" : "default";
      if (next && next.choice.image >= 0) pad.canvas.style.cursor = "zoom-out";
      pad.redraw();
    },
    destroy: pad.destroy,
  };
}
