// Regions that come from elsewhere: masks of pictures, and those that other nodes bring in by wire.
import { MAX_REGIONS } from "./drawing.js";
import { paintGhosts } from "./ghosts.js";
import { read, withMasks } from "./importing.js";
import { NONE } from "./wired.js";
import { createWiredRow } from "./wired_row.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/**
 * @typedef {object} Desk the canvas they arrive at
 * @property {() => Drawing} drawing
 * @property {(next: Drawing, select: number) => void} commit
 * @property {(text: string, warns?: boolean) => void} tell
 * @property {(from: string | File[]) => Promise<import("./importing.js").Picture[]>} masks
 * @property {() => void} unlink
 * @property {() => void} arrived regions from elsewhere are in the drawing
 */

/** @param {Desk} desk */
export function createArrivals(desk) {
  let wired = NONE;
  const copy = () => {
    const { regions } = desk.drawing();
    const all = [...regions, ...wired.regions]; // behind the drawn ones, where they lie already
    if (all.length > MAX_REGIONS) return desk.tell(`A drawing holds ${MAX_REGIONS} regions: remove some first.`, true);
    desk.tell("Copied, and their wire is removed: move them as you like.");
    const next = { ...desk.drawing(), regions: all };
    desk.unlink(); // before the edit, so that both are one step of undo
    desk.commit(next, regions.length);
    desk.arrived();
  };
  const row = createWiredRow(copy);
  return {
    element: row.element,
    some: () => wired.regions.length > 0,
    /** @param {import("./wired.js").Wired} next */
    setWired: (next) => {
      wired = next;
      row.show(wired);
    },
    /** @param {string | File[]} from */
    importMasks: async (from) => {
      desk.tell("Reading…");
      const readings = (await desk.masks(from)).map(read);
      const found = withMasks(desk.drawing(), readings);
      desk.tell(found.said, found.warns);
      if (found.drawing === desk.drawing()) return;
      desk.commit(found.drawing, 0);
      desk.arrived();
    },
    /** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number) => void} */
    paint: (to, w, h, unit) => paintGhosts(to, w, h, unit, wired.regions, desk.drawing().regions.length),
  };
}
