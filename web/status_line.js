// The line a node shows after a run. The server sends it; text is set as text, never as HTML.
import { app } from "../../scripts/app.js";

const EVENT = "attention_director.status";
const HEIGHT = 20;

/** The node of an execution id; "4:2" is node 2 inside the subgraph of node 4. */
function findNode(id) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.nodes?.find((n) => String(n.id) === part) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

function lineWidget(node) {
  const found = node.widgets?.find((w) => w.name === "attention_director_status");
  if (found) return found;
  const element = document.createElement("div");
  element.dataset.attentionDirector = "status";
  Object.assign(element.style, {
    minHeight: `${HEIGHT - 4}px`, fontSize: "11px", lineHeight: `${HEIGHT - 4}px`, opacity: "0.8",
    overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap",
  });
  const widget = node.addDOMWidget("attention_director_status", "ATTN_DIR_STATUS", element, {
    serialize: false, hideOnZoom: true, getMinHeight: () => HEIGHT, getMaxHeight: () => HEIGHT, margin: 2,
    socketless: true,
  });
  widget.serialize = false;
  const [width, height] = node.size;
  node.setSize([width, Math.max(height + HEIGHT, node.computeSize()[1])]);
  return widget;
}

app.registerExtension({
  name: "AttentionDirector.StatusLine",
  setup() {
    app.api.addEventListener(EVENT, ({ detail }) => {
      const node = findNode(detail.node);
      if (!node) return;
      const { element } = lineWidget(node);
      element.textContent = detail.text;
      element.title = detail.text;
      node.setDirtyCanvas?.(true, true);
    });
  },
});
