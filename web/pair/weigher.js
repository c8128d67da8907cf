// A word as the control of its own weight: drag it sideways, turn the wheel over it, or use the arrow keys.
import { make } from "../shared/dom.js";
import { t } from "../shared/texts.js";

export const LEAST = -2;
export const MOST = 4;
const PIXELS = 100; // of the page, for a weight of 1
const STEP = 0.1;
const FINE = 0.1; // with Shift, of what it is without
const NORMAL = 1;

/** @typedef {(word: string, weight: number, done: boolean) => void} Weigh */
/** A drag that goes on: from where, from which weight, and the weight it has come to. @typedef {{ x: number, from: number, weight: number }} Drag */

/** A weight within reach, to two decimals. @param {number} weight */
const allowed = (weight) => Math.round(Math.min(MOST, Math.max(LEAST, weight)) * 100) / 100;

/** What a key makes of a weight, or null. @param {Pick<KeyboardEvent, "key" | "shiftKey">} event @param {number} weight */
export function pressed({ key, shiftKey }, weight) {
  const step = STEP * (shiftKey ? FINE : 1);
  if (key === "ArrowRight" || key === "ArrowUp") return allowed(weight + step);
  if (key === "ArrowLeft" || key === "ArrowDown") return allowed(weight - step);
  if (key === "Home") return LEAST;
  if (key === "End") return MOST;
  return key === "Delete" || key === "Backspace" ? NORMAL : null;
}

/** Where a drag has come to, in steps of a twentieth, with Shift in finer ones. @param {Drag} drag @param {Pick<PointerEvent, "clientX" | "shiftKey">} event */
export function dragged({ x, from }, { clientX, shiftKey }) {
  const by = (clientX - x) / PIXELS;
  return shiftKey ? allowed(from + by * FINE) : allowed(from + Math.round(by * 20) / 20);
}

/**
 * @param {string} text as it is shown @param {string} word as it is weighed @param {number} weight @param {Weigh} weigh
 * @returns {HTMLElement}
 */
export function createWeigher(text, word, weight, weigh) {
  const number = make("span", { className: "ad-weight" });
  const element = make("span", {
    className: "ad-weigher", tabIndex: 0, role: "slider", "aria-label": t("Weight of {word}", { word }), "aria-valuemin": LEAST, "aria-valuemax": MOST,
    "data-word": word, "data-capture-wheel": "true",
    title: t('Drag "{word}" sideways: how strongly the picture attends to it. 1 is normal, 0 and below weaken it. Shift: finer. Double-click: 1', { word }),
  }, make("span", { className: "ad-below" }, text), number);
  const show = (/** @type {number} */ value) => {
    number.textContent = `×${value}`;
    element.setAttribute("aria-valuenow", String(value));
    element.classList.toggle("ad-weighted", value !== NORMAL);
  };
  show(weight);
  listen(element, weight, (value, done) => {
    if (!done) show(value);
    weigh(word, value, done);
  });
  return element;
}

/** @param {HTMLElement} element @param {number} weight @param {(weight: number, done: boolean) => void} set */
function listen(element, weight, set) {
  element.addEventListener("keydown", (event) => {
    const next = event.ctrlKey || event.metaKey ? null : pressed(event, weight);
    if (next === null) return;
    event.preventDefault();
    set(next, true);
  });
  element.addEventListener("wheel", (event) => {
    if (document.activeElement !== element || event.ctrlKey) return; // a word in hand, not one that scrolls by
    event.preventDefault();
    event.stopPropagation();
    set(allowed(weight - Math.sign(event.deltaY) * STEP * (event.shiftKey ? FINE : 1)), true);
  }, { passive: false });
  element.addEventListener("dblclick", () => set(NORMAL, true));
  followDrag(element, weight, set);
}

/** @param {HTMLElement} element @param {number} weight @param {(weight: number, done: boolean) => void} set */
function followDrag(element, weight, set) {
  /** @type {Drag | null} */
  let drag = null;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    element.focus({ preventScroll: true });
    element.setPointerCapture?.(event.pointerId);
    drag = { x: event.clientX, from: weight, weight };
  });
  element.addEventListener("pointermove", (event) => {
    if (!drag) return;
    event.stopPropagation();
    const next = dragged(drag, event);
    if (next === drag.weight) return;
    drag.weight = next;
    set(next, false);
  });
  const end = (/** @type {boolean} */ keep) => {
    const held = drag;
    drag = null;
    if (held && (held.weight !== held.from || !keep)) set(keep ? held.weight : held.from, true);
  };
  element.addEventListener("pointerup", () => end(true));
  element.addEventListener("pointercancel", () => end(false));
}
