// The row of tools above the sketch.
import { button, make, press } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { WIDEST_PX } from "./state.js";
import { t } from "../shared/texts.js";

/** @typedef {{ erase: (erases: boolean) => void, width: (px: number) => void, history: (command: "undo" | "redo") => void, clear: () => void }} ToolbarEvents */

/** @param {ToolbarEvents} on */
export function createToolbar(on) {
  const pen = button(icon("brush"), t("Pen (D)"), () => on.erase(false));
  const rubber = button(icon("erase"), t("Eraser (E), four times as wide as the pen"), () => on.erase(true));
  const width = make("input", {
    type: "range", min: "1", max: String(WIDEST_PX), step: "1", className: "ad-slider", "aria-label": t("Width of the pen"),
    title: t("Width of the pen in pixels of the picture"),
    input: () => on.width(Number(width.value)),
    keydown: (/** @type {Event} */ event) => event.stopPropagation(),
  });
  const shown = make("span", { className: "ad-faint" });
  const element = make("div", { className: "ad-toolbar", role: "toolbar", "aria-label": t("Drawing tools") },
    pen, rubber, width, shown, make("span", { className: "ad-spring" }),
    button(icon("undo"), t("Undo (Ctrl+Z)"), () => on.history("undo")), button(icon("redo"), t("Redo (Ctrl+Y)"), () => on.history("redo")),
    button(icon("clear"), t("Remove all strokes"), on.clear));
  return {
    element,
    /** @param {{ erases: boolean, px: number }} state */
    show: ({ erases, px }) => {
      press(pen, !erases);
      press(rubber, erases);
      width.value = String(px);
      shown.textContent = `${px} px`;
    },
  };
}
