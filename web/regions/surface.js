// The canvas itself: what the mouse does there, as gestures, and what is painted.
import { createPad } from "../shared/pad.js";
import { numbered } from "./drawing.js";
import { begin, moveRegion } from "./gestures.js";
import { EMPTY_HINT } from "./notice.js";
import { paint } from "./paint.js";
import { isMissed, scoresOf } from "./landing.js";
import { cursorOver, handleAt, labelAt } from "./hit_test.js";
import { regionAt } from "./shapes.js";
import { aspectOf, committed, selectedRegion, shownDrawing, spansOf, staleOf } from "./state.js";
import { t } from "../shared/texts.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("../shared/store.js").Store<State>} Store */
/** What lies under the pointer: the name of a handle or "", the index of a label or -1. @typedef {{ handle: string, label: number }} Under */
/**
 * @typedef {object} Hand
 * @property {import("./gestures.js").Gesture | null} gesture the drag that goes on
 * @property {Point | null} at where the pointer is, on the canvas
 * @property {number} hovered index of a region, or -1
 * @property {ReturnType<typeof paint>} labels where they were painted
 * @property {HTMLImageElement | null} background
 */
/**
 * @typedef {object} SurfaceEvents
 * @property {() => void} focus
 * @property {() => void} twice a double click on a region
 * @property {ReturnType<typeof import("./imports.js").createImports>} arrivals
 * @property {(event: WheelEvent | PointerEvent) => void} graph
 */

const CELL_PX = 8;

/** @param {Store} store @param {SurfaceEvents} on */
export function createSurface(store, on) {
  /** @type {Hand} */
  const hand = { gesture: null, at: null, hovered: -1, labels: [], background: null };
  const pad = createPad({
    ...gesturesOn(store, hand, on, () => pad.canvas),
    twice: () => selectedRegion(store.get()) && on.twice(),
    paint: (to, w, h) => {
      const unit = w / (pad.canvas.clientWidth || w);
      hand.labels = paint(to, w, h, unit, sceneOf(store.get(), hand, on.arrivals, () => on.arrivals.paint(to, w, h, unit)));
    },
    graph: on.graph,
  });
  return {
    pad,
    /** Forget a drag that goes on. */
    drop: () => {
      hand.gesture = null;
      pad.drop();
    },
    /** The node's saved drawing takes the place of a gesture's. */
    forget: () => { hand.gesture = null; },
    /** @param {HTMLImageElement | null} image */
    setBackground: (image) => { hand.background = image; },
  };
}

/** @param {Store} store @param {Hand} hand @param {SurfaceEvents} on @param {() => HTMLCanvasElement} canvas */
function gesturesOn(store, hand, on, canvas) {
  const under = (/** @type {Point} */ point) => whatLies(store.get(), point, canvas(), hand.labels);
  return {
    down: (/** @type {Point} */ point, /** @type {PointerEvent} */ event) => {
      on.focus();
      store.hold({ ...store.get(), said: "" });
      hand.gesture = gestureFrom(store.get(), point, event, under(point));
    },
    move: (/** @type {Point} */ point) => {
      hand.at = point.every((n) => n >= 0 && n <= 1) ? point : null;
      if (!hand.gesture) canvas().style.cursor = hover(store.get(), hand, point, under(point));
      store.hold(hand.gesture ? dragged(store.get(), hand.gesture, point) : store.get());
    },
    up: () => {
      const { gesture } = hand;
      hand.gesture = null;
      store.set(finished(store.get(), gesture));
    },
    cancel: () => {
      hand.gesture = null;
      store.set({ ...store.get(), draft: null });
    },
  };
}

/** @param {State} state */
const isBrushing = ({ tool }) => tool === "brush" || tool === "erase";

/** A cell of the latent grid as shares of the picture. @param {State} state @returns {[number, number]} */
const cellOf = ({ size }) => [CELL_PX / size[0], CELL_PX / size[1]];

/** @param {State} state @param {Point} point @param {HTMLCanvasElement} canvas @param {Hand["labels"]} labels @returns {Under} */
function whatLies(state, point, canvas, labels) {
  if (isBrushing(state)) return { handle: "", label: -1 };
  const handle = handleAt(selectedRegion(state), aspectOf(state), point, [canvas.clientWidth, canvas.clientHeight]);
  return { handle, label: labelAt(labels, state.selected, point) };
}

/** @param {State} state @param {Point} point @param {PointerEvent} event @param {Under} under */
function gestureFrom(state, point, event, { handle, label }) {
  const { drawing, selected, brushWidth, waiting, tool } = state;
  const step = /** @type {[number, number]} */ (state.snaps !== event.ctrlKey ? cellOf(state) : [0, 0]);
  const setting = { drawing, selected, aspect: aspectOf(state), step, width: brushWidth, phrase: waiting, handle };
  if (!handle && label >= 0) return moveRegion(setting, label, point);
  return begin(tool, setting, point, { join: event.shiftKey, cut: event.altKey });
}

/** @param {State} state @param {import("./gestures.js").Gesture} gesture @param {Point} point @returns {State} */
function dragged(state, gesture, point) {
  const { drawing, selected } = gesture.move(point);
  return { ...state, draft: { ...drawing, regions: numbered(drawing.regions) }, selected };
}

/** Notes the region under the pointer, and gives the cursor. @param {State} state @param {Hand} hand @param {Point} point @param {Under} under */
function hover(state, hand, point, { handle, label }) {
  hand.hovered = hand.at ? regionAt(state.drawing, point, aspectOf(state)) : -1;
  return cursorOver({ tool: state.tool, handle, label: label >= 0, region: hand.hovered >= 0 });
}

/** The state after a drag. @param {State} state @param {Hand["gesture"]} gesture @returns {State} */
function finished(state, gesture) {
  const result = gesture?.end();
  if (!result) return { ...state, draft: null };
  const more = result.drawing.regions.length > state.drawing.regions.length;
  return committed({ ...state, waiting: more ? "" : state.waiting }, result.drawing, result.selected);
}

/** @param {State} state @param {Hand} hand @param {SurfaceEvents["arrivals"]} arrivals @param {() => void} ghosts @returns {import("./paint.js").Scene} */
function sceneOf(state, hand, arrivals, ghosts) {
  const drawing = shownDrawing(state);
  const scores = scoresOf(state.landing, state.value, drawing.regions);
  const snapping = state.snaps && hand.gesture && (state.tool === "box" || state.tool === "select");
  const help = `${t(EMPTY_HINT)}\n${t("B box  L lasso  P brush  N new by keyboard")}`;
  const hint = state.waiting ? t('Drag a box for "{words}".', { words: state.waiting }) : help;
  return {
    drawing, selected: state.selected, hovered: hand.hovered, background: hand.background, ghosts,
    labels: drawing.regions.map((region) => `${region.number} ${region.phrase || t("no words yet")}`),
    scores: scores.map((score) => (score === null ? "" : ` ${Math.round(100 * score)}%`)),
    stale: staleOf(state, spansOf(state)), missed: scores.map(isMissed),
    brush: isBrushing(state) ? hand.at : null, brushWidth: state.brushWidth,
    grid: snapping ? [state.size[0] / CELL_PX, state.size[1] / CELL_PX] : null,
    hint: arrivals.some() ? "" : hint,
  };
}
