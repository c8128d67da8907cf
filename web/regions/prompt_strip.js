// The prompt's words under the canvas: bound ones wear their region's colour, and a click or a drag binds others.
import { css } from "../shared/colours.js";
import { fading, make } from "../shared/dom.js";
import { units } from "../shared/words.js";
import { t } from "../shared/texts.js";

/** @typedef {import("../shared/words.js").Token} Token */
/** @typedef {import("../shared/words.js").Unit} Unit */
/** @typedef {import("../shared/words.js").Span} Span */
/**
 * @typedef {object} StripState
 * @property {string} text the prompt
 * @property {Token[]} tokens
 * @property {Span[][]} spans where each region's phrase stands
 * @property {number} selected
 * @property {number[]} numbers those of the regions
 * @property {number} drawn so many regions are drawn; the rest come by wire
 * @property {string} empty what to say without words
 */

/** @typedef {{ pick: (first: number, last: number) => void, leave: () => void }} StripEvents pick: tokens first to last */
/**
 * What is being picked: from the anchor to the reach, words by their numbers, -1 for none.
 * @typedef {{ words: Unit[], marks: HTMLElement[], anchor: number, reach: number, dragging: boolean }} Picking
 */

const STEPS = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 });
let serial = 0;

/** @param {StripEvents} on */
export function createPromptStrip(on) {
  const element = make("div", {
    className: "ad-words", tabIndex: 0, role: "listbox", dir: "auto", "aria-label": t("Words of the prompt"),
    "aria-multiselectable": "true", title: t("Click a word, or drag over several, to bind them to the selected region"),
  });
  /** @type {Picking} */
  const now = { words: [], marks: [], anchor: -1, reach: -1, dragging: false };
  followPointer(element, now, on);
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    if (pressed(element, now, on, event)) event.preventDefault();
  });
  element.addEventListener("blur", () => now.dragging || drop(element, now));
  const fade = fading(element);
  const prefix = `ad-word-${++serial}`;
  return {
    element,
    /** @param {StripState} state */
    show: (state) => {
      if (now.dragging) return;
      now.words = units(state.tokens);
      now.marks = now.words.map((word, i) => mark(word, i, state, prefix));
      element.replaceChildren(...(now.words.length ? written(state, now) : [make("span", { className: "ad-faint" }, state.empty)]));
      showRange(element, now);
      reveal(element, state.selected);
      fade();
    },
  };
}

/** The words of a region that was just selected come into view. @param {HTMLElement} element @param {number} selected */
function reveal(element, selected) {
  const before = element.dataset.selected;
  element.dataset.selected = String(selected);
  const first = before === String(selected) ? null : /** @type {HTMLElement | null} */ (element.querySelector(".ad-mine"));
  if (first) element.scrollTop = Math.max(0, first.offsetTop - element.offsetTop - 8);
}

/** @param {Picking} now */
const rangeOf = ({ anchor, reach }) => [Math.min(anchor, reach), Math.max(anchor, reach)];

/** @param {HTMLElement} element @param {Picking} now */
function showRange(element, now) {
  const [low, high] = rangeOf(now);
  now.marks.forEach((mark, i) => mark.classList.toggle("ad-picking", now.anchor >= 0 && i >= low && i <= high));
  if (now.marks[now.reach]) element.setAttribute("aria-activedescendant", now.marks[now.reach].id);
}

/** Forget what was being picked. @param {HTMLElement} element @param {Picking} now */
function drop(element, now) {
  Object.assign(now, { dragging: false, anchor: -1, reach: -1 });
  showRange(element, now);
}

/** @param {HTMLElement} element @param {Picking} now @param {StripEvents} on */
function finish(element, now, on) {
  const [low, high] = rangeOf(now);
  const { words } = now;
  drop(element, now);
  if (low >= 0 && words[high]) on.pick(words[low].first, words[high].last);
}

/** The number of the word under the pointer, or -1. @param {HTMLElement} element @param {MouseEvent} event */
function wordUnder(element, event) {
  const found = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-word]");
  return found && element.contains(found) ? Number(found.getAttribute("data-word")) : -1;
}

