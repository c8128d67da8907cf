// The row of tools above the canvas.
import { button, make, press } from "../shared/dom.js";
import { RESULT } from "./backdrop.js";
import { icon } from "../shared/icons.js";
import { createMenu } from "../shared/menu.js";
import { said, t } from "../shared/texts.js";

/** @typedef {import("./gestures.js").Tool} Tool */
/**
 * @typedef {object} ToolbarEvents
 * @property {(tool: Tool) => void} tool
 * @property {(width: number) => void} width
 * @property {() => void} snap
 * @property {(command: "undo" | "redo" | "clear" | "paste") => void} command
 * @property {(choice: string) => void} background
 * @property {() => void} eye
 * @property {() => void} power
 * @property {() => void} large
 * @property {(file: File) => void} upload
 * @property {() => [string, string][]} pictures values and labels of the graph's pictures
 * @property {(from: string | File[]) => void} masks make regions of the masks of a node, or of files
 */

/** @type {[Tool, string][]} */
const TOOLS = [
  ["select", said("Select and move (V)")],
  ["box", said("Box (B). Shift adds to the selected region, Alt cuts from it")],
  ["lasso", said("Lasso (L): a free outline. Shift adds, Alt cuts")],
  ["brush", said("Brush (P): adds to the selected region where it touches it, else begins a new one. Shift always adds")],
  ["erase", said("Eraser (E): erases from the selected region")],
];
const UPLOAD = "upload";

/** @param {ToolbarEvents} on */
export function createToolbar(on) {
  const tools = TOOLS.map(([tool, says]) => /** @type {const} */ ([tool, button(icon(tool), t(says), () => on.tool(tool))]));
  const width = make("input", {
    type: "range", min: "0.005", max: "0.3", step: "0.005", className: "ad-slider ad-short",
    title: t("Width of brush and eraser"), "aria-label": t("Width of brush and eraser"),
    input: () => on.width(Number(width.value)),
    keydown: (/** @type {Event} */ event) => event.stopPropagation(),
  });
  const snap = button(icon("snap"), t("Snap to the latent grid of 8 pixels (G)"), () => on.snap());
  const background = createBackground(on);
  const power = createPower(on.power);
  const large = button(icon("larger"), t("Large window"), () => on.large());
  const spring = () => make("span", { className: "ad-spring" });
  // Two rows at any time: a row that came with the brush would move the canvas under the hand.
  const rows = [[...tools.map(([, face]) => face), width, spring(), ...editButtons(on), large],
    [power.element, snap, ...maskMenu(on), spring(), ...background.elements]];
  const element = make("div", { className: "ad-toolbar ad-rows", role: "toolbar", "aria-label": t("Drawing tools") },
    ...rows.map((row) => make("div", { className: "ad-tools" }, ...row)));
  return {
    element,
    /** @param {import("./state.js").State} state */
    show: (state) => {
      for (const [name, face] of tools) press(face, name === state.tool);
      press(snap, state.snaps);
      press(large, state.large);
      width.hidden = state.tool !== "brush" && state.tool !== "erase";
      width.value = String(state.brushWidth);
      background.show(state.picture, state.veiled);
      power.show(state.power);
    },
  };
}

/** @param {ToolbarEvents} on */
function editButtons(on) {
  return [
    button(icon("undo"), t("Undo (Ctrl+Z)"), () => on.command("undo")), button(icon("redo"), t("Redo (Ctrl+Y)"), () => on.command("redo")),
    button(icon("paste"), t("Paste a copied region (Ctrl+V)"), () => on.command("paste")),
    button(icon("clear"), t("Remove all regions"), () => on.command("clear")),
  ];
}

/** The switch of all regions. @param {() => void} act */
function createPower(act) {
  const element = button(icon("power"), t("Regions on or off. Off is strength 0: the picture is as without this node, and the wires stay"), act);
  const word = make("span", {});
  element.append(word);
  return {
    element,
    /** @param {boolean | null} power */
    show: (power) => {
      press(element, power !== false);
      /** @type {HTMLButtonElement} */ (element).disabled = power === null;
      word.textContent = power === false ? t("off") : t("on");
    },
  };
}

/** @param {ToolbarEvents} on */
function maskMenu(on) {
  const picker = filePicker(true, on.masks);
  const menu = createMenu(icon("mask"), t("Regions from masks: the white of pictures becomes outlines"),
    () => [...on.pictures(), [UPLOAD, t("from files…")]], (choice) => (choice === UPLOAD ? picker.click() : on.masks(choice)));
  return [menu, picker];
}

/** The choice of a picture behind the regions. @param {ToolbarEvents} on */
function createBackground(on) {
  const picker = filePicker(false, ([file]) => on.upload(file));
  const field = make("select", {
    className: "ad-select", title: t("A picture behind the regions; it does not change the result"), "aria-label": t("Background picture"),
    keydown: (/** @type {Event} */ event) => event.stopPropagation(),
    pointerdown: () => list(), focus: () => list(),
    change: () => {
      const choice = field.value;
      field.value = chosen;
      if (choice === UPLOAD) picker.click();
      else on.background(choice);
    },
  });
  let chosen = "";
  const list = () => {
    const entries = [[RESULT, t("last result")], ...on.pictures(), [UPLOAD, t("from a file…")]];
    field.replaceChildren(...entries.map(([value, label]) => make("option", { value }, label)));
    field.value = chosen;
    if (field.selectedIndex < 0) field.value = RESULT;
  };
  const eye = button(icon("eye"), t("Show the picture behind the regions"), () => on.eye());
  return {
    elements: [eye, field, picker],
    /** @param {string} picture @param {boolean} veiled */
    show: (picture, veiled) => {
      press(eye, !veiled);
      if (chosen === picture && field.options.length) return;
      chosen = picture;
      list();
    },
  };
}

/** A hidden chooser of picture files. @param {boolean} multiple @param {(files: File[]) => void} chosen */
function filePicker(multiple, chosen) {
  const input = make("input", { type: "file", accept: "image/*", hidden: true, multiple });
  input.addEventListener("change", () => {
    const files = [...input.files ?? []];
    input.value = "";
    if (files.length) chosen(files);
  });
  return input;
}
