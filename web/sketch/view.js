// The sketch pad as one element: white lines on black, as the node gives them, over a dimmed background. It knows
// no ComfyUI.
import { button, make, press } from "../shared/dom.js";
import { clamp, simplified } from "../shared/geometry.js";
import { icon } from "../shared/icons.js";
import { paintBackground, paintBrush, paintHint, paintStroke } from "../shared/ink.js";
import { createPad } from "../shared/pad.js";
import { MAX_CHARACTERS, parse, serialise } from "./strokes.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("./strokes.js").Stroke} Stroke */
/**
 * @typedef {object} ViewEvents
 * @property {(value: string) => void} change a finished stroke
 * @property {(command: "undo" | "redo") => void} history
 * @property {(px: number) => void} width the pen's width in pixels of the picture
 * @property {(event: WheelEvent | PointerEvent) => void} graph
 */

const FINE = 0.0008;
const RUBBER = 4; // times the pen's width
const WIDEST_PX = 64;

/** @param {ViewEvents} on */
export function createView(on) {
  /** @type {Stroke[]} */
  let strokes = [];
  /** @type {Point[] | null} */
  let line = null;
  let value = "";
  let problem = "";
  let erases = false;
  let px = 4;
  /** @type {[number, number]} */
  let size = [1024, 1024];
  /** @type {HTMLImageElement | null} */
  let background = null;
  /** @type {Point | null} */
  let at = null;
  const paper = document.createElement("canvas");

  const share = () => clamp((px * (erases ? RUBBER : 1)) / size[0], 0.0005, 1);
  /** @param {Point[]} points @returns {Stroke} */
  const strokeOf = (points) => ({ width: share(), points, erase: erases });
  /** @param {Stroke[]} next */
  const commit = (next) => {
    const text = serialise(next);
    if (text.length > MAX_CHARACTERS) problem = "The sketch is full: remove something first.";
    else {
      [strokes, value, problem] = [next, text, ""];
      on.change(text);
    }
    refresh();
  };
  const inside = (/** @type {Point} */ [x, y]) => /** @type {Point} */ ([clamp(x), clamp(y)]);

  const pad = createPad({
    down: (point) => {
      root.focus({ preventScroll: true });
      line = [inside(point)];
      pad.redraw();
    },
    move: (point, event) => {
      at = point[0] >= 0 && point[0] <= 1 && point[1] >= 0 && point[1] <= 1 ? point : null;
      if (line) for (const part of event.getCoalescedEvents?.() ?? [event]) line.push(inside(placeOf(part)));
      pad.redraw();
    },
    up: () => {
      const points = line;
      line = null;
      if (points) commit([...strokes, strokeOf(simplified(points, FINE))]);
    },
    cancel: () => {
      line = null;
      pad.redraw();
    },
    paint: (to, w, h) => paintAll(to, w, h, w / (pad.canvas.clientWidth || w)),
    graph: on.graph,
  });
  pad.canvas.style.cursor = "none";
  /** @param {MouseEvent} event @returns {Point} */
  const placeOf = (event) => {
    const box = pad.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / (box.width || 1), (event.clientY - box.top) / (box.height || 1)];
  };

  /** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number) => void} */
  const paintAll = (to, w, h, unit) => {
    to.fillStyle = "#000000";
    to.fillRect(0, 0, w, h);
    if (background) paintBackground(to, w, h, background, 0.6);
    if (paper.width !== w || paper.height !== h) [paper.width, paper.height] = [w, h];
    const own = paper.getContext("2d");
    if (own) {
      own.globalCompositeOperation = "source-over";
      own.clearRect(0, 0, w, h);
      own.lineCap = own.lineJoin = "round";
      own.fillStyle = own.strokeStyle = "#ffffff";
      for (const stroke of line ? [...strokes, strokeOf(line)] : strokes) {
        own.globalCompositeOperation = stroke.erase ? "destination-out" : "source-over";
        paintStroke(own, w, h, stroke);
      }
      to.drawImage(paper, 0, 0);
    }
    if (!strokes.length && !line) paintHint(to, w, h, unit, "Draw here.\nD pen  E eraser  , . width");
    if (at) paintBrush(to, w, h, unit, at, share());
  };

  const pen = button(icon("brush"), "Pen (D)", () => choose(false));
  const rubber = button(icon("erase"), "Eraser (E), four times as wide as the pen", () => choose(true));
  const width = make("input", {
    type: "range", min: "1", max: String(WIDEST_PX), step: "1", className: "ad-slider", "aria-label": "Width of the pen",
    title: "Width of the pen in pixels of the picture",
    input: () => setWidth(Number(width.value)),
    keydown: (/** @type {Event} */ event) => event.stopPropagation(),
  });
  const shown = make("span", { className: "ad-faint" });
  const notice = make("div", { className: "ad-notice ad-warn", role: "status" });
  const root = make("div", {
    className: "ad-sketch", tabIndex: 0, title: "", role: "application", "data-attention-director": "sketch", "data-capture-wheel": "true",
    "aria-label": "Sketch pad. D is the pen, E the eraser, comma and full stop change the width.",
  }, make("div", { className: "ad-toolbar", role: "toolbar", "aria-label": "Drawing tools" }, pen, rubber, width, shown,
    make("span", { className: "ad-spring" }), button(icon("undo"), "Undo (Ctrl+Z)", () => on.history("undo")),
    button(icon("redo"), "Redo (Ctrl+Y)", () => on.history("redo")),
    button(icon("clear"), "Remove all strokes", () => strokes.length && commit([]))), pad.element, notice);

  const choose = (/** @type {boolean} */ erasing) => {
    erases = erasing;
    refresh();
    root.focus({ preventScroll: true });
  };
  const setWidth = (/** @type {number} */ next) => {
    px = clamp(Math.round(next) || 1, 1, WIDEST_PX);
    on.width(px);
    refresh();
  };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
    // A plain key over the pad must not reach the graph, where Delete removes the node.
    event.stopPropagation();
    if (event.target !== root) return;
    const key = event.key.toLowerCase();
    if (key === "d" || key === "e") choose(key === "e");
    else if (key === "," || key === ".") setWidth(px + (key === "." ? 1 : -1));
    else if (key === "escape") {
      line = null;
      pad.drop();
      pad.redraw();
    } else return;
    event.preventDefault();
  });
  const refresh = () => {
    press(pen, !erases);
    press(rubber, erases);
    width.value = String(px);
    shown.textContent = `${px} px`;
    notice.textContent = problem;
    notice.hidden = !problem;
    pad.redraw();
  };
  refresh();

  return {
    element: root,
    getValue: () => value,
    /** @param {unknown} next */
    setValue: (next) => {
      value = typeof next === "string" ? next : "";
      ({ strokes, error: problem } = parse(value));
      line = null;
      refresh();
    },
    /** @param {number} next pixels */
    setPen: (next) => {
      if (!(next >= 1) || next === px) return;
      px = next;
      refresh();
    },
    /** @param {number} w @param {number} h */
    setSize: (w, h) => {
      if (!(w > 0 && h > 0)) return;
      size = [w, h];
      pad.setAspect(w / h);
    },
    /** @param {HTMLImageElement | null} image */
    setBackground: (image) => {
      background = image;
      pad.redraw();
    },
    session: () => ({ erases }),
    /** @param {{ erases: boolean }} old */
    resume: (old) => {
      erases = old.erases;
      refresh();
    },
    destroy: () => pad.destroy(),
  };
}
