// Attention Readout's viewer as one element: pictures with maps over them, words to choose, bars, steps. It knows
// no ComfyUI.
import { button, make, press } from "../shared/dom.js";
import { barsOf } from "./bars.js";
import { createChoices } from "./choices.js";
import { lineOf } from "./lines.js";
import { asked, itemsOf, KINDS, kindsOf, percent, regionsOf, settled, stepsOf, stepWords } from "./model.js";
import { gradient } from "./ramp.js";
import { createStage } from "./stage.js";
import { createSteps } from "./steps.js";

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./model.js").Choice} Choice */
/** @typedef {import("./model.js").Kind} Kind */
/** @typedef {{ bytes: Uint8Array, pictures: import("./paint.js").Scene["pictures"] }} Loaded */

const NAMES = { "heat maps": "Heat maps", landing: "Landing", "edit mask": "Edit mask", subjects: "Subjects", edges: "Edges" };
const TELLS = {
  "heat maps": "Where each phrase was read", landing: "Whether each phrase was read in its region",
  "edit mask": "What Attention Edit allowed to change", subjects: "What Shared Subject took for the subject",
  edges: "The lines Sketch Guidance saw, beside the drawing",
};
const KEYS = "Arrow keys: left and right for the phrase, up and down for the step; page keys for the image, Escape for all of them.";

