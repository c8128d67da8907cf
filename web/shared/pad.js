// A drawing surface in a node: a canvas of the picture's shape, sharp at any zoom, with points from 0 to 1.
import { make } from "./dom.js";

/** @typedef {import("./geometry.js").Point} Point */
/**
 * What a pad tells. graph: events that belong to the graph beneath (middle button, wheel).
 * @typedef {object} PadEvents
 * @property {(point: Point, event: PointerEvent) => void} down
 * @property {(point: Point, event: PointerEvent) => void} move
 * @property {(point: Point, event: PointerEvent) => void} up
 * @property {() => void} cancel
 * @property {(point: Point, event: MouseEvent) => void} [twice]
 * @property {(paint: CanvasRenderingContext2D, width: number, height: number) => void} paint in backing pixels
 * @property {(event: WheelEvent | PointerEvent) => void} graph
 */

const MOST_PIXELS = 2048;

/** The widest box of an aspect inside a frame. @param {number} aspect @param {number} width @param {number} height */
export function fitted(aspect, width, height) {
  const w = Math.min(width, height * aspect);
  return [Math.max(1, Math.floor(w)), Math.max(1, Math.floor(w / aspect))];
}

/** @param {PadEvents} events */
export function createPad(events) {
  const canvas = make("canvas", { className: "ad-pad-canvas" });
  const frame = make("div", { className: "ad-pad" }, canvas);
  let [aspect, asked] = [1, 0];
  const redraw = () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      if (frame.isConnected) paint(frame, canvas, aspect, events.paint);
    });
  };
  const shape = (/** @type {number} */ value) => {
    aspect = value;
    redraw();
  };
  const pen = listen(frame, canvas, events);
  frame.addEventListener("pointerenter", redraw); // the graph may have been zoomed meanwhile
  const watcher = typeof ResizeObserver === "undefined" ? null : new ResizeObserver(redraw);
  watcher?.observe(frame);
  return {
    element: frame,
    canvas,
    redraw,
    place: (/** @type {MouseEvent} */ event) => placeOn(canvas, event),
    /** Forget a drag that is going on. */
    drop: () => { pen.down = false; },
    /** @param {number} value width by height */
    setAspect: (value) => shape(value > 0 && Number.isFinite(value) ? value : 1),
    /** Take the whole frame, whatever its shape. */
    fill: () => shape(0),
    destroy: () => watcher?.disconnect(),
  };
}

/** Where an event was, in shares of the canvas. @param {HTMLElement} canvas @param {MouseEvent} event @returns {Point} */
function placeOn(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / (box.width || 1), (event.clientY - box.top) / (box.height || 1)];
}

/** @param {HTMLElement} frame @param {HTMLCanvasElement} canvas @param {number} aspect 0 for the frame's own @param {PadEvents["paint"]} fill */
function paint(frame, canvas, aspect, fill) {
  const [width, height] = aspect ? fitted(aspect, frame.clientWidth, frame.clientHeight) : [frame.clientWidth, frame.clientHeight];
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const zoom = (canvas.getBoundingClientRect().width / width || 1) * (globalThis.devicePixelRatio || 1);
  const scale = Math.min(Math.max(zoom, 1), MOST_PIXELS / Math.max(width, height));
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  if (context) fill(context, w, h);
}

/** Drags with the left button; the middle one and the wheel are the graph's. @param {HTMLElement} frame @param {HTMLElement} canvas @param {PadEvents} events */
function listen(frame, canvas, events) {
  const pen = { down: false };
  frame.addEventListener("pointerdown", (event) => {
    if (event.button === 1) events.graph(event);
    if (event.button !== 0) return;
    event.stopPropagation();
    event.preventDefault();
    pen.down = true;
    frame.setPointerCapture?.(event.pointerId);
    events.down(placeOn(canvas, event), event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (event.buttons & 4) return events.graph(event);
    if (pen.down) event.stopPropagation();
    events.move(placeOn(canvas, event), event);
  });
  frame.addEventListener("pointerup", (event) => {
    if (event.button === 1) return events.graph(event);
    if (!pen.down) return;
    event.stopPropagation();
    pen.down = false;
    events.up(placeOn(canvas, event), event);
  });
  leave(frame, canvas, events, pen);
  return pen;
}

/** @param {HTMLElement} frame @param {HTMLElement} canvas @param {PadEvents} events @param {{ down: boolean }} pen */
function leave(frame, canvas, events, pen) {
  frame.addEventListener("pointercancel", () => {
    if (pen.down) events.cancel();
    pen.down = false;
  });
  frame.addEventListener("pointerleave", (event) => {
    if (!pen.down) events.move([-1, -1], event);
  });
  frame.addEventListener("dblclick", (event) => {
    event.stopPropagation();
    events.twice?.(placeOn(canvas, event), event);
  });
  frame.addEventListener("wheel", (event) => events.graph(event), { passive: false });
}
