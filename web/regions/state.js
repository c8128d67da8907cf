// What the canvas of regions holds, and what each event makes of it. A state in, a state out; no DOM.
import { find, phraseOf, splitOccurrence, tokeniseRows } from "../shared/words.js";
import { nearest } from "../shared/nearest.js";
import { EMPTY, MAX_CHARACTERS, numbered, parse, serialise } from "./drawing.js";
import { bound } from "./edits.js";
import { followed } from "./following.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {import("../shared/prompts.js").Prompt} Prompt */
/** @typedef {import("../shared/words.js").Span} Span */
/**
 * @typedef {object} State
 * @property {Drawing} drawing
 * @property {Drawing | null} draft the drawing during a drag
 * @property {string} value the drawing as the node saves it
 * @property {number} edits finished here
 * @property {string} problem the saved text cannot be read
 * @property {string} said an answer to the last command
 * @property {boolean} alarmed that answer says what went wrong
 * @property {Prompt} prompt
 * @property {string} text its rows, a line each
 * @property {import("../shared/words.js").Token[]} tokens of that text
 * @property {import("./following.js").Following | null} following an edit of that text that may still go on
 * @property {[number, number]} size of the picture
 * @property {[number, number]} declared the size that the node says, for which drawings without a size were made
 * @property {import("./gestures.js").Tool} tool
 * @property {number} selected index of a region, or -1
 * @property {boolean} snaps
 * @property {number} brushWidth a share of the width
 * @property {import("./drawing.js").Region[]} wired regions that come by wire
 * @property {string} waiting words without a region yet
 * @property {string} picture the chosen background
 * @property {boolean} veiled it is hidden
 * @property {boolean | null} power the regions act; null where a wire decides
 * @property {boolean} large the editor is in a window of its own
 * @property {import("./landing.js").Landing | null} landing what the last run was measured to have done
 */

/** @type {State} */
export const FIRST = {
  drawing: EMPTY, draft: null, value: "", edits: 0, problem: "", said: "", alarmed: false,
  prompt: { rows: [], editable: true, note: "", from: "" }, text: "", tokens: [], following: null, size: [1024, 1024], declared: [1024, 1024],
  tool: "box", selected: -1, snaps: true, brushWidth: 0.08, wired: [], waiting: "", picture: "", veiled: false, power: true, large: false, landing: null,
};

/** The drawing on the page. @param {State} state */
export const shownDrawing = (state) => state.draft ?? state.drawing;

/** The selected region of the drawing, if any. @param {State} state */
export const selectedRegion = ({ drawing, selected }) => drawing.regions[selected];

/** Width by height. @param {State} state */
export const aspectOf = ({ size }) => size[0] / size[1];

/** Where each region's phrase stands in the prompt. @param {State} state @returns {Span[][]} */
export const spansOf = (state) => shownDrawing(state).regions.map((region) => find(state.tokens, region.phrase));

/** The number of the first wired region: those that are drawn come before. @param {Drawing} drawing */
export const firstWired = ({ regions }) => 1 + Math.max(0, ...regions.map(({ number }) => number));

/** Which regions have a phrase that the prompt lacks. @param {State} state @param {Span[][]} spans */
export function staleOf(state, spans) {
  return shownDrawing(state).regions.map(({ phrase }, i) => !!phrase && !spans[i].length && !state.prompt.note);
}

/** Words of the prompt that a region without its own may take: like them, and no other region's; "" for none.
 * @param {State} state @param {Span[][]} spans @param {number} index */
export function replacement(state, spans, index) {
  const taken = spans.flat();
  const free = (/** @type {number} */ first, /** @type {number} */ last) => !taken.some((span) => span.first <= last && span.last >= first);
  return nearest(state.text, state.tokens, shownDrawing(state).regions[index].phrase, free);
}

/** The size that the drawing was made for. @param {State} state */
export const drawnSize = ({ drawing, declared }) => drawing.size ?? declared;

