// The selected region: its phrase with suggestions, its strength, its place in the order.
import { css } from "../shared/colours.js";
import { button, make } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { MAX_STRENGTH } from "./drawing.js";

/** @typedef {import("./drawing.js").Region} Region */
/**
 * @typedef {object} InspectorEvents
 * @property {(phrase: string) => void} phrase
 * @property {(strength: number) => void} strength
 * @property {(command: "forward" | "backward" | "duplicate" | "delete") => void} command
 * @property {(phrase: string) => void} insert
 * @property {(typed: string) => string[]} suggest
 * @property {() => void} leave
 */

const inner = (/** @type {KeyboardEvent} */ event) => {
  // The graph's own keys (Delete above all) must not act while someone types here.
  if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
};

/** @param {InspectorEvents} on */
export function createInspector(on) {
  const chip = make("span", { className: "ad-chip" });
  const phrase = make("input", {
    type: "text", className: "ad-phrase", maxLength: 500, spellcheck: false, placeholder: "select words, or type them",
    "aria-label": "Phrase of this region", autocomplete: "off", role: "combobox", "aria-expanded": "false",
  });
  const list = make("div", { className: "ad-suggestions", role: "listbox", hidden: true });
  const insert = button("Insert into prompt", "Put these words at the end of the prompt", () => on.insert(phrase.value));
  const slider = make("input", {
    type: "range", min: "0", max: String(MAX_STRENGTH), step: "0.05", className: "ad-slider",
    "aria-label": "Strength of this region", title: "Strength of this region; 1 is normal, 0 switches it off",
  });
  const number = make("input", {
    type: "number", min: "0", max: String(MAX_STRENGTH), step: "0.05", className: "ad-number",
    "aria-label": "Strength of this region", title: "Strength of this region",
  });
  const order = [
    button(icon("forward"), "To the front ( ] )", () => on.command("forward")),
    button(icon("backward"), "To the back ( [ )", () => on.command("backward")),
    button(icon("duplicate"), "Duplicate (Ctrl+D)", () => on.command("duplicate")),
    button(icon("delete"), "Delete this region (Delete)", () => on.command("delete")),
  ];
  const element = make("div", { className: "ad-inspector" },
    make("div", { className: "ad-row" }, chip, make("div", { className: "ad-combo" }, phrase, list), insert),
    make("div", { className: "ad-row" }, make("span", { className: "ad-faint" }, "strength"), slider, number,
      make("span", { className: "ad-spring" }), ...order));

  /** @type {string[]} */
  let offers = [];
  let active = -1;
  let sent = "";
  const close = () => {
    list.hidden = true;
    active = -1;
    phrase.setAttribute("aria-expanded", "false");
  };
  const send = () => {
    close();
    if (phrase.value.trim() !== sent) on.phrase(phrase.value.trim());
  };
  /** @param {string} text */
  const take = (text) => {
    phrase.value = text;
    send();
  };
  const offer = () => {
    offers = on.suggest(phrase.value);
    active = -1;
    list.replaceChildren(...offers.map((text) => make("div", {
      className: "ad-suggestion", role: "option",
      pointerdown: (/** @type {Event} */ event) => {
        event.preventDefault();
        event.stopPropagation();
        take(text);
      },
    }, text)));
    list.hidden = !offers.length;
    phrase.setAttribute("aria-expanded", String(!list.hidden));
  };
  /** @param {number} step */
  const walk = (step) => {
    if (list.hidden) offer();
    if (!offers.length) return;
    active = (active + step + offers.length) % offers.length;
    [...list.children].forEach((child, i) => child.classList.toggle("ad-active", i === active));
  };
  phrase.addEventListener("input", offer);
  phrase.addEventListener("focus", offer);
  phrase.addEventListener("blur", send);
  phrase.addEventListener("keydown", (event) => {
    inner(event);
    if (event.isComposing) return;
    if (event.key === "ArrowDown") walk(1);
    else if (event.key === "ArrowUp") walk(-1);
    else if (event.key === "Enter") take(offers[active] ?? phrase.value);
    else if (event.key === "Escape") {
      phrase.value = sent;
      close();
      on.leave();
    } else return;
    event.preventDefault();
  });
  slider.addEventListener("input", () => { number.value = slider.value; });
  slider.addEventListener("change", () => on.strength(Number(slider.value)));
  number.addEventListener("change", () => on.strength(number.value === "" ? 1 : Number(number.value)));
  for (const field of [slider, number]) field.addEventListener("keydown", inner);

  return {
    element,
    focus: () => phrase.focus({ preventScroll: true }),
    /** @param {Region | undefined} region @param {number} index @param {boolean} missing its words are not in the prompt @param {boolean} editable the prompt can take words */
    show: (region, index, missing, editable) => {
      element.classList.toggle("ad-off", !region);
      for (const field of [phrase, slider, number, ...order]) field.disabled = !region;
      sent = region?.phrase ?? "";
      if (document.activeElement !== phrase || !region) phrase.value = sent;
      phrase.classList.toggle("ad-stale", missing);
      phrase.setAttribute("aria-invalid", String(missing));
      chip.style.background = region ? css(index) : "transparent";
      chip.textContent = region ? String(index + 1) : "";
      insert.hidden = !(region && missing && editable);
      if (document.activeElement !== number) number.value = String(region?.strength ?? 1);
      slider.value = String(region?.strength ?? 1);
    },
  };
}
