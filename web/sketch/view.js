// The sketch pad as one element: tools, canvas, a sentence. It knows no ComfyUI.
import { make } from "../shared/dom.js";
import { createPad } from "../shared/pad.js";
import { createStore } from "../shared/store.js";
import { paint } from "./paint.js";
import { committed, drawn, FIRST, lifted, shareOf, shownStrokes, withPen, withValue } from "./state.js";
import { createToolbar } from "./toolbar.js";
import { t } from "../shared/texts.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("../shared/store.js").Store<State>} Store */
/** @typedef {{ background: HTMLImageElement | null }} Behind */
/** @typedef {{ choose: (erases: boolean) => void, setWidth: (px: number) => void, drop: () => void }} Commands */
/**
 * @typedef {object} ViewEvents
 * @property {(value: string) => void} change a finished stroke
 * @property {(command: "undo" | "redo") => void} history
 * @property {(px: number) => void} width the pen's width in pixels of the picture
 * @property {(event: WheelEvent | PointerEvent) => void} graph
 */

/** @param {ViewEvents} on */
export function createView(on) {
  const behind = /** @type {Behind} */ ({ background: null });
  const notice = make("div", { className: "ad-notice ad-warn", role: "status" });
  const show = (/** @type {State} */ state) => {
    toolbar.show(state);
    notice.textContent = state.problem;
    notice.hidden = !state.problem;
    pad.redraw();
  };
  const store = createStore(FIRST, { edited: on.change, show, draw: () => pad.redraw() });
  const focus = () => root.focus({ preventScroll: true });
  const pad = createSheet(store, behind, focus, on.graph);
  const commands = commandsOf(store, pad, on, focus);
  const toolbar = createToolbar({
    erase: commands.choose, width: commands.setWidth, history: on.history,
    clear: () => store.get().strokes.length && store.set(committed(store.get(), [])),
  });
  const root = make("div", {
    className: "ad-sketch", tabIndex: 0, title: "", role: "application", "data-attention-director": "sketch", "data-capture-wheel": "true",
    "aria-label": t("Sketch pad. D is the pen, E the eraser, comma and full stop change the width."),
    keydown: (/** @type {KeyboardEvent} */ event) => hear(event, root, store, commands),
  }, toolbar.element, pad.element, notice);
  show(FIRST);
  return fromOutside(store, root, pad, behind);
}

/** @param {Store} store @param {Behind} behind @param {() => void} focus @param {ViewEvents["graph"]} graph */
function createSheet(store, behind, focus, graph) {
  /** @type {Point | null} */
  let at = null;
  const paper = document.createElement("canvas");
  const pad = createPad({
    down: (point) => {
      focus();
      store.hold(drawn(store.get(), [point]));
    },
    move: (point, event) => {
      at = point.every((n) => n >= 0 && n <= 1) ? point : null;
      const parts = event.getCoalescedEvents?.() ?? [event];
      store.hold(store.get().line ? drawn(store.get(), parts.map(pad.place)) : store.get());
    },
    up: () => store.set(lifted(store.get())),
    cancel: () => store.hold({ ...store.get(), line: null }),
    paint: (to, w, h) => paint(to, w, h, w / (pad.canvas.clientWidth || w), {
      strokes: shownStrokes(store.get()), width: shareOf(store.get()), background: behind.background, at, paper,
    }),
    graph,
  });
  pad.canvas.style.cursor = "none";
  return pad;
}

/** @param {Store} store @param {ReturnType<typeof createPad>} pad @param {ViewEvents} on @param {() => void} focus @returns {Commands} */
function commandsOf(store, pad, on, focus) {
  return {
    choose: (erases) => {
      store.set({ ...store.get(), erases });
      focus();
    },
    setWidth: (px) => {
      const next = withPen(store.get(), px);
      on.width(next.px);
      store.set(next);
    },
    drop: () => {
      pad.drop();
      store.hold({ ...store.get(), line: null });
    },
  };
}

/** A key over the pad. @param {KeyboardEvent} event @param {HTMLElement} root @param {Store} store @param {Commands} commands */
function hear(event, root, store, { choose, setWidth, drop }) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
  // A plain key over the pad must not reach the graph, where Delete removes the node.
  event.stopPropagation();
  if (event.target !== root) return;
  const key = event.key.toLowerCase();
  if (key === "d" || key === "e") choose(key === "e");
  else if (key === "," || key === ".") setWidth(store.get().px + (key === "." ? 1 : -1));
  else if (key === "escape") drop();
  else return;
  event.preventDefault();
}

/** What the node asks of the pad and tells it. @param {Store} store @param {HTMLElement} root @param {ReturnType<typeof createPad>} pad @param {Behind} behind */
function fromOutside(store, root, pad, behind) {
  return {
    element: root,
    getValue: () => store.get().value,
    /** @param {unknown} next */
    setValue: (next) => store.set(withValue(store.get(), next)),
    /** @param {number} px */
    setPen: (px) => {
      if (px >= 1 && px !== store.get().px) store.set({ ...store.get(), px });
    },
    /** @param {number} w @param {number} h */
    setSize: (w, h) => {
      if (!(w > 0 && h > 0)) return;
      store.hold({ ...store.get(), size: [w, h] });
      pad.setAspect(w / h);
    },
    /** @param {HTMLImageElement | null} image */
    setBackground: (image) => {
      behind.background = image;
      pad.redraw();
    },
    session: () => ({ erases: store.get().erases }),
    /** @param {{ erases: boolean }} old */
    resume: ({ erases }) => store.set({ ...store.get(), erases }),
    destroy: () => pad.destroy(),
  };
}
