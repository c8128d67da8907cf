// The regions as a row of chips, front first; a click selects.
import { css } from "../shared/colours.js";
import { make } from "../shared/dom.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./drawing.js").Region} Region */

/** @param {(index: number) => void} select -1 for none */
export function createChips(select) {
  const element = make("div", { className: "ad-chips", role: "group", "aria-label": t("Regions, front first") });
  return {
    element,
    /** @param {Region[]} regions @param {number} selected @param {boolean[]} stale */
    show: (regions, selected, stale) => {
      element.hidden = !regions.length;
      element.replaceChildren(...regions.map((region, i) => make("button", {
        type: "button", "aria-pressed": i === selected, style: { borderColor: css(region.number) },
        className: `ad-region${i === selected ? " ad-mine" : ""}${stale[i] ? " ad-stale" : ""}`,
        title: stale[i] ? t('"{phrase}" is not in the prompt', { phrase: region.phrase }) : region.phrase,
        click: () => select(i === selected ? -1 : i),
      }, make("span", { className: "ad-chip", style: { background: css(region.number) } }, String(region.number)),
      `${stale[i] ? "⚠ " : ""}${region.phrase || t("no words yet")}`)));
      const mine = /** @type {HTMLElement | null} */ (element.children[selected] ?? null);
      if (mine) element.scrollLeft = Math.max(0, mine.offsetLeft - element.offsetLeft - 40);
    },
  };
}