/** @param {{ graph: (event: WheelEvent | PointerEvent) => void }} on */
export function createView(on) {
  /** @type {Data | null} */
  let data = null;
  /** @type {Loaded} */
  let loaded = { bytes: new Uint8Array(0), pictures: [] };
  /** @type {Choice} */
  let choice = { kind: "heat maps", item: 0, step: 0, image: -1, matches: true };
  /** @type {number | null} */
  let hovered = null;
  /** @type {import("./stage.js").Spot | null} */
  let spot = null;
  /** What a viewer that undo has replaced looked at. @type {Choice | null} */
  let before = null;
  let filled = "";

  const shownItem = () => hovered ?? choice.item;
  const shown = () => ({ ...choice, item: shownItem() });
  /** @param {Partial<Choice>} change */
  const choose = (change) => {
    if (!data) return;
    choice = settled(data, { ...choice, ...change });
    render();
  };

  const stage = createStage({
    point: (next) => {
      const other = next?.image !== spot?.image;
      spot = next;
      if (!data) return;
      sayLine();
      if (other) paint();
    },
    pick: (image) => {
      root.focus({ preventScroll: true });
      choose({ image: choice.image < 0 ? image : -1 });
    },
    graph: on.graph,
  });
  const items = createChoices({
    hover: (item) => {
      hovered = item;
      refresh();
    },
    pick: (item) => {
      const off = choice.item === item;
      if (off) hovered = null; // else what is under the mouse would stay
      choose({ item: off ? -1 : item });
    },
  });
  const steps = createSteps((step) => choose({ step }));
  const kindTabs = KINDS.map((kind) => ({ kind, tab: button(NAMES[kind], TELLS[kind], () => choose({ kind, item: 0, step: 0 })) }));
  const matches = button("Matches", "Dots of one colour are parts that correspond", () => choose({ matches: !choice.matches }));
  const tabs = make("div", { className: "ad-toolbar ad-kinds", role: "toolbar", "aria-label": "What the run left" },
    ...kindTabs.map(({ tab }) => tab), make("span", { className: "ad-spring" }), matches);
  const high = make("span", { className: "ad-faint" });
  const legend = make("div", { className: "ad-row ad-legend" }, make("span", { className: "ad-faint" }, "0"),
    make("span", { className: "ad-ramp", style: { background: gradient() } }), high);
  const line = make("div", { className: "ad-notice", role: "status" });
  const root = make("div", {
    className: "ad-readout", tabIndex: 0, role: "group", "data-attention-director": "readout", "aria-label": `Readout of a run. ${KEYS}`,
  }, tabs, stage.element, items.element, steps.element, legend, line);

  const paint = () => stage.show(data && { data, ...loaded, choice: shown(), hover: spot?.image ?? -1 });
  const sayLine = () => {
    if (data) line.textContent = line.title = lineOf(data, loaded.bytes, shown(), spot);
  };
  /** What changes with the mouse. */
  const refresh = () => {
    if (!data) return;
    items.mark(choice.item, shownItem());
    const column = choice.kind === "landing" ? regionsOf(data)[shownItem()]?.column : shownItem();
    const top = data.heat?.tops[choice.step]?.[column ?? -1];
    legend.hidden = choice.kind !== "heat maps" && choice.kind !== "landing";
    legend.style.visibility = top === undefined ? "hidden" : ""; // it keeps its place, so that nothing jumps
    high.textContent = `${percent(top ?? 0)} of a pixel's attention`;
    sayLine();
    paint();
  };
  const fillTabs = () => {
    const kinds = data ? kindsOf(data) : [];
    for (const { kind, tab } of kindTabs) {
      tab.hidden = !kinds.includes(kind);
      press(tab, kind === choice.kind);
    }
    matches.hidden = !data?.subjects?.links || choice.kind !== "subjects";
    press(matches, choice.matches);
    tabs.hidden = !kinds.length;
  };
  /** New buttons only where there are others: one that goes takes the mouse and the focus with it. */
  const fillItems = () => {
    if (!data) return items.fill([]);
    const bars = choice.kind === "landing" ? barsOf(data, choice) : [];
    const labels = itemsOf(data, choice.kind);
    const now = JSON.stringify([choice.kind, labels]);
    const alone = labels.length < 2 && choice.kind !== "heat maps" && choice.kind !== "landing";
    if (now === filled) return items.setBeside(bars);
    [filled, hovered] = [now, null];
    const says = (/** @type {string} */ label) => `${label}: click to keep it, again for the pictures alone`;
    items.fill(alone ? [] : labels.map((label, i) => ({ label, says: says(label), beside: bars[i] ?? null })));
  };
  const render = () => {
    fillTabs();
    fillItems();
    const count = data ? stepsOf(data, choice.kind) : 0;
    const timed = choice.kind === "heat maps" || choice.kind === "landing" || count > 0;
    steps.element.hidden = !data || !timed;
    if (data) steps.show(choice.step, count, stepWords(data, choice.kind, choice.step));
    legend.hidden = true;
    refresh();
  };

  root.addEventListener("pointerdown", (event) => event.button === 0 && event.stopPropagation()); // Nodes 2.0 would drag the node
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
    event.stopPropagation(); // Delete would remove the node
    if (!data) return;
    const count = itemsOf(data, choice.kind).length;
    const turn = (/** @type {number} */ by) => {
      hovered = null;
      choose({ item: (Math.max(choice.item, by > 0 ? -1 : 0) + by + count) % count });
    };
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") turn(event.key === "ArrowRight" ? 1 : -1);
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") choose({ step: choice.step + (event.key === "ArrowUp" ? 1 : -1) });
    else if (event.key === "PageDown" || event.key === "PageUp") choose({ image: choice.image + (event.key === "PageDown" ? 1 : -1) });
    else if (event.key === "Escape" || event.key === "Home") choose({ image: -1 });
    else return;
    event.preventDefault();
  });

  /** @param {string} words @param {boolean} warning */
  const say = (words, warning) => {
    line.textContent = line.title = words;
    line.classList.toggle("ad-warn", warning);
  };
  return {
    element: root,
    /** A run; what one looked at stays, where the node was not set to something else. @param {Data} next @param {Loaded} content */
    show: (next, content) => {
      const same = data && data.show === next.show && data.step === next.step;
      choice = before || same ? settled(next, before ?? choice) : { ...asked(next), matches: choice.matches };
      [data, loaded, hovered, filled, before] = [next, content, null, "", null];
      root.classList.remove("ad-empty");
      say("", false);
      render();
    },
    /** No run: only words. @param {string} words @param {boolean} [warning] */
    empty: (words, warning = false) => {
      [data, loaded, filled, hovered] = [null, { bytes: new Uint8Array(0), pictures: [] }, "", null];
      root.classList.add("ad-empty");
      say(words, warning);
      render();
      paint();
    },
    /** Look at another kind, where the run left it. @param {string} kind */
    setKind: (kind) => {
      if (data && kind !== choice.kind && kindsOf(data).includes(/** @type {Kind} */ (kind))) choose({ kind: /** @type {Kind} */ (kind), item: 0, step: 0 });
    },
    session: () => ({ choice }),
    /** @param {{ choice: Choice }} old */
    resume: (old) => {
      before = old.choice;
      if (data) choose(before);
    },
    destroy: stage.destroy,
  };
}
