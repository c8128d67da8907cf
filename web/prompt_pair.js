// Attention Edit's prompts side by side: ties pair/view.js to its node.
import { app } from "../../scripts/app.js";
import { createView } from "./pair/view.js";
import { addStyle } from "./shared/dom.js";
import { placeBehind, recordStep, setWidget, watch, watchLinks, widgetOf } from "./shared/host.js";
import { keepPlace } from "./shared/life.js";
import { promptOf } from "./shared/prompts.js";
import { t } from "./shared/texts.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */

const NODE = "AttentionEdit";
const NAME = "attention_director_pair";
const HEIGHT = 150;

/** @param {GraphNode} node */
function addPair(node) {
  const view = createView({
    reweight: (text, done) => {
      setWidget(node, "reweight", text);
      if (done) recordStep(app);
    },
  });
  const readAll = () => {
    const prompt = promptOf(node);
    const note = prompt.note ? t("The prompts come from another node; type weights in reweight.") : "";
    const [source = "", ...targets] = prompt.rows;
    view.show({ source, targets: targets.join("\n"), reweight: String(widgetOf(node, "reweight")?.value ?? ""), note });
  };
  const widget = node.addDOMWidget(NAME, "ATTN_DIR_PAIR", view.element, {
    serialize: false, getMinHeight: () => HEIGHT, margin: 6, hideOnZoom: true, socketless: true,
  });
  widget.serialize = false; // the one above keeps it out of the prompt, this one out of the workflow
  placeBehind(node, NAME, "targets");
  keepPlace(node, view.element, NAME);
  for (const name of ["text", "targets", "reweight"]) watch(node, name, readAll);
  watchLinks(node, readAll);
  view.element.addEventListener("pointerenter", readAll);
  const { onConfigure } = node;
  node.onConfigure = function (...args) {
    onConfigure?.apply(this, args);
    readAll();
  };
  readAll();
}

app.registerExtension({
  name: "AttentionDirector.PromptPair",
  nodeCreated: (node) => {
    if ((node.comfyClass ?? node.type) === NODE) addPair(node);
  },
  setup: () => addStyle(new URL("./editor.css", import.meta.url).href),
});
