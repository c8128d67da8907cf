// The Sketch node's pad in the graph editor: ties sketch/view.js to its node.
import { app } from "../../scripts/app.js";
import { addStyle } from "./shared/dom.js";
import { attachEditor } from "./shared/editor.js";
import { hideOutputImages, passToGraph, recordStep, setWidget, sourceOf, travel, widgetOf } from "./shared/host.js";
import { load, pictureOf } from "./shared/pictures.js";
import { createView } from "./sketch/view.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */

const TYPE = "ATTN_DIR_SKETCH_PAD";
const NODE = "AttnDirSketch";
const MARGIN = 6;
const MIN_HEIGHT = 300;
const MIN_WIDTH = 320;

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

/** @param {GraphNode} node @param {ReturnType<typeof createView>} view */
function attach(node, view) {
  let shown = "";
  const showBackground = async () => {
    const source = sourceOf(node, "background");
    const address = source ? pictureOf(app, source) : "";
    if (address === shown) return;
    shown = address;
    view.setBackground(await load(address));
  };
  attachEditor(app, node, view, {
    kind: TYPE,
    minWidth: MIN_WIDTH,
    widgets: ["width", "height", "line_width"],
    read: () => {
      view.setSize(Number(widgetOf(node, "width")?.value), Number(widgetOf(node, "height")?.value));
      view.setPen(Number(widgetOf(node, "line_width")?.value));
      showBackground();
    },
    picture: showBackground,
  });
}

app.registerExtension({
  name: "AttentionDirector.SketchPad",
  getCustomWidgets: () => ({ [TYPE]: sketchPad }),
  beforeRegisterNodeDef: (_, data) => {
    const strokes = data.name === NODE ? data.input?.required?.strokes : undefined;
    if (strokes) strokes[1] = { ...strokes[1], widgetType: TYPE, socketless: true };
  },
  setup: () => addStyle(new URL("./editor.css", import.meta.url).href),
});
