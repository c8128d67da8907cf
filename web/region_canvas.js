// Region Prompt's canvas in the graph editor: ties regions/view.js to its node.
import { app } from "../../scripts/app.js";
import { createView } from "./regions/view.js";
import { addStyle } from "./shared/dom.js";
import { isTravelling, passToGraph, promptOf, recordStep, setWidget, travel, watch, watchLinks, widgetOf } from "./shared/host.js";
import { attachLife } from "./shared/life.js";
import { addressOf, choices, load, upload } from "./shared/pictures.js";
import { inserted } from "./regions/words.js";

/** @typedef {import("../tests/web/host").GraphNode} GraphNode */

const TYPE = "ATTN_DIR_REGION_CANVAS";
const CLIPBOARD = "AttentionDirector.Region";
const BACKGROUND = "attention_director_background";
const MARGIN = 6;
const MIN_HEIGHT = 500; // as in editor.css
const MIN_WIDTH = 400;

/** @type {import("./shared/life.js").Memory} */
const memory = new Map();
/** @type {import("./shared/life.js").Places} */
const places = new Map();

const clipboard = {
  get: () => localStorage.getItem(CLIPBOARD) ?? "",
  set: (/** @type {string} */ text) => localStorage.setItem(CLIPBOARD, text),
};

/** @param {GraphNode} node */
function createEditor(node) {
  const showBackground = async () => {
    const choice = String(node.properties?.[BACKGROUND] ?? "");
    const image = await load(addressOf(app, node, choice));
    view.setBackground(choice, image);
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

/** Follow the node's other widgets, links and life. @type {(node: GraphNode, view: ReturnType<typeof createView>, showBackground: () => void) => void} */
function attach(node, view, showBackground) {
  const readPrompt = () => view.setPrompt(promptOf(node));
  const readSize = () => view.setSize(Number(widgetOf(node, "width")?.value), Number(widgetOf(node, "height")?.value));
  const readAll = () => {
    readPrompt();
    readSize();
    // The canvas shows what is drawn; only wired regions need the picture beneath.
    node.hideOutputImages = node.inputs?.find((input) => input.name === "regions")?.link == null;
  };
  // The other widgets come after this one.
  queueMicrotask(() => {
    watch(node, "text", readPrompt);
    watch(node, "width", readSize);
    watch(node, "height", readSize);
    readAll();
  });
  watchLinks(node, readAll);
  view.element.addEventListener("pointerenter", readAll);
  view.element.addEventListener("focusin", readAll);
  const executed = () => {
    if (node.properties?.[BACKGROUND]) setTimeout(showBackground, 200);
  };
  app.api.addEventListener("executed", executed);

  attachLife(node, view, {
    memory,
    places,
    minWidth: MIN_WIDTH,
    travelling: () => isTravelling(app),
    configured: () => {
      readAll();
      showBackground();
    },
    removed: () => app.api.removeEventListener("executed", executed),
  });
}

app.registerExtension({
  name: "AttentionDirector.RegionCanvas",
  getCustomWidgets: () => ({ [TYPE]: regionCanvas }),
  setup: () => addStyle(new URL("./editor.css", import.meta.url).href),
});
