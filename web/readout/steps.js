// The steps of a run as a slider, with a button for their mean or their end.
import { button, make, press } from "../shared/dom.js";
import { t } from "../shared/texts.js";

/** @param {(step: number) => void} change step 0 is the button's */
export function createSteps(change) {
  const first = button("", "", () => change(0));
  const slider = make("input", {
    type: "range", className: "ad-slider", min: "1", step: "1", "aria-label": t("Step of the run"),
    title: t("The steps of the run, one by one. Early steps show where an object is placed, late ones its outline."),
    input: () => change(Number(slider.value)),
    keydown: (/** @type {Event} */ event) => event.stopPropagation(),
    pointerdown: (/** @type {PointerEvent} */ event) => event.button === 0 && event.stopPropagation(),
  });
  const words = make("span", { className: "ad-faint ad-steps-at" });
  const root = make("div", { className: "ad-row ad-steps" }, first, slider, words);
  return {
    element: root,
    /** @param {number} step @param {number} count @param {{ first: string, all: string, at: string }} says */
    show: (step, count, says) => {
      slider.hidden = first.hidden = !count;
      words.textContent = words.title = says.at;
      first.textContent = says.first;
      first.title = says.all;
      first.setAttribute("aria-label", first.title);
      press(first, step === 0);
      slider.max = String(Math.max(1, count));
      slider.classList.toggle("ad-resting", step === 0);
      if (step) slider.value = String(step);
      slider.setAttribute("aria-valuetext", says.at);
    },
  };
}
