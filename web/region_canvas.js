// Region Prompt's canvas in the graph editor: ties regions/view.js to its node.
import { app } from "../../scripts/app.js";
import { createView } from "./regions/view.js";
import { addStyle } from "./shared/dom.js";
import { attachEditor } from "./shared/editor.js";
import { hideOutputImages, outputOf, passToGraph, recordStep, setWidget, travel, widgetOf } from "./shared/host.js";
import { addressOf, choices, load, loadFile, nodeOf, picturesOf, pixelsOf, upload } from "./shared/pictures.js";
import { promptOf } from "./shared/prompts.js";
import { wiredBoxes } from "./regions/box_source.js";
import { MAX_REGIONS } from "./regions/drawing.js";
import { NONE, ofBoxes, parseWired } from "./regions/wired.js";
import { inserted } from "./shared/words.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */

const TYPE = "ATTN_DIR_REGION_CANVAS";
const CLIPBOARD = "AttentionDirector.Region";
const BACKGROUND = "attention_director_background";
const MARGIN = 6;
const MIN_HEIGHT = 500; // as in editor.css
const MIN_WIDTH = 400;
const WIRED = "attention_director_wired"; // as in nodes/region_prompt.py
const TRACED_PX = 512; // longer side of a mask that is traced

const clipboard = {
  get: () => localStorage.getItem(CLIPBOARD) ?? "",
  set: (/** @type {string} */ text) => localStorage.setItem(CLIPBOARD, text),
};

/** Pictures to read masks from, one after the other: they may be large. @param {GraphNode} node @param {string | File[]} from */
async function readPictures(node, from) {
  const source = typeof from === "string" ? nodeOf(node, from) : null;
  const title = `#${source?.id} ${source?.title || source?.type}`;
  const sources = typeof from === "string" ? source ? picturesOf(app, source) : [] : from;
  /** @type {import("./regions/importing.js").Picture[]} */
  const found = [];
  for (const one of sources.slice(0, MAX_REGIONS)) {
    const image = typeof one === "string" ? await load(one) : await loadFile(one);
    found.push({ name: typeof one === "string" ? title : one.name, pixels: pixelsOf(image, TRACED_PX) });
  }
  return found;
}

/** @param {GraphNode} node */
function createEditor(node) {
  const showBackground = async () => {
    const choice = String(node.properties?.[BACKGROUND] ?? "");
    view.setBackground(choice, await load(addressOf(app, node, choice)));
  };
  const choose = (/** @type {string} */ choice) => {
    node.properties ??= {};
    node.properties[BACKGROUND] = choice;
    recordStep(app);
    return showBackground();
  };
  const view = createView({
    change: () => recordStep(app),
    history: (which) => travel(app, which),
    insert: (phrase) => {
      const text = widgetOf(node, "text");
      if (!text) return;
      setWidget(node, "text", inserted(String(text.value ?? ""), phrase));
      recordStep(app);
    },
    background: choose,
    upload: async (file) => choose(await upload(app, file)),
    pictures: () => choices(app, node),
    masks: (from) => readPictures(node, from),
    unlink: () => node.disconnectInput(regionsSlot(node)),
    graph: (event) => passToGraph(app, event),
    clipboard,
  });
  return { view, showBackground };
}

/** @param {GraphNode} node @param {string} name */
function regionCanvas(node, name) {
  const { view, showBackground } = createEditor(node);
  const widget = node.addDOMWidget(name, TYPE, view.element, {
    getValue: view.getValue, setValue: view.setValue, getMinHeight: () => MIN_HEIGHT + 2 * MARGIN, margin: MARGIN,
    hideOnZoom: false, socketless: true,
  });
  attach(node, view, showBackground);
  return { widget, minWidth: MIN_WIDTH, minHeight: MIN_HEIGHT + 340 };
}

/** @param {GraphNode} node */
function regionsSlot(node) {
  return node.inputs?.findIndex((input) => input.name === "regions") ?? -1;
}

/** A reader of the wired regions: from their nodes where these can be read, else as the last run told them.
 * @param {GraphNode} node @param {ReturnType<typeof createView>} view */
function wiredReader(node, view) {
  let told = "";
  let shown = "";
  let was = false;
  let cut = false; // since the last run: what it told is of another wire
  return (/** @type {unknown} */ news) => {
    const linked = node.inputs?.[regionsSlot(node)]?.link != null;
    cut = news === undefined && (cut || (was && !linked));
    was = linked;
    if (news !== undefined) told = String(news);
    const run = cut ? "" : told || outputOf(app, node)?.[WIRED]?.[0] || "";
    const boxes = linked ? wiredBoxes(node) : null;
    const now = !linked ? "" : boxes ? JSON.stringify(boxes) : run;
    if (now === shown) return;
    shown = now;
    view.setWired(!linked ? NONE : boxes ? ofBoxes(boxes) : parseWired(run));
  };
}

/** @type {(node: GraphNode, view: ReturnType<typeof createView>, showBackground: () => void) => void} */
function attach(node, view, showBackground) {
  hideOutputImages(node); // the canvas shows what the picture would
  const readWired = wiredReader(node, view);
  const { onExecuted } = node;
  node.onExecuted = function (output, ...rest) {
    onExecuted?.call(this, output, ...rest);
    readWired(output?.[WIRED]?.[0] ?? "");
  };
  attachEditor(app, node, view, {
    kind: TYPE,
    minWidth: MIN_WIDTH,
    widgets: ["text", "width", "height"],
    read: () => {
      view.setPrompt(promptOf(node));
      view.setSize(Number(widgetOf(node, "width")?.value), Number(widgetOf(node, "height")?.value));
      readWired(undefined);
    },
    picture: showBackground,
  });
}

app.registerExtension({
  name: "AttentionDirector.RegionCanvas",
  getCustomWidgets: () => ({ [TYPE]: regionCanvas }),
  setup: () => addStyle(new URL("./editor.css", import.meta.url).href),
});
