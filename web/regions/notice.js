// The line under the regions: what is wrong, or what to do next.
import { make } from "../shared/dom.js";
import { MAX_STRENGTH } from "./drawing.js";
import { isMissed } from "./landing.js";
import { said, t } from "../shared/texts.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/**
 * @typedef {object} State
 * @property {Drawing} drawing
 * @property {number} selected
 * @property {number} wired so many regions come by wire
 * @property {boolean[]} stale
 * @property {string} problem the saved text cannot be read
 * @property {string} said an answer to the last key
 * @property {boolean} alarmed that answer says what went wrong
 * @property {string} waiting words without a region yet
 * @property {boolean} uncertain the selected region's words stand in {a|b}
 * @property {number} lost index of the region to speak of among those whose words the prompt lacks, or -1
 * @property {boolean} partly its words stand in the prompt as a part of others
 * @property {boolean} editable the prompt can take words
 * @property {string} instead words that it may take, "" for none
 * @property {(number | null)[]} scores how much of the attention to each region's words was there
 * @property {string} turned the shape drawn for and the picture's, "" where they are one
 */

export const EMPTY_HINT = said("Drag a box, then select its words below.");

/** offers: other words may be taken instead. again: more strength may help.
 * @typedef {{ text: string, warns: boolean, offers?: boolean, again?: boolean }} Sentence */

/** @param {State} s @returns {Sentence} */
export function sentence(s) {
  const { lost } = s;
  if (s.problem) return { text: t("{problem} Draw again to replace it.", { problem: s.problem }), warns: true };
  if (s.turned) return { text: t("Drawn at {sizes}.", { sizes: s.turned }), warns: true };
  if (s.said) return { text: s.said, warns: s.alarmed || lost >= 0 };
  if (lost >= 0) {
    const { number, phrase } = s.drawing.regions[lost];
    const what = s.partly ? t('Region {number}: "{phrase}" is only part of a word in the prompt.', { number, phrase })
      : t('Region {number}: "{phrase}" is not in the prompt.', { number, phrase });
    return { text: `${what} ${s.editable ? t("Enter inserts it.") : t("Select its words.")}`, warns: true, offers: !!s.instead };
  }
  const missed = s.scores.findIndex(isMissed);
  if (missed >= 0) return ofMissed(s.drawing.regions[missed], Number(s.scores[missed]));
  if (s.waiting) return { text: t('Drag a box for "{words}".', { words: s.waiting }), warns: false };
  const own = s.drawing.regions[s.selected];
  if (own && !own.phrase) return { text: t("Select this region's words in the prompt above."), warns: false };
  if (s.uncertain) return { text: t("These words are in {a|b} and may not be chosen."), warns: true };
  if (own) return { text: t("Drag its label to move it, its corners to resize it."), warns: false };
  if (s.drawing.regions.length) return { text: t("Click a region or its words."), warns: false };
  return { text: s.wired ? t("The regions come by wire: {count}. Drag a box to add one in front of them.", { count: s.wired }) : t(EMPTY_HINT), warns: false };
}

/** @param {import("./drawing.js").Region} region @param {number} score @returns {Sentence} */
function ofMissed({ number, strength }, score) {
  const what = t("Region {number} did not land: {share} of its attention is there.", { number, share: `${Math.round(100 * score)}%` });
  const again = strength < MAX_STRENGTH;
  return { text: again ? what : `${what} ${t("Try another seed, or a larger box.")}`, warns: true, again };
}

/** @typedef {{ keep: () => void, stretch: () => void, again: () => void, use: (index: number, phrase: string) => void }} NoticeEvents keep,
 * stretch: what to do with regions drawn for another shape; again: run with more strength where things did not land; use:
 * bind a region to these words */
/** @param {NoticeEvents} on */
export function createNotice(on) {
  const text = make("span", { role: "status" });
  const choices = make("span", { hidden: true }, link(t("Keep proportions"), on.keep), link(t("Stretch"), on.stretch));
  let [lost, words] = [-1, ""];
  const use = link("", () => on.use(lost, words));
  const again = link(t("Try again, stronger"), on.again);
  const element = make("div", { className: "ad-notice" }, text, use, again, choices);
  return {
    element,
    /** @param {State} state */
    show: (state) => {
      const said = sentence(state);
      [lost, words] = [state.lost, state.instead];
      if (text.textContent !== said.text) text.textContent = said.text;
      text.title = said.text;
      element.classList.toggle("ad-warn", said.warns);
      use.hidden = !said.offers;
      again.hidden = !said.again;
      use.textContent = t('Use "{words}"', { words });
      choices.hidden = !state.turned || !!state.problem;
    },
  };
}

/** @param {string} words @param {() => void} click */
const link = (words, click) => make("button", { type: "button", className: "ad-link", click }, words);
