// The sentence under the pictures: what one sees. No DOM.
import { mapAt, valueAt } from "./data.js";
import { percent, regionsOf, worstOf } from "./model.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./model.js").Choice} Choice */
/** @typedef {import("./stage.js").Spot} Spot */

/** @param {Data} data @param {Uint8Array} bytes @param {Choice} choice @param {Spot | null} spot where the mouse is */
export function lineOf(data, bytes, choice, spot) {
  const fewer = data.all > data.images ? t("the first {count} of {all} images; ", { count: data.images, all: data.all }) : "";
  return fewer + SAYS[choice.kind](data, bytes, choice, spot);
}

/** @typedef {(data: Data, bytes: Uint8Array, choice: Choice, spot: Spot | null) => string} Says */

const imageWords = (/** @type {Data} */ data, /** @type {number} */ image) => (data.images > 1 ? t("image {number}: ", { number: image + 1 }) : "");

/** What the map of a column says under the mouse. @type {(data: Data, bytes: Uint8Array, choice: Choice, spot: Spot | null, column: number) => string} */
function reading(data, bytes, choice, spot, column) {
  const { heat } = data;
  if (!heat || !spot || !heat.has[spot.image]?.[column]) return "";
  const value = valueAt(mapAt(bytes, heat.maps, choice.step, spot.image, column), spot.x, spot.y);
  const share = percent(value * heat.tops[choice.step][column]);
  return `${imageWords(data, spot.image)}${t("{share} of this pixel's attention", { share })}`;
}

/** @type {Says} */
function heat(data, bytes, choice, spot) {
  if (choice.item < 0) return t("point at a phrase to see where the picture attended to it");
  return reading(data, bytes, choice, spot, choice.item) || t("where the picture attended to the phrase");
}

/** @type {Says} */
function landing(data, bytes, choice, spot) {
  const region = regionsOf(data)[choice.item];
  const here = region ? reading(data, bytes, choice, spot, region.column) : "";
  if (here) return here;
  const worst = worstOf(data, choice.step);
  if (!worst) return t("bar: how much of the high attention is in its region, which is outlined");
  const image = imageWords(data, worst.image);
  return t("worst: {phrase}, {image}{share} in its region", { phrase: worst.phrase, image, share: percent(worst.scores[choice.step]) });
}

/** @type {Says} */
function edit(data, bytes, choice, spot) {
  const found = data.edit;
  if (!found || choice.item < 0) return t("the pictures alone");
  const image = spot?.image ?? Math.max(0, choice.image);
  const { values } = mapAt(bytes, found.masks, choice.item, image);
  const mean = values.reduce((sum, value) => sum + value, 0) / 255 / (values.length || 1);
  return `${imageWords(data, image)}${t("only the bright part may change, {share} of the picture", { share: percent(mean) })}`;
}

/** @type {Says} */
function subjects(data, _bytes, choice, spot) {
  if (!data.subjects?.links || !choice.matches) return t("where the subject was found");
  if (spot && choice.image < 0) return t("image {number} takes each dot from the ring of its colour", { number: spot.image + 1 });
  return t("dots: parts that come from an anchor; point at a picture to see from where");
}

/** @type {Says} */
function edges(data) {
  return data.edges?.agreement.length ? t("agreement: 1 is all of the drawing, 0 no more than on a blank sheet") : t("the lines the predictor found");
}

/** @type {Record<import("./model.js").Kind, Says>} */
const SAYS = { "heat maps": heat, landing, "edit mask": edit, subjects, edges };
