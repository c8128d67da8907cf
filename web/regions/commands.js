// What each key and button of the canvas makes of its state.
import { MAX_REGIONS, parse, unnumbered } from "./drawing.js";
import { duplicated, removed, reordered, switched, weighted } from "./edits.js";
import { adding, growing, nudging } from "./keyboard_edits.js";
import { aspectOf, committed, selectedRegion, told } from "./state.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {import("./keys.js").Command} Command */
/** @typedef {import("./state.js").State} State */

const OF_A_REGION = new Set(["phrase", "nudge", "grow", "weigh", "order", "duplicate", "copy", "cut", "delete", "off", "locked", "hidden"]);
const OF_ITS_SHAPE = new Set(["nudge", "grow", "cut", "delete"]);
const [THINNEST, WIDEST] = [0.005, 0.3];

/** Does the command need a region where none is selected? @param {State} state @param {Command} order */
export const lacksRegion = (state, order) => OF_A_REGION.has(order.do) && !selectedRegion(state);

/** Would the command change the selected region's shape, which is locked? @param {State} state @param {Command} order */
export const isHeld = (state, order) => OF_ITS_SHAPE.has(order.do) && !!selectedRegion(state)?.locked;

/** The state after a command. Those that reach beyond the canvas change nothing here. @param {State} state @param {Command} order @returns {State} */
export function acted(state, order) {
  switch (order.do) {
    case "tool": return { ...state, tool: order.tool };
    case "snap": return { ...state, snaps: !state.snaps };
    case "brush": return { ...state, brushWidth: Math.min(WIDEST, Math.max(THINNEST, state.brushWidth + order.by)) };
    case "drop": return committed({ ...state, waiting: "" }, state.drawing, -1);
    case "clear": return committed(state, { ...state.drawing, regions: [] }, -1);
  }
  const next = edited(order, state);
  return next ? committed(state, ...next) : state;
}

/** With the regions of a copied text in front. @param {State} state @param {string} text */
export function pasted(state, text) {
  const found = parse(text).drawing.regions;
  if (!found.length) return told(state, t("Nothing to paste: copy a region with Ctrl+C first."));
  return committed(state, { ...state.drawing, regions: [...unnumbered(found), ...state.drawing.regions].slice(0, MAX_REGIONS) }, 0);
}

/**
 * The drawing after a command and the region to select then, or null where the command changes neither.
 * @param {Command} order @param {State} state @returns {[Drawing, number] | null}
 */
function edited(order, state) {
  const { drawing, selected, size, snaps, waiting } = state;
  const count = drawing.regions.length;
  switch (order.do) {
    case "new": return [adding(drawing, size, waiting), 0];
    case "walk": return [drawing, (selected + order.by + count) % (count || 1)];
    case "nudge": return [nudging(drawing, selected, order, size, snaps), selected];
    case "grow": return [growing(drawing, selected, order, size, snaps), selected];
    case "weigh": return [weighted(drawing, selected, drawing.regions[selected].strength + order.by), selected];
    case "off": case "locked": case "hidden": return [switched(drawing, selected, order.do), selected];
    case "duplicate": return [duplicated(drawing, selected, aspectOf(state)), selected];
    case "cut": case "delete": return [removed(drawing, selected), selected];
    case "order": {
      const to = Math.min(count - 1, Math.max(0, selected + order.by));
      return to === selected ? null : [reordered(drawing, selected, to), to];
    }
  }
  return null;
}
