// Everything around the pictures: which kind of map, which item, which step, and what the colours mean.
import { button, make, press } from "../shared/dom.js";
import { barsOf } from "./bars.js";
import { createChoices } from "./choices.js";
import { itemsOf, KINDS, kindsOf, percent, stepsOf, stepWords } from "./model.js";
import { gradient } from "./ramp.js";
import { shownChoice, topOf } from "./state.js";
import { createSteps } from "./steps.js";
import { said, t } from "../shared/texts.js";

/** @typedef {import("./model.js").Kind} Kind */
/** @typedef {import("./state.js").State} State */

const NAMES = {
  "heat maps": said("Heat maps"), landing: said("Landing"), "edit mask": said("Edit mask"), subjects: said("Subjects"), edges: said("Edges"),
};
const TELLS = {
  "heat maps": said("Where the picture attended to each phrase"), landing: said("Whether attention to each phrase was in its region"),
  "edit mask": said("What Attention Edit allowed to change"), subjects: said("What Shared Subject took for the subject"),
  edges: said("The lines Sketch Guidance found, beside the drawing"),
};

/** Kinds whose colours are attention. @param {Kind} kind */
const isHeat = (kind) => kind === "heat maps" || kind === "landing";

/** @param {{ kind: (kind: Kind) => void, matches: () => void }} on */
export function createKinds(on) {
  const tabs = KINDS.map((kind) => ({ kind, tab: button(t(NAMES[kind]), t(TELLS[kind]), () => on.kind(kind)) }));
  const matches = button(t("Matches"), t("Dots of one colour are parts that correspond"), on.matches);
  const element = make("div", { className: "ad-toolbar ad-kinds", role: "toolbar", "aria-label": t("Records of the run") },
    ...tabs.map(({ tab }) => tab), make("span", { className: "ad-spring" }), matches);
  return {
    element,
    /** @param {State} state */
    show: ({ data, choice }) => {
      const kinds = data ? kindsOf(data) : [];
      for (const { kind, tab } of tabs) {
        tab.hidden = !kinds.includes(kind);
        press(tab, kind === choice.kind);
      }
      matches.hidden = !data?.subjects?.links || choice.kind !== "subjects";
      press(matches, choice.matches);
      element.hidden = !kinds.length;
    },
  };
}

/** @param {import("./choices.js").ChoiceEvents} on */
export function createItems(on) {
  const choices = createChoices(on);
  /** @type {{ data: State["data"], kind: Kind | "" }} What the buttons were made for. */
  let filled = { data: null, kind: "" };
  return {
    element: choices.element,
    /** New buttons only where there are others: one that goes takes the mouse and the focus with it. @param {State} state */
    show: ({ data, choice }) => {
      const { kind } = choice;
      const bars = data && kind === "landing" ? barsOf(data, choice) : [];
      if (data && filled.data === data && filled.kind === kind) return choices.setBeside(bars);
      filled = { data, kind };
      const labels = data ? itemsOf(data, kind) : [];
      const alone = labels.length < 2 && !isHeat(kind);
      const says = (/** @type {string} */ label) => t("{what}: click to keep it, again for the pictures alone", { what: label });
      choices.fill(alone ? [] : labels.map((label, i) => ({ label, says: says(label), beside: bars[i] ?? null })));
    },
    /** @param {State} state */
    mark: (state) => choices.mark(state.choice.item, shownChoice(state).item),
  };
}

/** @param {(step: number) => void} change */
export function createTime(change) {
  const steps = createSteps(change);
  return {
    element: steps.element,
    /** @param {State} state */
    show: ({ data, choice }) => {
      const count = data ? stepsOf(data, choice.kind) : 0;
      steps.element.hidden = !data || !(isHeat(choice.kind) || count > 0);
      if (data) steps.show(choice.step, count, stepWords(data, choice.kind, choice.step));
    },
  };
}

export function createLegend() {
  const high = make("span", { className: "ad-faint" });
  const element = make("div", { className: "ad-row ad-legend" }, make("span", { className: "ad-faint" }, "0"),
    make("span", { className: "ad-ramp", style: { background: gradient() } }), high);
  return {
    element,
    /** @param {State} state */
    show: (state) => {
      const top = topOf(state);
      element.hidden = !state.data || !isHeat(state.choice.kind);
      element.style.visibility = top === undefined ? "hidden" : ""; // it keeps its place, so that nothing jumps
      high.textContent = t("{share} of a pixel's attention", { share: percent(top ?? 0) });
    },
  };
}