/** @param {HTMLElement} element @param {Picking} now @param {StripEvents} on */
function followPointer(element, now, on) {
  element.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    const at = wordUnder(element, event);
    if (event.button !== 0 || at < 0) return;
    event.preventDefault();
    element.focus({ preventScroll: true });
    element.setPointerCapture?.(event.pointerId);
    Object.assign(now, { dragging: true, anchor: at, reach: at });
    showRange(element, now);
  });
  element.addEventListener("pointermove", (event) => {
    if (!now.dragging) return;
    event.stopPropagation();
    const at = wordUnder(element, event);
    if (at >= 0) now.reach = at;
    showRange(element, now);
  });
  element.addEventListener("pointerup", (event) => {
    if (!now.dragging) return;
    event.stopPropagation();
    finish(element, now, on);
  });
  element.addEventListener("pointercancel", () => drop(element, now));
}

/** Whether the strip makes something of a key. @param {HTMLElement} element @param {Picking} now @param {StripEvents} on @param {KeyboardEvent} event */
function pressed(element, now, on, event) {
  const step = STEPS[event.key];
  if (step && now.words.length) walk(element, now, step, event.shiftKey);
  else if ((event.key === "Enter" || event.key === " ") && now.anchor >= 0) {
    const { reach } = now;
    finish(element, now, on);
    now.anchor = now.reach = reach; // the next word begins where this one was
    showRange(element, now);
  } else if (event.key === "Escape") on.leave();
  else return false;
  return true;
}

/** @param {HTMLElement} element @param {Picking} now @param {number} step @param {boolean} further the anchor stays */
function walk(element, now, step, further) {
  now.reach = Math.min(now.words.length - 1, Math.max(0, now.reach < 0 ? 0 : now.reach + step));
  if (!further || now.anchor < 0) now.anchor = now.reach;
  now.marks[now.reach].scrollIntoView?.({ block: "nearest" });
  showRange(element, now);
}

/** A word in its region's colour. @param {Unit} word @param {number} i @param {StripState} state @param {string} prefix of its id */
function mark(word, i, state, prefix) {
  const owners = state.spans.flatMap((found, r) => (found.some((span) => word.first <= span.last && word.last >= span.first) ? [r] : []));
  const owner = owners.includes(state.selected) ? state.selected : owners[0];
  const made = make("span", {
    className: "ad-word", role: "option", "data-word": i, id: `${prefix}-${i}`, "aria-selected": owners.includes(state.selected),
  }, state.text.slice(word.start, word.end));
  if (owner !== undefined) {
    made.classList.add("ad-bound");
    wear(made, owner, state);
  }
  return made;
}

/** @param {HTMLElement} element @param {number} owner index of a region @param {StripState} state */
function wear(element, owner, state) {
  element.classList.toggle("ad-mine", owner === state.selected);
  element.classList.toggle("ad-ghost", owner >= state.drawn);
  element.style.setProperty("--ad-tint", css(state.numbers[owner]));
  element.style.setProperty("--ad-wash", css(state.numbers[owner], 0.3));
}

/** The prompt with its words marked. @param {StripState} state @param {Picking} now */
function written(state, { words, marks }) {
  let at = 0;
  const children = words.flatMap((word, i) => {
    const before = gap(state, at, word.start);
    at = word.end;
    return [before, marks[i]];
  });
  return [...children, state.text.slice(at)];
}

/** What stands between two words; joined by a wash where one region holds both. @param {StripState} state @param {number} from @param {number} to */
function gap(state, from, to) {
  const text = state.text.slice(from, to);
  const joins = (/** @type {Span[] | undefined} */ found) => !!found?.some((span) => span.start < from && span.end > to);
  const owner = state.spans.findIndex(joins);
  if (owner < 0 || !text) return text;
  const made = make("span", { className: "ad-bound ad-gap" }, text);
  wear(made, joins(state.spans[state.selected]) ? state.selected : owner, state);
  return made;
}
