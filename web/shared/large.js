// An editor in a window over the whole page, for screens on which its node is too small; closing it puts it back.
import { make } from "./dom.js";
import { t } from "./texts.js";

const FRAMES = 90; // that a node which undo has built anew takes to come onto the page

/** @param {HTMLElement} element the editor's own @param {(open: boolean) => void} changed */
export function createLarge(element, changed) {
  /** @type {{ dialog: HTMLDialogElement, place: HTMLElement } | null} */
  let open = null;
  const close = () => {
    if (!open) return;
    const { dialog, place } = open;
    open = null;
    if (place.isConnected) place.replaceWith(element);
    dialog.remove();
    changed(false);
  };
  const show = (frames = FRAMES) => {
    if (open || frames <= 0) return;
    if (!element.isConnected) return void requestAnimationFrame(() => show(frames - 1));
    open = { dialog: dialogOf(close), place: make("div", { className: "ad-away" }, t("It is open in a large window.")) };
    element.replaceWith(open.place);
    open.dialog.append(element);
    document.body.append(open.dialog);
    open.dialog.showModal();
    changed(true);
    element.focus({ preventScroll: true });
  };
  return { close, show: () => show(), toggle: () => (open ? close() : show()) };
}

/** @param {() => void} close */
function dialogOf(close) {
  return make("dialog", {
    className: "ad-large", "aria-label": t("Large window"), close,
    cancel: (/** @type {Event} */ event) => {
      event.preventDefault();
      close();
    },
    // A press on the dark around it; what is pressed inside has another target.
    pointerdown: (/** @type {PointerEvent} */ event) => event.target === event.currentTarget && close(),
  });
}
