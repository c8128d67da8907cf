// The selected region: its phrase with suggestions, its strength, its place in the order.
import { css } from "../shared/colours.js";
import { button, make, press } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { MAX_STRENGTH } from "./drawing.js";
import { createPhraseField, inner } from "./phrase_field.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./drawing.js").Region} Region */
/**
 * @typedef {object} InspectorEvents
 * @property {(phrase: string) => void} phrase
 * @property {(strength: number) => void} strength
 * @property {(command: "forward" | "backward" | "duplicate" | "delete" | "off" | "locked" | "hidden") => void} command
 * @property {(phrase: string) => void} insert
 * @property {(phrase: string) => void} enter
 * @property {(typed: string) => string[]} suggest
 * @property {() => void} leave
 */

/** @param {InspectorEvents} on */
export function createInspector(on) {
  const phrase = createPhraseField(on);
  const strength = createStrength(on.strength);
  const chip = make("span", { className: "ad-chip" });
  const insert = button(t("Insert into prompt"), t("Put these words at the end of the prompt (Enter)"), () => on.insert(phrase.field.value));
  const switches = switchButtons(on);
  const order = orderButtons(on);
  const element = make("div", { className: "ad-inspector" },
    make("div", { className: "ad-row" }, chip, phrase.element, insert, ...switches.map(([, face]) => face)),
    make("div", { className: "ad-row" }, make("span", { className: "ad-faint" }, t("strength")), ...strength.fields,
      make("span", { className: "ad-spring" }), ...order));
  return {
    element,
    focus: () => phrase.field.focus({ preventScroll: true }),
    /** @param {Region | undefined} region @param {boolean} missing its words are not in the prompt @param {boolean} editable the prompt can take words */
    show: (region, missing, editable) => {
      element.classList.toggle("ad-off", !region);
      const fields = [phrase.field, ...strength.fields, ...order, ...switches.map(([, face]) => face)];
      for (const field of fields) field.disabled = !region;
      phrase.show(region, missing);
      for (const [mark, face, down] of switches) press(face, !!region && region[mark] === down);
      strength.show(region?.strength ?? 1);
      chip.style.background = region ? css(region.number) : "transparent";
      chip.textContent = region ? String(region.number) : "";
      insert.hidden = !(region && missing && editable);
    },
  };
}

/** Each with its mark, and the value at which it is down. @param {InspectorEvents} on */
function switchButtons(on) {
  /** @type {["off" | "locked" | "hidden", string, string, boolean][]} */
  const all = [
    ["off", "power", t("This region on or off (O); off, it keeps its strength"), false],
    ["hidden", "eye", t("Show this region on the canvas (H); hidden, it acts all the same"), false],
    ["locked", "lock", t("Lock its shape (K)"), true],
  ];
  return all.map(([mark, face, says, down]) => /** @type {const} */ ([mark, button(icon(face), says, () => on.command(mark)), down]));
}

/** @param {InspectorEvents} on */
function orderButtons(on) {
  return [
    button(icon("forward"), t("To the front ( ] )"), () => on.command("forward")),
    button(icon("backward"), t("To the back ( [ )"), () => on.command("backward")),
    button(icon("duplicate"), t("Duplicate (Ctrl+D)"), () => on.command("duplicate")),
    button(icon("delete"), t("Delete this region (Delete)"), () => on.command("delete")),
  ];
}

/** A slider with its number. @param {(strength: number) => void} change */
function createStrength(change) {
  const range = { min: "0", max: String(MAX_STRENGTH), step: "0.05", "aria-label": t("Strength of this region"), keydown: inner };
  const slider = make("input", {
    ...range, type: "range", className: "ad-slider", title: t("Strength of this region; 1 is normal, 0 switches it off"),
    input: () => { number.value = slider.value; },
    change: () => change(Number(slider.value)),
  });
  const number = make("input", {
    ...range, type: "number", className: "ad-number", title: t("Strength of this region"),
    change: () => change(number.value === "" ? 1 : Number(number.value)),
  });
  return {
    fields: [slider, number],
    /** @param {number} strength */
    show: (strength) => {
      if (document.activeElement !== number) number.value = String(strength);
      slider.value = String(strength);
    },
  };
}
