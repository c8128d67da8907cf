// An editor over the whole page, for screens on which its node is too small; closing it puts it back.
import { button, make } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./texts.js";

const FRAMES = 90; // that a node which undo has built anew takes to come onto the page

/** @param {HTMLElement} element the editor's own @param {(open: boolean) => void} changed */
export function createLarge(element, changed) {
  /** @type {{ around: HTMLElement, place: HTMLElement, free: () => void } | null} */
  let open = null;
  const close = () => {
    if (!open) return;
    const { around, place, free } = open;
    open = null;
    if (place.isConnected) place.replaceWith(element);
    around.remove();
    free();
    changed(false);
  };
  const show = (frames = FRAMES) => {
    if (open || frames <= 0) return;
    if (!element.isConnected) return void requestAnimationFrame(() => show(frames - 1));
    const place = make("div", { className: "ad-away" }, t("It is open in a large window."));
    element.replaceWith(place);
    open = { around: frameOf(element, close), place, free: holdPage() };
    document.body.append(open.around);
    changed(true);
    element.focus({ preventScroll: true });
  };
  return { close, show: () => show(), toggle: () => (open ? close() : show()) };
}

/** No dialog of the page's own: under one the host hears no undo (frontend 1.58). @param {HTMLElement} element @param {() => void} close */
function frameOf(element, close) {
  const shut = button(icon("delete"), t("Close (Escape)"), close);
  shut.classList.add("ad-close");
  return make("div", {
    className: "ad-veil",
    pointerdown: (/** @type {PointerEvent} */ event) => event.target === event.currentTarget && close(), // beside the window
  }, make("div", { className: "ad-large", role: "dialog", "aria-label": t("Large window") }, element, shut));
}

/** Keeps the focus out of the page behind, until the function it gives back is called. */
function holdPage() {
  const held = /** @type {HTMLElement[]} */ ([...document.body.children]).filter((child) => !child.inert);
  for (const child of held) child.inert = true;
  return () => {
    for (const child of held) child.inert = false;
  };
}
