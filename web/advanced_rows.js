// Rows for experts are hidden in the classic renderer too, behind a button at the node's foot. Nodes 2.0 has its own.
import { app } from "../../scripts/app.js";
import { isOurs, saveCompactly } from "./shared/host.js";
import { t } from "./shared/texts.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */

const NAME = "attention_director_more";
const FEWEST = 2; // a button in place of one row gains nothing

/** @param {GraphNode} node */
function hideAdvanced(node) {
  const rows = (node.widgets ?? []).filter((widget) => widget.options?.advanced);
  if (rows.length < FEWEST || !node.toggleAdvanced || !node.addWidget) return;
  for (const row of rows) row.advanced = true;
  const more = node.addWidget("button", NAME, null, () => {
    node.toggleAdvanced?.();
    name();
  }, { serialize: false, canvasOnly: true }); // Nodes 2.0 has its own
  more.serialize = false;
  saveCompactly(node);
  const name = () => { more.label = node.showAdvanced ? t("fewer settings") : t("more settings"); };
  name();
  const { onConfigure } = node;
  node.onConfigure = function (...args) {
    onConfigure?.apply(this, args);
    name();
  };
}

app.registerExtension({
  name: "AttentionDirector.AdvancedRows",
  nodeCreated: (node) => {
    if (isOurs(node)) hideAdvanced(node);
  },
});
