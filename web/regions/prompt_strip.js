// The prompt's words under the canvas: bound ones wear their region's colour, and a click or a drag binds others.
import { css } from "../shared/colours.js";
import { make } from "../shared/dom.js";
import { units } from "../shared/words.js";

/** @typedef {import("../shared/words.js").Token} Token */
/** @typedef {import("../shared/words.js").Unit} Unit */
/** @typedef {import("../shared/words.js").Span} Span */
/**
 * @typedef {object} StripState
 * @property {string} text the prompt
 * @property {Token[]} tokens
 * @property {Span[][]} spans where each region's phrase stands
 * @property {number} selected
 * @property {string} empty what to say without words
 */

/** @param {{ pick: (first: number, last: number) => void, leave: () => void }} on pick: tokens first to last */
export function createPromptStrip(on) {
  const element = make("div", {
    className: "ad-words", tabIndex: 0, role: "listbox", "aria-label": "Words of the prompt",
    "aria-multiselectable": "true", title: "Click a word, or drag over several, to bind them to the selected region",
  });
  /** @type {Unit[]} */
  let words = [];
  /** @type {HTMLElement[]} */
  let marks = [];
  let anchor = -1;
  let reach = -1;
  let dragging = false;

  const showRange = () => {
    const [low, high] = [Math.min(anchor, reach), Math.max(anchor, reach)];
    marks.forEach((mark, i) => mark.classList.toggle("ad-picking", anchor >= 0 && i >= low && i <= high));
    if (marks[reach]) element.setAttribute("aria-activedescendant", marks[reach].id);
  };
  const finish = () => {
    const [low, high] = [Math.min(anchor, reach), Math.max(anchor, reach)];
    dragging = false;
    anchor = reach = -1;
    showRange();
    if (low >= 0 && words[high]) on.pick(words[low].first, words[high].last);
  };
  /** @param {MouseEvent} event */
  const under = (event) => {
    const found = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-word]");
    return found && element.contains(found) ? Number(found.getAttribute("data-word")) : -1;
  };

  element.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    const at = under(event);
    if (event.button !== 0 || at < 0) return;
    event.preventDefault();
    element.focus({ preventScroll: true });
    element.setPointerCapture?.(event.pointerId);
    dragging = true;
    anchor = reach = at;
    showRange();
  });
  element.addEventListener("pointermove", (event) => {
    if (!dragging) return;
    event.stopPropagation();
    const at = under(event);
    if (at >= 0 && at !== reach) {
      reach = at;
      showRange();
    }
  });
  element.addEventListener("pointerup", (event) => {
    if (!dragging) return;
    event.stopPropagation();
    finish();
  });
  element.addEventListener("pointercancel", () => {
    dragging = false;
    anchor = reach = -1;
    showRange();
  });
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && words.length) {
      reach = Math.min(words.length - 1, Math.max(0, reach < 0 ? 0 : reach + step));
      if (!event.shiftKey || anchor < 0) anchor = reach;
      marks[reach].scrollIntoView?.({ block: "nearest" });
      showRange();
    } else if ((event.key === "Enter" || event.key === " ") && anchor >= 0) {
      const keep = reach;
      finish();
      anchor = reach = keep;
      showRange();
    } else if (event.key === "Escape") {
      on.leave();
    } else {
      return;
    }
    event.preventDefault();
  });
  element.addEventListener("blur", () => {
    if (dragging) return;
    anchor = reach = -1;
    showRange();
  });

  /** @param {Unit} word @param {number} i @param {StripState} state */
  const mark = (word, i, state) => {
    const owners = state.spans.flatMap((found, r) => (found.some((span) => word.first <= span.last && word.last >= span.first) ? [r] : []));
    const owner = owners.includes(state.selected) ? state.selected : owners[0];
    const made = make("span", {
      className: "ad-word", role: "option", "data-word": i, id: `ad-word-${serial}-${i}`,
      "aria-selected": owners.includes(state.selected),
    }, state.text.slice(word.start, word.end));
    if (owner !== undefined) {
      made.classList.add("ad-bound");
      made.classList.toggle("ad-mine", owner === state.selected);
      made.style.setProperty("--ad-tint", css(owner));
      made.style.setProperty("--ad-wash", css(owner, 0.3));
    }
    return made;
  };

  const serial = ++made;
  return {
    element,
    /** @param {StripState} state */
    show: (state) => {
      if (dragging) return;
      words = units(state.tokens);
      marks = words.map((word, i) => mark(word, i, state));
      /** @type {(Node | string)[]} */
      const children = [];
      let at = 0;
      words.forEach((word, i) => {
        children.push(gap(state, at, word.start), marks[i]);
        at = word.end;
      });
      children.push(state.text.slice(at));
      element.replaceChildren(...(words.length ? children : [make("span", { className: "ad-faint" }, state.empty)]));
      showRange();
    },
  };
}

let made = 0;

/** What stands between two words; joined by a wash where one region holds both. @param {StripState} state @param {number} from @param {number} to */
function gap(state, from, to) {
  const text = state.text.slice(from, to);
  const joins = (/** @type {Span[] | undefined} */ found) => !!found?.some((span) => span.start < from && span.end > to);
  const owner = state.spans.findIndex(joins);
  if (owner < 0 || !text) return text;
  const index = joins(state.spans[state.selected]) ? state.selected : owner;
  const made = make("span", { className: "ad-bound ad-gap" }, text);
  made.classList.toggle("ad-mine", index === state.selected);
  made.style.setProperty("--ad-tint", css(index));
  made.style.setProperty("--ad-wash", css(index, 0.3));
  return made;
}
