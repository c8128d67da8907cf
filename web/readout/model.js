// What the viewer can show of a run, and how it says it. No DOM.
import { t } from "../shared/texts.js";

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./data.js").Place} Place */
/** @typedef {"heat maps" | "landing" | "edit mask" | "subjects" | "edges"} Kind */
/** @typedef {{ label: string, column: number, places: Place[] }} Region one phrase's regions, of all images */
/** @typedef {{ kind: Kind, item: number, step: number, image: number, matches: boolean }} Choice step: 0 is the mean or the end; image: -1 is all */

/** @type {Kind[]} */
export const KINDS = ["heat maps", "landing", "edit mask", "subjects", "edges"];

/** @param {Data} data @returns {Kind[]} those there is something to see of */
export function kindsOf(data) {
  const there = [data.heat, data.heat?.places.length, data.edit, data.subjects, data.edges];
  return KINDS.filter((_, i) => there[i]);
}

/** Each region by its phrase. Of two in one image, the one that landed worse comes first. @param {Data} data @returns {Region[]} */
export function regionsOf(data) {
  /** @type {Map<number, Region>} */
  const found = new Map();
  for (const place of data.heat?.places ?? []) {
    const region = found.get(place.column) ?? { label: place.phrase, column: place.column, places: [] };
    region.places.push(place);
    found.set(place.column, region);
  }
  const all = [...found.values()];
  for (const region of all) region.places.sort((a, b) => a.image - b.image || a.scores[0] - b.scores[0]);
  return all;
}

/** What there is to choose of a kind: a name each. @param {Data} data @param {Kind} kind @returns {string[]} */
export function itemsOf(data, kind) {
  if (kind === "heat maps") return data.heat?.phrases.slice(0, data.heat.shown) ?? [];
  if (kind === "landing") return regionsOf(data).map((region) => region.label);
  const block = kind === "edit mask" ? data.edit?.masks : kind === "subjects" ? data.subjects?.masks : data.edges?.lines;
  const count = block?.shape[0] ?? 0;
  return count > 1 ? Array.from({ length: count }, (_, i) => `${kind} ${i + 1}`) : [kind];
}

/** How many choices the slider has beyond the first, which is the mean or the end. @param {Data} data @param {Kind} kind */
export function stepsOf(data, kind) {
  if (kind === "heat maps" || kind === "landing") return (data.heat?.steps.length ?? 1) - 1;
  return kind === "subjects" ? data.subjects?.levels?.shape[0] ?? 0 : 0;
}

/** The slider's words: of its button for the first choice, and of where it stands. @param {Data} data @param {Kind} kind @param {number} step */
export function stepWords(data, kind, step) {
  if (kind === "subjects") {
    const count = data.subjects?.levels?.shape[0] ?? 0;
    return { first: t("End"), all: t("At the end of the run"), at: step ? t("noise level {step} of {count}", { step, count }) : t("at the end of the run") };
  }
  const at = step ? t("step {step} of {count}", { step: data.heat?.steps[step] ?? 0, count: data.heat?.total ?? 0 }) : data.heat?.mean ?? "";
  return { first: t("Mean"), all: t("Mean of all recorded steps"), at };
}

/** @param {number} share @returns {string} */
export function percent(share) {
  const value = 100 * share;
  return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1)}%`;
}

/** The place whose phrase landed worst, among several. @param {Data} data @param {number} step @returns {Place | null} */
export function worstOf(data, step) {
  const places = data.heat?.places ?? [];
  if (places.length < 2) return null;
  return places.reduce((worst, place) => (place.scores[step] < worst.scores[step] ? place : worst));
}

/** A choice that the data can show, as near as it can be to another. @param {Data} data @param {Choice} choice @returns {Choice} */
export function settled(data, choice) {
  const kinds = kindsOf(data);
  const kind = kinds.includes(choice.kind) ? choice.kind : kinds[0] ?? "heat maps";
  const within = (/** @type {number} */ n, /** @type {number} */ low, /** @type {number} */ high) => Math.max(low, Math.min(high, n));
  return {
    kind, item: within(choice.item, -1, itemsOf(data, kind).length - 1), step: within(choice.step, 0, stepsOf(data, kind)),
    image: data.images > 1 ? within(choice.image, -1, data.images - 1) : -1, matches: choice.matches,
  };
}

/** What the node was set to when it ran. @param {Data} data @returns {Choice} */
export function asked(data) {
  const kind = KINDS.find((k) => k === data.show) ?? "heat maps";
  return settled(data, { kind, item: 0, step: Math.max(0, data.heat?.steps.indexOf(data.step) ?? 0), image: -1, matches: true });
}
