// The region canvas as one element: tools, canvas, words, regions. It knows no ComfyUI.
import { make } from "../shared/dom.js";
import { createLarge } from "../shared/large.js";
import { createStore } from "../shared/store.js";
import { acted, isHeld, lacksRegion, pasted } from "./commands.js";
import { createImports } from "./imports.js";
import { serialise } from "./drawing.js";
import { command } from "./keys.js";
import { createPanels, showPanels } from "./panels.js";
import { aspectOf, FIRST, selectedRegion, told, withPrompt, withSize, withValue } from "./state.js";
import { createSurface } from "./surface.js";
import { t } from "../shared/texts.js";

/** @typedef {import("../shared/prompts.js").Prompt} Prompt */
/** @typedef {import("./keys.js").Command} Command */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("../shared/store.js").Store<State>} Store */
/**
 * @typedef {object} ViewEvents
 * @property {(value: string) => void} change a finished edit
 * @property {(command: "undo" | "redo") => void} history
 * @property {(phrase: string) => void} insert put words into the prompt
 * @property {() => void} run
 * @property {(text: string) => void} type make this the prompt
 * @property {(choice: string) => void} background
 * @property {() => void} eye show or hide the picture behind the regions
 * @property {() => void} power switch all regions on or off
 * @property {(file: File) => void} upload
 * @property {() => [string, string][]} pictures
 * @property {(from: string | File[]) => Promise<import("./importing.js").Picture[]>} masks the pictures of a node, or of files
 * @property {() => void} unlink take the wire of the regions away
 * @property {(event: WheelEvent | PointerEvent) => void} graph
 * @property {{ get: () => string, set: (text: string) => void }} clipboard
 */
/** @typedef {{ store: Store, root: HTMLElement, panels: import("./panels.js").Panels, surface: ReturnType<typeof createSurface>, arrivals: ReturnType<typeof createImports> }} Parts */

/** @param {ViewEvents} on */
export function createView(on) {
  const focus = () => root.focus({ preventScroll: true });
  const store = createStore(FIRST, {
    edited: on.change,
    show: (state) => {
      showPanels(panels, state);
      surface.pad.redraw();
    },
    draw: () => surface.pad.redraw(),
  });
  const act = (/** @type {Command} */ order) => {
    const { large: open, selected, waiting } = store.get();
    if (order.do === "drop" && open && selected < 0 && !waiting) large.close(); // Escape, with nothing left to drop
    else obey({ store, root, panels, surface, arrivals }, on, order);
  };
  const arrivals = createImports(store, { masks: on.masks, unlink: on.unlink, arrived: focus });
  const panels = createPanels(store, on, { act, leave: focus, masks: arrivals.importMasks, large: () => large.toggle() });
  const surface = createSurface(store, { focus, arrivals, graph: on.graph, twice: panels.inspector.focus });
  const root = make("div", {
    className: "ad-regions", tabIndex: 0, role: "application", "data-attention-director": "regions",
    title: "", // else the widget's tooltip hangs over the canvas
    "data-capture-wheel": "true",
    "aria-label": t("Regions of the picture. N adds a box, arrows move it, Shift and arrows change its size, W goes to the words."),
    keydown: (/** @type {KeyboardEvent} */ event) => hear(event, root, act),
  }, panels.prompt.element, panels.toolbar.element, surface.pad.element, panels.strip.element, panels.chips.element, arrivals.element,
  panels.inspector.element, panels.notice.element);
  const large = createLarge(root, (open) => store.set({ ...store.get(), large: open }));
  return { ...fromOutside({ store, root, panels, surface, arrivals }), ...outliving(store, surface, large) };
}

/** A key that was pressed in the editor. @param {KeyboardEvent} event @param {HTMLElement} root @param {(order: Command) => void} act */
function hear(event, root, act) {
  // A plain key in here must not reach the graph, where Delete removes the node.
  if (!event.ctrlKey && !event.metaKey && event.key !== "Tab") event.stopPropagation();
  const button = event.target instanceof HTMLButtonElement && event.key !== "Enter" && event.key !== " ";
  const order = event.target === root || button ? command(event) : null;
  if (!order) return;
  event.preventDefault();
  event.stopPropagation();
  act(order);
}

