// Landing scores as bars: a row a region, in it a bar an image; the worst of all is marked.
import { make } from "../shared/dom.js";
import { percent, regionsOf, worstOf } from "./model.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./data.js").Place} Place */
/** @typedef {import("./model.js").Choice} Choice */

const MOST_WORDED = 6; // bars in a row that have room for their number

/** @param {Place} place @param {number} step @param {boolean} worst @param {boolean} worded */
function barOf(place, step, worst, worded) {
  const score = Math.max(0, Math.min(1, place.scores[step] ?? 0));
  const parts = { number: place.image + 1, share: percent(score) };
  const words = worst ? t("image {number}: {share} of the high attention is in its region; the worst", parts)
    : t("image {number}: {share} of the high attention is in its region", parts);
  return make("span", { className: `ad-bar${worst ? " ad-worst" : ""}`, title: words, "aria-label": words, role: "img" },
    make("span", { className: "ad-fill", style: { width: `${100 * score}%` } }),
    ...(worded ? [make("span", { className: "ad-bar-number" }, `${worst ? "⚠ " : ""}${percent(score)}`)] : []));
}

/** The bars of each region, in the order of regionsOf. @param {Data} data @param {Choice} choice @returns {HTMLElement[]} */
export function barsOf(data, choice) {
  const worst = worstOf(data, choice.step);
  return regionsOf(data).map((region) => {
    const places = region.places.filter((place) => choice.image < 0 || place.image === choice.image);
    return make("span", { className: "ad-tracks" },
      ...places.map((place) => barOf(place, choice.step, place === worst, places.length <= MOST_WORDED)));
  });
}
