// What each key and button of the canvas does to a drawing.
import { duplicated, removed, reordered, weighted } from "./edits.js";
import { adding, growing, nudging } from "./keyboard_edits.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {{ drawing: Drawing, selected: number, size: [number, number], snaps: boolean, waiting: string }} Held */

/** Commands that need a selected region. @type {Set<string>} */
export const OF_A_REGION = new Set(["phrase", "nudge", "grow", "weigh", "order", "duplicate", "copy", "cut", "delete"]);

/**
 * The drawing after a command and the region to select then, or null where the command changes neither.
 * @param {import("./keys.js").Command} order @param {Held} held @returns {[Drawing, number] | null}
 */
export function edited(order, { drawing, selected, size, snaps, waiting }) {
  const count = drawing.regions.length;
  switch (order.do) {
    case "new": return [adding(drawing, size, waiting), 0];
    case "walk": return [drawing, (selected + order.by + count) % (count || 1)];
    case "nudge": return [nudging(drawing, selected, order, size, snaps), selected];
    case "grow": return [growing(drawing, selected, order, size, snaps), selected];
    case "weigh": return [weighted(drawing, selected, drawing.regions[selected].strength + order.by), selected];
    case "duplicate": return [duplicated(drawing, selected, size[0] / size[1]), selected];
    case "cut": case "delete": return [removed(drawing, selected), selected];
    case "order": {
      const to = Math.min(count - 1, Math.max(0, selected + order.by));
      return to === selected ? null : [reordered(drawing, selected, to), to];
    }
  }
  return null;
}