/** @param {Parts} parts @param {ViewEvents} on @param {Command} order */
function obey(parts, on, order) {
  const { store } = parts;
  const state = { ...store.get(), said: "" };
  if (lacksRegion(state, order)) return store.set(told(state, t("Select a region first: click it, or press Page Down.")));
  if (isHeld(state, order)) return store.set(told(state, t("This region is locked (K).")));
  before(parts, on, order, state);
  store.set(order.do === "paste" ? pasted(state, on.clipboard.get()) : acted(state, order));
  after(parts, on, order);
}

/** @param {Parts} parts @param {ViewEvents} on @param {Command} order @param {State} state */
function before({ surface }, on, order, state) {
  const region = selectedRegion(state);
  if (order.do === "drop") surface.drop();
  if ((order.do === "copy" || order.do === "cut") && region) on.clipboard.set(serialise({ size: state.size, regions: [region] }));
}

/** What of a command reaches beyond the canvas. @param {Parts} parts @param {ViewEvents} on @param {Command} order */
function after({ root, panels }, on, order) {
  if (order.do === "tool") root.focus({ preventScroll: true });
  else if (order.do === "words") panels.strip.element.focus({ preventScroll: true });
  else if (order.do === "phrase") panels.inspector.focus();
  else if (order.do === "undo" || order.do === "redo") on.history(order.do);
}

/** What the node asks of the editor and tells it. @param {Parts} parts */
function fromOutside({ store, root, surface, arrivals }) {
  const set = (/** @type {State} */ next) => next !== store.get() && store.set(next);
  return {
    element: root,
    getValue: () => store.get().value,
    /** @param {unknown} next */
    setValue: (next) => {
      surface.forget();
      set(withValue(store.get(), next));
    },
    /** @param {Prompt} next */
    setPrompt: (next) => set(withPrompt(store.get(), next)),
    /** @param {[number, number]} size of the picture @param {[number, number]} [declared] the size that the node says */
    setSize: (size, declared) => {
      const next = withSize(store.get(), size, declared);
      if (next === store.get()) return;
      surface.pad.setAspect(aspectOf(next));
      store.set(next);
    },
    /** @param {import("./backdrop.js").Choice} chosen @param {HTMLImageElement | null} image */
    setBackground: ({ choice, hidden }, image) => {
      surface.setBackground(image);
      set({ ...store.get(), picture: choice, veiled: hidden });
    },
    /** @param {boolean | null} power null where a wire decides */
    setPower: (power) => power !== store.get().power && set({ ...store.get(), power }),
    /** Regions that come by wire; they lie behind the drawn ones. @param {import("./wired.js").Wired} next */
    setWired: (next) => {
      arrivals.setWired(next);
      set({ ...store.get(), wired: next.regions });
    },
    /** @param {import("./landing.js").Landing} landing */
    setLanding: (landing) => set({ ...store.get(), landing }),
  };
}

/** What lets the editor go, and come back with a node that is built anew.
 * @param {Store} store @param {Parts["surface"]} surface @param {ReturnType<typeof createLarge>} large */
function outliving(store, surface, large) {
  return {
    session: () => chosenIn(store.get()),
    /** @param {ReturnType<typeof chosenIn>} old what a person had chosen */
    resume: (old) => {
      const { drawing } = store.get();
      store.set({ ...store.get(), ...old, large: false, selected: Math.min(old.selected, drawing.regions.length - 1) });
      if (old.large) large.show();
    },
    destroy: () => {
      large.close();
      surface.pad.destroy();
    },
  };
}

/** @param {State} state */
const chosenIn = ({ tool, selected, snaps, brushWidth, large }) => ({ tool, selected, snaps, brushWidth, large });
