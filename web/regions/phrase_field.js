// The phrase of a region as a text field, with a list of words from the prompt that go on from what is typed.
import { make } from "../shared/dom.js";
import { t } from "../shared/texts.js";

/** enter: a phrase was confirmed, as against left. @typedef {{ phrase: (phrase: string) => void, enter: (phrase: string) => void, suggest: (typed: string) => string[], leave: () => void }} PhraseEvents */
/**
 * @typedef {object} Parts
 * @property {HTMLInputElement} field
 * @property {HTMLElement} list
 * @property {string[]} offers what the list holds
 * @property {number} active which of them is under the keys, or -1
 * @property {string} sent the region's phrase
 */

/** @param {KeyboardEvent} event */
export function inner(event) {
  // The graph's own keys (Delete above all) must not act while someone types here.
  if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
}

/** @param {PhraseEvents} on */
export function createPhraseField(on) {
  const field = make("input", {
    type: "text", className: "ad-phrase", maxLength: 500, spellcheck: false, placeholder: t("select words, or type them"), dir: "auto",
    "aria-label": t("Phrase of this region"), autocomplete: "off", role: "combobox", "aria-expanded": "false",
    input: () => offer(parts, on), focus: () => offer(parts, on), blur: () => send(parts, on),
    keydown: (/** @type {KeyboardEvent} */ event) => {
      inner(event);
      if (!event.isComposing && pressed(parts, on, event.key)) event.preventDefault();
    },
  });
  const list = make("div", { className: "ad-suggestions", role: "listbox", hidden: true });
  /** @type {Parts} */
  const parts = { field, list, offers: [], active: -1, sent: "" };
  return {
    element: make("div", { className: "ad-combo" }, field, list),
    field,
    /** @param {{ phrase: string } | undefined} region @param {boolean} missing */
    show: (region, missing) => {
      parts.sent = region?.phrase ?? "";
      if (document.activeElement !== field || !region) field.value = parts.sent;
      field.classList.toggle("ad-stale", missing);
      field.setAttribute("aria-invalid", String(missing));
    },
  };
}

/** @param {Parts} parts */
function close(parts) {
  parts.list.hidden = true;
  parts.active = -1;
  parts.field.setAttribute("aria-expanded", "false");
}

/** @param {Parts} parts @param {PhraseEvents} on @param {string} text */
function send(parts, on, text = parts.field.value) {
  parts.field.value = text;
  close(parts);
  if (text.trim() !== parts.sent) on.phrase(text.trim());
}

/** @param {Parts} parts @param {PhraseEvents} on @param {string} text */
function confirm(parts, on, text = parts.field.value) {
  parts.field.value = text;
  close(parts);
  on.enter(text.trim());
}

/** @param {Parts} parts @param {PhraseEvents} on */
function offer(parts, on) {
  parts.offers = on.suggest(parts.field.value);
  parts.active = -1;
  parts.list.replaceChildren(...parts.offers.map((text) => make("div", {
    className: "ad-suggestion", role: "option",
    pointerdown: (/** @type {Event} */ event) => {
      event.preventDefault();
      event.stopPropagation();
      send(parts, on, text);
    },
  }, text)));
  parts.list.hidden = !parts.offers.length;
  parts.field.setAttribute("aria-expanded", String(!parts.list.hidden));
}

/** @param {Parts} parts @param {PhraseEvents} on @param {number} step */
function walk(parts, on, step) {
  if (parts.list.hidden) offer(parts, on);
  const count = parts.offers.length;
  if (!count) return;
  parts.active = (parts.active + step + count) % count;
  [...parts.list.children].forEach((child, i) => child.classList.toggle("ad-active", i === parts.active));
}

/** Whether the field makes something of a key of its own. @param {Parts} parts @param {PhraseEvents} on @param {string} key */
function pressed(parts, on, key) {
  if (key === "ArrowDown") walk(parts, on, 1);
  else if (key === "ArrowUp") walk(parts, on, -1);
  else if (key === "Enter") confirm(parts, on, parts.offers[parts.active]);
  else if (key === "Escape") {
    parts.field.value = parts.sent;
    close(parts);
    on.leave();
  } else return false;
  return true;
}
