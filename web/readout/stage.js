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

/** What was painted last, and where. @typedef {{ scene: Scene | null, tiles: import("./layout.js").Tile[], size: [number, number] }} Stage */

const GAP = 3;

/** @param {StageEvents} on */
export function createStage(on) {
  /** @type {Stage} */
  const stage = { scene: null, tiles: [], size: [1, 1] };
  const pad = createPad({
    down: () => {},
    move: (point) => on.point(spotAt(stage, point)),
    up: (point) => {
      const spot = spotAt(stage, point);
      if (spot) on.pick(spot.image);
    },
    cancel: () => {},
    paint: (to, w, h) => paint(to, w, h, w / (pad.canvas.clientWidth || w), stage),
    graph: on.graph,
  });
  pad.fill();
  return {
    element: pad.element,
    redraw: pad.redraw,
    /** @param {Scene | null} scene */
    show: (scene) => {
      stage.scene = scene;
      pad.canvas.style.cursor = scene && scene.data.images > 1 ? "zoom-in" : "default";
      if (scene && scene.choice.image >= 0) pad.canvas.style.cursor = "zoom-out";
      pad.redraw();
    },
    destroy: pad.destroy,
  };
}

/** Which images are shown. @param {Scene} scene */
function imagesOf({ choice, data }) {
  return choice.image < 0 ? Array.from({ length: data.images }, (_, i) => i) : [choice.image];
}

/** @param {Stage} stage @param {import("../shared/geometry.js").Point} point @returns {Spot | null} */
function spotAt({ scene, tiles, size }, [x, y]) {
  const hit = scene && tileAt(tiles, x * size[0], y * size[1]);
  if (!hit) return null;
  const across = scene.choice.kind === "edges" ? (2 * hit.x) % 1 : hit.x;
  return { image: imagesOf(scene)[hit.index], x: across, y: hit.y };
}

/** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number, stage: Stage) => void} */
function paint(to, w, h, unit, stage) {
  const { scene } = stage;
  Object.assign(stage, { size: [w, h], tiles: [] });
  to.clearRect(0, 0, w, h);
  if (!scene) return;
  const aspect = (scene.data.size[0] / scene.data.size[1]) * (scene.choice.kind === "edges" ? 2 : 1);
  const images = imagesOf(scene);
  stage.tiles = tiles(images.length, aspect, w, h, GAP * unit);
  images.forEach((image, i) => paintTile(to, stage.tiles[i], scene, image, unit));
}
