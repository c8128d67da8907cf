// Source and targets one above the other, word by word, with a small slider under each word of a target.
import { make } from "../shared/dom.js";
import { phraseOf, tokenise } from "../shared/words.js";
import { align } from "./align.js";
import { weightOf, withWeight } from "./reweight.js";

/** @typedef {{ source: string, targets: string, reweight: string, note: string }} Texts note: why the source is unknown, or "" */
/** @typedef {import("./align.js").Column} Column */

const MOST = 3;
const MOST_TARGETS = 16;
const STEP = 0.1;

/** @param {{ reweight: (text: string, done: boolean) => void }} on */
export function createView(on) {
  /** @type {Texts} */
  let texts = { source: "", targets: "", reweight: "", note: "" };
  let holding = false;
  const root = make("div", { className: "ad-pair", "data-attention-director": "pair", role: "group",
    "aria-label": "Source and targets, word by word" });
  root.addEventListener("pointerdown", (event) => event.button === 0 && event.stopPropagation());
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
  });

  /** @param {string} word @param {boolean} done @param {number} weight */
  const set = (word, weight, done) => {
    texts = { ...texts, reweight: withWeight(texts.reweight, word, weight) };
    on.reweight(texts.reweight, done);
  };
  /** @param {string} word */
  const slider = (word) => {
    const weight = weightOf(texts.reweight, word);
    const number = make("span", { className: "ad-weight" });
    const field = make("input", {
      type: "range", min: "0", max: String(Math.max(MOST, Math.ceil(weight))), step: String(STEP), className: "ad-mini",
      "aria-label": `Weight of ${word}`, title: `How strongly the picture listens to "${word}": 1 is normal, 0 removes it. Double click: 1`,
      input: () => {
        holding = true;
        set(word, Number(field.value), false);
        show(Number(field.value));
      },
      change: () => {
        holding = false;
        set(word, Number(field.value), true);
        render();
      },
      dblclick: () => {
        holding = false;
        set(word, 1, true);
        render();
      },
    });
    field.value = String(weight);
    const show = (/** @type {number} */ value) => {
      number.textContent = value === 1 ? "" : `×${value}`;
      box.classList.toggle("ad-weighted", value !== 1);
    };
    const box = make("span", { className: "ad-weigher" }, field, number);
    show(weight);
    return box;
  };
  /** @param {Column} column @param {string} target @param {ReturnType<typeof tokenise>} tokens */
  const columnOf = (column, target, tokens) => {
    const above = column.source ? texts.source.slice(column.source.start, column.source.end) : "";
    const below = column.target ? target.slice(column.target.start, column.target.end) : "";
    const made = make("span", { className: `ad-column ad-${column.kind}` },
      make("span", { className: "ad-above" }, above || "\u00a0"), make("span", { className: "ad-below" }, below || "\u00a0"));
    if (column.target) made.append(slider(phraseOf(target, tokens, column.target.first, column.target.last)));
    return made;
  };
  /** @param {string} target */
  const rowOf = (target) => {
    const tokens = tokenise(target);
    return make("div", { className: "ad-target" }, ...align(texts.source, target).map((c) => columnOf(c, target, tokens)));
  };
  const render = () => {
    const lines = texts.targets.split("\n").map((line) => line.trim()).filter(Boolean);
    const shown = lines.length ? lines : texts.source.trim() ? [texts.source] : [];
    const rows = texts.note ? [] : shown.slice(0, MOST_TARGETS).map(rowOf);
    const words = texts.note || (rows.length ? "" : "Type a source above and an edited line in targets; their words are compared here.");
    root.replaceChildren(...rows, ...(words ? [make("div", { className: "ad-notice" }, words)] : []));
  };
  render();

  return {
    element: root,
    /** @param {Texts} next */
    show: (next) => {
      const same = Object.keys(next).every((k) => next[/** @type {keyof Texts} */ (k)] === texts[/** @type {keyof Texts} */ (k)]);
      if (same || holding) return;
      texts = next;
      render();
    },
  };
}
