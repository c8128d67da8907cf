// Attention Readout's viewer in the graph editor: ties readout/view.js to its node and to what the server sends.
import { app } from "../../scripts/app.js";
import { contentOf } from "./readout/content.js";
import { KEY, parse } from "./readout/data.js";
import { createView } from "./readout/view.js";
import { addStyle } from "./shared/dom.js";
import { hideOutputImages, isTravelling, outputOf, passToGraph, watch, widgetOf } from "./shared/host.js";
import { attachLife } from "./shared/life.js";
import { said, t } from "./shared/texts.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */

const NODE = "AttnDirReadout";
const NAME = "attention_director_readout_view";
const MARGIN = 6;
const MIN_HEIGHT = 340;
const MIN_WIDTH = 300;
const EMPTY = said("Press Run to see what it attended to.");
const GONE = said("The maps of this run are no longer on the server; press Run again.");

/** Viewers by node, for what the server says of a run that failed. @type {Map<GraphNode, ReturnType<typeof createView>>} */
const viewers = new Map();

/** @param {GraphNode} node */
function addViewer(node) {
  hideOutputImages(node); // the viewer shows what the sheet would
  const view = createView({ graph: (event) => passToGraph(app, event) });
  const widget = node.addDOMWidget(NAME, "ATTN_DIR_READOUT_VIEW", view.element, {
    serialize: false, getMinHeight: () => MIN_HEIGHT + 2 * MARGIN, margin: MARGIN, hideOnZoom: false, socketless: true,
  });
  widget.serialize = false; // the one above keeps it out of the prompt, this one out of the workflow
  view.empty(t(EMPTY));
  viewers.set(node, view);
  const show = shower(view);
  const showKept = () => show(outputOf(app, node));
  const { onExecuted } = node;
  node.onExecuted = function (...args) {
    onExecuted?.apply(this, args);
    show(args[0], true);
  };
  queueMicrotask(() => watch(node, "show", () => view.setKind(String(widgetOf(node, "show")?.value))));
  view.element.addEventListener("pointerenter", () => outputOf(app, node) && showKept());
  attachLife(node, view, {
    kind: NAME,
    minWidth: MIN_WIDTH,
    travelling: () => isTravelling(app),
    configured: () => {
      showKept();
      setTimeout(showKept, 300); // another workflow's outputs come back after its nodes
    },
    removed: () => viewers.delete(node),
  });
}

/** A function that shows what a run left, once it is loaded; the same run again only when it is new. @param {ReturnType<typeof createView>} view */
function shower(view) {
  let shown = "";
  return async (/** @type {any} */ output, isNew = false) => {
    const data = parse(output?.[KEY]?.at?.(-1));
    const name = data?.atlas.filename ?? "";
    if (name === (isNew ? "" : shown)) return;
    shown = name;
    if (!data) return view.empty(t(EMPTY));
    const content = await contentOf(data, (file) => app.api.apiURL(`/view?${new URLSearchParams(file)}`));
    if (name !== shown) return;
    if (content) view.show(data, content);
    else view.empty(t(GONE), true);
  };
}

/** What went wrong in a run, in the node's own words. @param {{ node_id?: string | number, exception_message?: string }} detail */
function sayError({ node_id, exception_message }) {
  for (const [node, view] of viewers) {
    const own = String(node_id).split(":").at(-1) === String(node.id);
    if (own) view.empty(String(exception_message ?? "").replace(`${NODE}: `, "").trim() || t(EMPTY), true);
  }
}

app.registerExtension({
  name: "AttentionDirector.ReadoutViewer",
  nodeCreated: (node) => {
    if ((node.comfyClass ?? node.type) === NODE) addViewer(node);
  },
  setup: () => {
    addStyle(new URL("./editor.css", import.meta.url).href);
    app.api.addEventListener("execution_error", ({ detail }) => sayError(detail ?? {}));
  },
});
