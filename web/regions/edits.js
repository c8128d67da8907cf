// One function an edit: a drawing in, a drawing out. Nothing is changed in place.
import { MAX_REGIONS, MAX_STRENGTH } from "./drawing.js";
import { clamp, rounded } from "../shared/geometry.js";
import { moved } from "./shapes.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {import("./drawing.js").Region} Region */

/** @param {Drawing} drawing @param {Region} region in front of the others */
export function added(drawing, region) {
  if (drawing.regions.length >= MAX_REGIONS) return drawing;
  return { ...drawing, regions: [region, ...drawing.regions] };
}

/** @param {Drawing} drawing @param {number} index @param {Region} region */
export function replaced(drawing, index, region) {
  return { ...drawing, regions: drawing.regions.map((old, i) => (i === index ? region : old)) };
}

/** @param {Drawing} drawing @param {number} index */
export function removed(drawing, index) {
  return { ...drawing, regions: drawing.regions.filter((_, i) => i !== index) };
}

/** A copy of a region in front of it, a little aside. @param {Drawing} drawing @param {number} index @param {number} aspect */
export function duplicated(drawing, index, aspect) {
  if (drawing.regions.length >= MAX_REGIONS) return drawing;
  const aside = { ...moved(drawing.regions[index], 0.03, 0.03, aspect), number: 0 };
  const regions = [...drawing.regions];
  regions.splice(index, 0, aside);
  return { ...drawing, regions };
}

/** A region at another place in the order; 0 is the front. @param {Drawing} drawing @param {number} from @param {number} to */
export function reordered(drawing, from, to) {
  const regions = [...drawing.regions];
  const [region] = regions.splice(from, 1);
  regions.splice(clamp(to, 0, regions.length), 0, region);
  return { ...drawing, regions };
}

/** @param {Drawing} drawing @param {number} index @param {string} phrase */
export function bound(drawing, index, phrase) {
  const own = drawing.regions[index];
  return !own || own.phrase === phrase ? drawing : replaced(drawing, index, { ...own, phrase });
}

/** @param {Drawing} drawing @param {number} index @param {"off" | "locked" | "hidden"} mark */
export function switched(drawing, index, mark) {
  const own = drawing.regions[index];
  return replaced(drawing, index, { ...own, [mark]: !own[mark] });
}

/** @param {Drawing} drawing @param {number} index @param {number} strength */
export function weighted(drawing, index, strength) {
  const value = Number.isFinite(strength) ? rounded(clamp(strength, 0, MAX_STRENGTH)) : 1;
  return replaced(drawing, index, { ...drawing.regions[index], strength: value });
}