/** Was the drawing made for a picture of another shape? @param {State} state */
export function isTurned(state) {
  const [width, height] = drawnSize(state);
  return !!state.drawing.regions.length && Math.abs(width / height / aspectOf(state) - 1) > 0.01;
}

/** Both sizes where they differ in shape, "" where they do not. @param {State} state */
export const turnedSizes = (state) => (isTurned(state)
  ? t("{drawn}, but the picture is {size}", { drawn: drawnSize(state).join(" x "), size: state.size.join(" x ") }) : "");

/** With a sentence for the person. @param {State} state @param {string} said @param {boolean} alarmed @returns {State} */
export const told = (state, said, alarmed = false) => ({ ...state, said, alarmed });

/** After an edit. @param {State} state @param {Drawing} drawing @param {number} select @returns {State} */
export function committed(state, drawing, select = state.selected) {
  /** @type {State} */
  const next = { ...state, draft: null, selected: Math.min(select, drawing.regions.length - 1) };
  if (drawing === state.drawing) return next;
  const size = drawing.size !== state.drawing.size ? drawing.size : isTurned(state) ? drawnSize(state) : state.size;
  const done = { size, regions: numbered(drawing.regions) };
  const value = serialise(done);
  if (value.length > MAX_CHARACTERS) return told(next, t("The drawing is full: remove something first."));
  return { ...next, drawing: done, value, problem: "", edits: state.edits + 1 };
}

/** With the selected region bound to other words. @param {State} state @param {string} phrase */
export const rebound = (state, phrase) => committed(state, bound(state.drawing, state.selected, phrase));

/**
 * After tokens of the prompt were picked: they become the selected region's words; without one, the region that has
 * them is selected, or they wait for the next region. @param {State} state @param {number} first @param {number} last
 */
export function picked(state, first, last) {
  const phrase = phraseOf(state.text, state.tokens, first, last);
  if (selectedRegion(state)) return rebound(state, phrase);
  const owner = spansOf(state).findIndex((found) => found.some((span) => span.first <= first && span.last >= last));
  return { ...state, selected: owner, waiting: owner < 0 ? phrase : "" };
}

/** Before these words go into the prompt: there they stand once. @param {State} state @param {string} phrase */
export function beforeInsert(state, phrase) {
  return selectedRegion(state)?.phrase === phrase ? state : rebound(state, splitOccurrence(phrase).words);
}

/** With the text that a node has saved. @param {State} state @param {unknown} saved @returns {State} */
export function withValue(state, saved) {
  const value = typeof saved === "string" ? saved : "";
  const { drawing, error } = parse(value);
  return { ...state, value, drawing, problem: error, draft: null, selected: Math.min(state.selected, drawing.regions.length - 1) };
}

/** With a prompt that another one gave way to. An edit of the same prompt takes the regions' phrases along; it is no edit
 * of the drawing's own, so that both are one step of undo with the typing. @param {State} state @param {Prompt} prompt @returns {State} */
export function withPrompt(state, prompt) {
  if (JSON.stringify(prompt) === JSON.stringify(state.prompt)) return state;
  const reading = { text: prompt.rows.join("\n"), tokens: tokeniseRows(prompt.rows) };
  /** @type {State} */
  const next = { ...state, prompt, ...reading, following: null };
  if (prompt.from !== state.prompt.from || prompt.note || state.prompt.note) return next;
  const { drawing, following } = followed(state, state.drawing.regions.map((region) => find(state.tokens, region.phrase)), reading);
  return { ...next, following, ...(drawing === state.drawing ? {} : { drawing, value: serialise(drawing) }) };
}

/** @param {State} state @param {[number, number]} size of the picture @param {[number, number]} declared @returns {State} */
export function withSize(state, size, declared = size) {
  const same = [...size, ...declared].join() === [...state.size, ...state.declared].join();
  return [...size, ...declared].every((side) => side > 0) && !same ? { ...state, size, declared } : state;
}
