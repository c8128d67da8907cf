// Regions that come from elsewhere: masks of pictures, and those that other nodes bring in by wire.
import { MAX_REGIONS, unnumbered } from "./drawing.js";
import { paintWired } from "./wired_overlay.js";
import { read, withMasks } from "./importing.js";
import { committed, firstWired, told } from "./state.js";
import { NONE } from "./wired.js";
import { createWiredRow } from "./wired_row.js";
import { t } from "../shared/texts.js";

/** @typedef {import("../shared/store.js").Store<import("./state.js").State>} Store */
/**
 * @typedef {object} ImportEvents
 * @property {(from: string | File[]) => Promise<import("./importing.js").Picture[]>} masks
 * @property {() => void} unlink
 * @property {() => void} arrived regions from elsewhere are in the drawing
 */

/** @param {Store} store @param {ImportEvents} on */
export function createImports(store, on) {
  let wired = NONE;
  const row = createWiredRow(() => copyWired(store, on, wired.regions));
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
      store.set(told(store.get(), t("Reading…")));
      const readings = (await on.masks(from)).map(read);
      const { drawing, said, warns } = withMasks(store.get().drawing, readings);
      const next = told(store.get(), said, warns);
      const arrived = drawing !== next.drawing;
      store.set(arrived ? committed(next, drawing, 0) : next);
      if (arrived) on.arrived();
    },
    /** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number) => void} */
    paint: (to, w, h, unit) => paintWired(to, w, h, unit, wired.regions, firstWired(store.get().drawing)),
  };
}

/** Behind the drawn ones, where they lie already. @param {Store} store @param {ImportEvents} on @param {import("./drawing.js").Region[]} wired */
function copyWired(store, on, wired) {
  const { drawing } = store.get();
  const regions = [...drawing.regions, ...unnumbered(wired)];
  if (regions.length > MAX_REGIONS) return store.set(told(store.get(), t("A drawing can have {count} regions: remove some first.", { count: MAX_REGIONS }), true));
  on.unlink(); // before the edit, so that both are one step of undo
  const next = told(store.get(), t("Copied, and the wire is removed: now you can move them."));
  store.set(committed(next, { ...drawing, regions }, drawing.regions.length));
  on.arrived();
}
