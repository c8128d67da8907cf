// Source and targets one above the other, word by word; each word of a target is the control of its own weight.
import { make } from "../shared/dom.js";
import { phraseOf, tokenise } from "../shared/words.js";
import { align } from "./align.js";
import { weightOf, withWeight } from "./reweight.js";
import { createWeigher } from "./weigher.js";
import { t } from "../shared/texts.js";

/** @typedef {{ source: string, targets: string, reweight: string, note: string }} Texts note: why the source is unknown, or "" */

const MOST_TARGETS = 16;

/** @typedef {{ texts: Texts, holding: boolean }} State holding: a word is being dragged, and must stay on the page */
/** @typedef {(text: string, done: boolean) => void} Reweight */

/** @param {{ reweight: Reweight }} on */
export function createView(on) {
  /** @type {State} */
  const state = { texts: { source: "", targets: "", reweight: "", note: "" }, holding: false };
  const root = make("div", {
    className: "ad-pair", "data-attention-director": "pair", role: "group", "aria-label": t("Source and targets, word by word"),
    pointerdown: (/** @type {PointerEvent} */ event) => event.button === 0 && event.stopPropagation(),
    keydown: (/** @type {KeyboardEvent} */ event) => {
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
    },
  });
  const weigh = (/** @type {string} */ word, /** @type {number} */ weight, /** @type {boolean} */ done) => {
    const reweight = withWeight(state.texts.reweight, word, weight);
    Object.assign(state, { texts: { ...state.texts, reweight }, holding: !done });
    on.reweight(reweight, done);
    if (done) render();
  };
  const render = () => showIn(root, contentOf(state.texts, weigh));
  render();
  return {
    element: root,
    /** @param {Texts} next */
    show: (next) => {
      const same = Object.keys(next).every((k) => next[/** @type {keyof Texts} */ (k)] === state.texts[/** @type {keyof Texts} */ (k)]);
      if (same || state.holding) return;
      state.texts = next;
      render();
    },
  };
}

/** The word that had the focus keeps it. @param {HTMLElement} root @param {HTMLElement[]} content */
function showIn(root, content) {
  const weighers = () => /** @type {HTMLElement[]} */ ([...root.querySelectorAll(".ad-weigher")]);
  const at = weighers().indexOf(/** @type {HTMLElement} */ (document.activeElement));
  root.replaceChildren(...content);
  if (at >= 0) weighers()[at]?.focus({ preventScroll: true });
}

/** @typedef {import("./weigher.js").Weigh} Weigh */
/** @param {Texts} texts @param {Weigh} weigh */
function contentOf(texts, weigh) {
  const lines = texts.targets.split("\n").map((line) => line.trim()).filter(Boolean);
  const shown = lines.length ? lines : texts.source.trim() ? [texts.source] : [];
  const rows = texts.note ? [] : shown.slice(0, MOST_TARGETS).map((target) => rowOf(texts, target, weigh));
  const words = texts.note || (rows.length ? "" : t("Type a source above and an edited line in targets; their words are compared here."));
  return [...rows, ...(words ? [make("div", { className: "ad-notice" }, words)] : [])];
}

/** @param {Texts} texts @param {string} target @param {Weigh} weigh */
function rowOf(texts, target, weigh) {
  const tokens = tokenise(target);
  return make("div", { className: "ad-target" }, ...align(texts.source, target).map((column) => {
    const [above, below] = [spelt(texts.source, column.source), spelt(target, column.target)];
    const word = column.target && phraseOf(target, tokens, column.target.first, column.target.last);
    const control = word ? createWeigher(below, word, weightOf(texts.reweight, word), weigh) : make("span", { className: "ad-below" }, below);
    return make("span", { className: `ad-column ad-${column.kind}` }, make("span", { className: "ad-above" }, above), control);
  }));
}

/** A word's own letters, or a blank as high as a word. @param {string} text @param {import("./align.js").Unit | null} unit */
const spelt = (text, unit) => (unit ? text.slice(unit.start, unit.end) : "\u00a0");
