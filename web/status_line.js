// The line a node shows after a run. The server sends it; text is set as text, never as HTML.
import { app } from "../../scripts/app.js";
import { say } from "./shared/status.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */

const EVENT = "attention_director.status";

/** The node of an execution id; "4:2" is node 2 inside the subgraph of node 4. @param {string | number} id */
function findNode(id) {
  /** @type {import("./shared/comfyui").Graph | undefined} */
  let graph = app.rootGraph ?? app.graph;
  /** @type {GraphNode | null} */
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.nodes?.find((n) => String(n.id) === part) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

app.registerExtension({
  name: "AttentionDirector.StatusLine",
  setup() {
    app.api.addEventListener(EVENT, ({ detail }) => {
      const node = findNode(detail.node);
      if (node) say(node, "run", String(detail.text), Boolean(detail.warns));
    });
  },
});
