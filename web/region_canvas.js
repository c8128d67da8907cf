// Region Prompt's canvas in the graph editor: ties regions/view.js to its node.
import { app } from "../../scripts/app.js";
import { createView } from "./regions/view.js";
import { addStyle } from "./shared/dom.js";
import { attachEditor } from "./shared/editor.js";
import { hideOutputImages, isLinked, outputOf, passToGraph, recordStep, setWidget, slotOf, travel, widgetOf } from "./shared/host.js";
import { choices, load, loadFile, nodeOf, picturesOf, pixelsOf } from "./shared/pictures.js";
import { promptOf } from "./shared/prompts.js";
import { createBackdrop } from "./regions/backdrop.js";
import { wiredBoxes } from "./regions/box_source.js";
import { MAX_REGIONS } from "./regions/drawing.js";
import { scoresIn } from "./regions/landing.js";
import { NONE, ofBoxes, parseWired } from "./regions/wired.js";
import { inserted } from "./shared/words.js";
import { behind, latentSize } from "./wiring/downstream.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */

const TYPE = "ATTN_DIR_REGION_CANVAS";
const CLIPBOARD = "AttentionDirector.Region";
const MARGIN = 6;
const MIN_HEIGHT = 500; // as in editor.css
const MIN_WIDTH = 400;
const STRENGTH = "attention_director_strength"; // what it was before it was switched off
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
  const backdrop = createBackdrop(app, node, (choice, image) => view.setBackground(choice, image));
  const view = createView({
    change: () => {
      takeSize(node);
      recordStep(app);
    },
    history: (which) => travel(app, which),
    insert: (phrase) => {
      const text = widgetOf(node, "text");
      if (text) setWidget(node, "text", inserted(String(text.value ?? ""), phrase));
    },
    run: () => app.queuePrompt?.(0, 1),
    type: (text) => setWidget(node, "text", text),
    background: backdrop.choose,
    eye: backdrop.toggle,
    power: () => switchPower(node),
    upload: backdrop.upload,
    pictures: () => choices(app, node),
    masks: (from) => readPictures(node, from),
    unlink: () => node.disconnectInput(slotOf(node, "regions")),
    graph: (event) => passToGraph(app, event),
    clipboard,
  });
  return { view, backdrop };
}

/** Off is strength 0: the wires stay, where bypassing the node would leave its sampler without a prompt. @param {GraphNode} node */
function switchPower(node) {
  const strength = Number(widgetOf(node, "strength")?.value);
  node.properties ??= {};
  if (strength > 0) node.properties[STRENGTH] = strength;
  setWidget(node, "strength", strength > 0 ? 0 : Number(node.properties[STRENGTH]) || 1);
  recordStep(app);
}

/** @param {GraphNode} node @param {string} name */
function regionCanvas(node, name) {
  const { view, backdrop } = createEditor(node);
  const widget = node.addDOMWidget(name, TYPE, view.element, {
    getValue: view.getValue, setValue: view.setValue, getMinHeight: () => MIN_HEIGHT + 2 * MARGIN, margin: MARGIN,
    hideOnZoom: false, socketless: true,
  });
  attach(node, view, backdrop);
  return { widget, minWidth: MIN_WIDTH, minHeight: MIN_HEIGHT + 340 };
}

/** @param {GraphNode} node @returns {[number, number]} */
function declaredSize(node) {
  return [Number(widgetOf(node, "width")?.value), Number(widgetOf(node, "height")?.value)];
}

/** What is drawn is drawn for the latent that the node leads to. @param {GraphNode} node */
function takeSize(node) {
  const size = latentSize(node);
  const declared = declaredSize(node);
  if (size) ["width", "height"].forEach((name, i) => size[i] !== declared[i] && setWidget(node, name, size[i]));
}

/** Hands on what a readout behind the node measured of a run; of the drawing as it was when the run began.
 * @param {GraphNode} node @param {ReturnType<typeof createView>} view */
function followLandings(node, view) {
  let value = "";
  const began = () => { value = view.getValue(); };
  const executed = (/** @type {CustomEvent} */ { detail }) => {
    const scores = scoresIn(detail?.output);
    const source = scores && behind(node).find((at) => String(at.id) === String(detail.display_node ?? detail.node));
    if (source) view.setLanding({ value, scores });
  };
  app.api.addEventListener("execution_start", began);
  app.api.addEventListener("executed", executed);
  return () => {
    app.api.removeEventListener("execution_start", began);
    app.api.removeEventListener("executed", executed);
  };
}

/** A reader of the wired regions: from their nodes where these can be read, else as the last run told them.
 * @param {GraphNode} node @param {ReturnType<typeof createView>} view */
function wiredReader(node, view) {
  let told = "";
  let shown = "";
  let was = false;
  let cut = false; // since the last run: what it told is of another wire
  return (/** @type {unknown} */ news) => {
    const linked = isLinked(node, "regions");
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

/** @type {(node: GraphNode, view: ReturnType<typeof createView>, backdrop: ReturnType<typeof createBackdrop>) => void} */
function attach(node, view, backdrop) {
  hideOutputImages(node); // the canvas shows what the picture would
  const readWired = wiredReader(node, view);
  const forget = [backdrop.follow(), followLandings(node, view)];
  const { onExecuted } = node;
  node.onExecuted = function (output, ...rest) {
    onExecuted?.call(this, output, ...rest);
    readWired(output?.[WIRED]?.[0] ?? "");
  };
  attachEditor(app, node, view, {
    kind: TYPE,
    minWidth: MIN_WIDTH,
    widgets: ["text", "width", "height", "strength"],
    read: () => {
      view.setPower(powerOf(node));
      view.setPrompt(promptOf(node));
      view.setSize(latentSize(node) ?? declaredSize(node), declaredSize(node));
      readWired(undefined);
    },
    picture: backdrop.refresh,
    removed: () => forget.forEach((stop) => stop()),
  });
}

/** null where a wire decides. @param {GraphNode} node */
function powerOf(node) {
  return isLinked(node, "strength") ? null : Number(widgetOf(node, "strength")?.value) > 0;
}

app.registerExtension({
  name: "AttentionDirector.RegionCanvas",
  getCustomWidgets: () => ({ [TYPE]: regionCanvas }),
  setup: () => addStyle(new URL("./editor.css", import.meta.url).href),
});
