// Attention Readout's viewer as one element: pictures with maps over them, words to choose, bars, steps. It knows
// no ComfyUI.
import { make } from "../shared/dom.js";
import { lineOf } from "./lines.js";
import { createItems, createKinds, createLegend, createTime } from "./panels.js";
import { createStage } from "./stage.js";
import { chosen, emptied, FIRST, offers, ofKind, ran, resumed, shownChoice, toggled, turned } from "./state.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./model.js").Choice} Choice */
/** @typedef {import("./model.js").Kind} Kind */
/** @typedef {import("./state.js").Loaded} Loaded */
/** @typedef {import("./state.js").State} State */
/** What an event makes of the state. @typedef {(change: (state: State) => State) => void} Change */
/** @typedef {ReturnType<typeof partsOf>} Parts */


/** @param {{ graph: (event: WheelEvent | PointerEvent) => void }} on */
export function createView(on) {
  let state = FIRST;
  /** @type {Change} */
  const change = (next) => {
    const before = state;
    state = next(state);
    if (state !== before) render(parts, state);
  };
  /** What changes with the mouse. @type {Change} */
  const glance = (next) => {
    const before = state;
    state = next(state);
    show(parts, state, before.hovered !== state.hovered || before.spot?.image !== state.spot?.image);
  };
  const focus = () => root.focus({ preventScroll: true });
  const parts = partsOf(change, glance, focus, on.graph);
  const { kinds, stage, items, time, legend, line } = parts;
  const root = make("div", {
    className: "ad-readout", tabIndex: 0, role: "group", "data-attention-director": "readout", "aria-label": t("Readout of a run. Arrow keys: left and right for the phrase, up and down for the step; page keys for the image, Escape for all of them."),
    pointerdown: (/** @type {PointerEvent} */ event) => event.button === 0 && event.stopPropagation(), // Nodes 2.0 would drag the node
    keydown: (/** @type {KeyboardEvent} */ event) => hear(event, !!state.data, change),
  }, kinds.element, stage.element, items.element, time.element, legend.element, line);
  return { ...fromOutside(change, root), session: () => ({ choice: state.choice }), destroy: stage.destroy };
}

/** @param {Change} change @param {Change} glance @param {() => void} focus @param {(event: WheelEvent | PointerEvent) => void} graph */
function partsOf(change, glance, focus, graph) {
  return {
    stage: createStage({
      point: (spot) => glance((state) => ({ ...state, spot })),
      pick: (image) => {
        focus();
        change((state) => chosen(state, { image: state.choice.image < 0 ? image : -1 }));
      },
      graph,
    }),
    kinds: createKinds({
      kind: (kind) => change((state) => ofKind(state, kind)),
      matches: () => change((state) => chosen(state, { matches: !state.choice.matches })),
    }),
    items: createItems({
      hover: (hovered) => glance((state) => ({ ...state, hovered })),
      pick: (item) => change((state) => toggled(state, item)),
    }),
    time: createTime((step) => change((state) => chosen(state, { step }))),
    legend: createLegend(),
    line: make("div", { className: "ad-notice", role: "status" }),
  };
}

/** @param {Parts} parts @param {State} state */
function render(parts, state) {
  parts.kinds.show(state);
  parts.items.show(state);
  parts.time.show(state);
  parts.line.classList.toggle("ad-warn", state.alarmed);
  show(parts, state, true);
}

/** @param {Parts} parts @param {State} state @param {boolean} paints whether the pictures show something else */
function show({ stage, items, legend, line }, state, paints) {
  const { data, loaded, spot } = state;
  items.mark(state);
  legend.show(state);
  line.textContent = line.title = data ? lineOf(data, loaded.bytes, shownChoice(state), spot) : state.said;
  if (paints) stage.show(data && { data, ...loaded, choice: shownChoice(state), hover: spot?.image ?? -1 });
}

/** @param {KeyboardEvent} event @param {boolean} shows there is a run to look at @param {Change} change */
function hear(event, shows, change) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
  event.stopPropagation(); // Delete would remove the node
  const next = shows && MOVES[event.key];
  if (!next) return;
  change(next);
  event.preventDefault();
}

/** @type {Record<string, (state: State) => State>} */
const MOVES = {
  ArrowRight: (state) => turned(state, 1),
  ArrowLeft: (state) => turned(state, -1),
  ArrowUp: (state) => chosen(state, { step: state.choice.step + 1 }),
  ArrowDown: (state) => chosen(state, { step: state.choice.step - 1 }),
  PageDown: (state) => chosen(state, { image: state.choice.image + 1 }),
  PageUp: (state) => chosen(state, { image: state.choice.image - 1 }),
  Escape: (state) => chosen(state, { image: -1 }),
  Home: (state) => chosen(state, { image: -1 }),
};

/** What the node tells the viewer. @param {Change} change @param {HTMLElement} root */
function fromOutside(change, root) {
  return {
    element: root,
    /** A run. @param {Data} data @param {Loaded} loaded */
    show: (data, loaded) => {
      root.classList.remove("ad-empty");
      change((state) => ran(state, data, loaded));
    },
    /** No run: only words. @param {string} words @param {boolean} [warning] */
    empty: (words, warning = false) => {
      root.classList.add("ad-empty");
      change((state) => emptied(state, words, warning));
    },
    /** Look at another kind, where the run left it. @param {string} kind */
    setKind: (kind) => change((state) => (kind !== state.choice.kind && offers(state, kind) ? ofKind(state, /** @type {Kind} */ (kind)) : state)),
    /** @param {{ choice: Choice }} old */
    resume: (old) => change((state) => resumed(state, old.choice)),
  };
}
