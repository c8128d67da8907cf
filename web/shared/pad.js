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
  let aspect = 1;
  let asked = 0;
  let drawing = false;

  /** @param {MouseEvent} event @returns {Point} */
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / (box.width || 1), (event.clientY - box.top) / (box.height || 1)];
  };

  const paint = () => {
    asked = 0;
    if (!frame.isConnected) return;
    const [width, height] = aspect ? fitted(aspect, frame.clientWidth, frame.clientHeight) : [frame.clientWidth, frame.clientHeight];
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const zoom = (canvas.getBoundingClientRect().width / width || 1) * (globalThis.devicePixelRatio || 1);
    const scale = Math.min(Math.max(zoom, 1), MOST_PIXELS / Math.max(width, height));
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const context = canvas.getContext("2d");
    if (context) events.paint(context, w, h);
  };
  const redraw = () => {
    if (!asked) asked = requestAnimationFrame(paint);
  };

  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) {
      if (event.button === 1) events.graph(event);
      return;
    }
    event.stopPropagation();
    event.preventDefault();
    drawing = true;
    frame.setPointerCapture?.(event.pointerId);
    events.down(place(event), event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (event.buttons & 4) return events.graph(event);
    if (drawing) event.stopPropagation();
    events.move(place(event), event);
  });
  frame.addEventListener("pointerup", (event) => {
    if (event.button === 1) return events.graph(event);
    if (!drawing) return;
    event.stopPropagation();
    drawing = false;
    events.up(place(event), event);
  });
  const lost = () => {
    if (drawing) events.cancel();
    drawing = false;
  };
  frame.addEventListener("pointercancel", lost);
  frame.addEventListener("pointerenter", redraw); // the graph may have been zoomed meanwhile
  frame.addEventListener("pointerleave", (event) => {
    if (!drawing) events.move([-1, -1], event);
  });
  frame.addEventListener("dblclick", (event) => {
    event.stopPropagation();
    events.twice?.(place(event), event);
  });
  frame.addEventListener("wheel", (event) => events.graph(event), { passive: false });

  const watcher = typeof ResizeObserver === "undefined" ? null : new ResizeObserver(redraw);
  watcher?.observe(frame);
  return {
    element: frame,
    canvas,
    redraw,
    /** Forget a drag that is going on. */
    drop: () => { drawing = false; },
    /** @param {number} value width by height */
    setAspect: (value) => {
      aspect = value > 0 && Number.isFinite(value) ? value : 1;
      redraw();
    },
    /** Take the whole frame, whatever its shape. */
    fill: () => {
      aspect = 0;
      redraw();
    },
    destroy: () => watcher?.disconnect(),
  };
}
