// The Sketch node's pad in the graph editor: ties sketch/view.js to its node, if the pack has that node.
import { app } from "../../scripts/app.js";
import { addStyle } from "./shared/dom.js";
import { hideOutputImages, isTravelling, passToGraph, recordStep, setWidget, sourceOf, travel, watch, watchLinks, widgetOf } from "./shared/host.js";
import { attachLife } from "./shared/life.js";
import { load, pictureOf } from "./shared/pictures.js";
import { createView } from "./sketch/view.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */

const TYPE = "ATTN_DIR_SKETCH_PAD";
const NODE = "AttnDirSketch";
const MARGIN = 6;
const MIN_HEIGHT = 300;
const MIN_WIDTH = 320;

/** @type {import("./shared/life.js").Memory} */
const memory = new Map();
/** @type {import("./shared/life.js").Places} */
const places = new Map();

/** @param {GraphNode} node @param {string} name */
function sketchPad(node, name) {
  hideOutputImages(node); // the pad shows what the picture would
  const view = createView({
    change: () => recordStep(app),
    history: (which) => travel(app, which),
    width: (px) => setWidget(node, "line_width", px),
    graph: (event) => passToGraph(app, event),
  });
  const widget = node.addDOMWidget(name, TYPE, view.element, {
    getValue: view.getValue, setValue: view.setValue, getMinHeight: () => MIN_HEIGHT + 2 * MARGIN, margin: MARGIN,
    hideOnZoom: false, socketless: true,
  });
  attach(node, view);
  return { widget, minWidth: MIN_WIDTH, minHeight: MIN_HEIGHT + 140 };
}

/** Follow the node's other widgets, its background and its life. @param {GraphNode} node @param {ReturnType<typeof createView>} view */
function attach(node, view) {
  const readAll = () => {
    view.setSize(Number(widgetOf(node, "width")?.value), Number(widgetOf(node, "height")?.value));
    view.setPen(Number(widgetOf(node, "line_width")?.value));
  };
  let shown = "";
  const showBackground = async () => {
    const source = sourceOf(node, "background");
    const address = source ? pictureOf(app, source) : "";
    if (address === shown) return;
    shown = address;
    view.setBackground(await load(address));
  };
  queueMicrotask(() => {
    for (const name of ["width", "height", "line_width"]) watch(node, name, readAll);
    readAll();
  });
  watchLinks(node, showBackground);
  view.element.addEventListener("pointerenter", () => {
    readAll();
    showBackground();
  });
  const executed = () => setTimeout(showBackground, 200);
  app.api.addEventListener("executed", executed);
  attachLife(node, view, {
    memory,
    places,
    minWidth: MIN_WIDTH,
    travelling: () => isTravelling(app),
    configured: () => {
      readAll();
      setTimeout(showBackground, 300);
    },
    removed: () => app.api.removeEventListener("executed", executed),
  });
}

app.registerExtension({
  name: "AttentionDirector.SketchPad",
  getCustomWidgets: () => ({ [TYPE]: sketchPad }),
  beforeRegisterNodeDef: (_, data) => {
    const strokes = data.name === NODE ? data.input?.required?.strokes ?? data.input?.optional?.strokes : undefined;
    if (strokes) strokes[1] = { ...strokes[1], widgetType: TYPE, socketless: true };
  },
  setup: () => addStyle(new URL("./editor.css", import.meta.url).href),
});
