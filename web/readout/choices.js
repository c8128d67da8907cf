// What can be looked at, as buttons: chips of words, or rows with bars. Under the mouse or with the focus one is
// shown, a click makes it stay.
import { make } from "../shared/dom.js";
import { t } from "../shared/texts.js";

/** @typedef {{ hover: (item: number | null) => void, pick: (item: number) => void }} ChoiceEvents */
/** @typedef {{ label: string, says: string, beside: HTMLElement | null }} Item beside: what stands beside its words, in a row of its own */

/** @param {ChoiceEvents} on */
export function createChoices(on) {
  const root = make("div", { className: "ad-items", role: "group", "aria-label": t("What to show") });

  /** @param {Item} item @param {number} index */
  const buttonOf = ({ label, says, beside }, index) => make("button", {
    type: "button", className: beside ? "ad-item ad-item-row" : "ad-item", title: says,
    pointerenter: () => on.hover(index), pointerleave: () => on.hover(null),
    focus: () => on.hover(index), blur: () => on.hover(null),
    click: (/** @type {Event} */ event) => {
      event.stopPropagation();
      on.pick(index);
    },
  }, make("span", { className: "ad-item-name" }, label), ...(beside ? [beside] : []));

  return {
    element: root,
    /** Other choices than before. @param {Item[]} items */
    fill: (items) => {
      root.replaceChildren(...items.map(buttonOf));
      root.hidden = !items.length;
    },
    /** Other bars for the same choices, so that what is under the mouse stays there. @param {HTMLElement[]} bars */
    setBeside: (bars) => {
      [...root.children].forEach((row, i) => {
        const old = row.querySelector(".ad-tracks");
        if (old && bars[i]) old.replaceWith(bars[i]);
      });
    },
    /** @param {number} pinned @param {number} shown -1 is none */
    mark: (pinned, shown) => [...root.children].forEach((item, i) => {
      item.classList.toggle("ad-mine", i === shown);
      item.setAttribute("aria-pressed", String(i === pinned));
    }),
  };
}
