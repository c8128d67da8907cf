// The regions as a row of chips, front first; a click selects, a drag moves one to another place in the depth.
import { css } from "../shared/colours.js";
import { fading, make } from "../shared/dom.js";
import { isMissed } from "./landing.js";
import { icon } from "../shared/icons.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./drawing.js").Region} Region */
/** select: -1 for none. @typedef {{ select: (index: number) => void, reorder: (from: number, to: number) => void }} ChipEvents */

const LEAST = 6; // pixels of the page, from where on a press is a drag

/** @param {ChipEvents} on */
export function createChips(on) {
  const element = make("div", { className: "ad-chips", role: "group", "aria-label": t("Regions, front first; drag one to another place") });
  const fade = fading(element);
  return {
    element,
    /** @param {Region[]} regions @param {number} selected @param {boolean[]} stale @param {(number | null)[]} scores of landing */
    show: (regions, selected, stale, scores) => {
      element.hidden = !regions.length;
      const chips = regions.map((region, i) => chipOf(region, i === selected, stale[i], scores[i]));
      chips.forEach((chip, i) => followDrag(chip, i, element, { ...on, select: () => on.select(i === selected ? -1 : i) }));
      element.replaceChildren(...chips);
      const mine = chips[selected];
      if (mine) element.scrollLeft = Math.max(0, mine.offsetLeft - element.offsetLeft - 40);
      fade();
    },
  };
}

/** @param {Region} region @param {boolean} stale @param {number | null} score */
function titleOf({ phrase }, stale, score) {
  if (stale) return t('"{phrase}" is not in the prompt', { phrase });
  return score === null ? phrase : t("{phrase}: {share} of its attention was here", { phrase, share: `${Math.round(100 * score)}%` });
}

/** @param {Region} region @param {boolean} mine @param {boolean} stale @param {number | null} score */
function chipOf(region, mine, stale, score) {
  return make("button", {
    type: "button", "aria-pressed": mine, style: { borderColor: css(region.number) },
    className: `ad-region${mine ? " ad-mine" : ""}${stale ? " ad-stale" : ""}${region.off ? " ad-switched-off" : ""}${region.hidden ? " ad-unseen" : ""}${isMissed(score) ? " ad-missed" : ""}`,
    title: titleOf(region, stale, score),
  }, make("span", { className: "ad-chip", style: { background: css(region.number) } }, String(region.number)), ...(region.locked ? [icon("lock")] : []),
  `${stale ? "⚠ " : ""}${region.phrase || t("no words yet")}`);
}

/** Which chip lies under a place of the page, the nearest where none does. @param {HTMLElement} row @param {number} x */
function chipUnder(row, x) {
  const middles = [...row.children].map((chip) => chip.getBoundingClientRect()).map((box) => box.left + box.width / 2);
  const far = middles.map((middle) => Math.abs(middle - x));
  return far.indexOf(Math.min(...far));
}

/** @param {HTMLElement} chip @param {number} index @param {HTMLElement} row @param {{ select: () => void, reorder: ChipEvents["reorder"] }} on */
function followDrag(chip, index, row, on) {
  let [from, dragging] = [NaN, false];
  chip.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    if (event.button === 0) [from, dragging] = [event.clientX, false];
  });
  chip.addEventListener("pointermove", (event) => {
    if (!(Math.abs(event.clientX - from) > LEAST)) return;
    if (!dragging) chip.setPointerCapture?.(event.pointerId);
    dragging = true;
    const to = chipUnder(row, event.clientX);
    [...row.children].forEach((other, i) => other.classList.toggle("ad-drop", i === to && i !== index));
  });
  chip.addEventListener("pointerup", (event) => {
    from = NaN;
    const to = chipUnder(row, event.clientX);
    if (dragging && to !== index) on.reorder(index, to);
  });
  chip.addEventListener("pointercancel", () => { from = NaN; });
  chip.addEventListener("click", () => {
    if (!dragging) on.select();
    dragging = false;
  });
}
