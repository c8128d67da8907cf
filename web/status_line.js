// The line a node shows after a run: what it did, or why it refused. The server sends it; text is set as text, never as
// HTML.
import { app } from "../../scripts/app.js";
import { translated } from "./shared/sayings.js";
import { say } from "./shared/status.js";
import { ownerOf } from "./wiring/trace.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */

const EVENT = "attention_director.status";
const REFUSAL = /(?:^|\.)DirectorError$/; // bridge/errors.py
const SIGNED = /^([\w ]+): (.+)$/s; // the type of the node that refuses, or the pack, and the sentence
const PACK = "Attention Director";

/** Nodes that refused the last run. @type {Set<GraphNode>} */
const refusing = new Set();

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

/** Where a refusal is shown: the node that signs it, which may refuse in a sampler of its graph; what the pack as a whole
 * refuses, where its model goes into the sampler. @param {GraphNode | null} at @param {string} type */
function signer(at, type) {
  if (type === PACK) return ownerOf(at);
  if (!at || at.type === type) return at;
  const found = at.graph?.nodes?.filter((node) => node.type === type) ?? [];
  return found.length === 1 ? found[0] : null;
}

/** @param {{ exception_type?: string, exception_message?: string, node_id?: string }} error */
function showRefusal(error) {
  const [, type, sentence] = SIGNED.exec(String(error.exception_message).trim()) ?? [];
  if (!sentence || !REFUSAL.test(String(error.exception_type))) return;
  const node = signer(findNode(String(error.node_id)), type);
  if (!node) return;
  refusing.add(node);
  say(node, "run", translated(sentence), true);
}

app.registerExtension({
  name: "AttentionDirector.StatusLine",
  setup() {
    app.api.addEventListener(EVENT, ({ detail }) => {
      const node = findNode(detail.node);
      if (node) say(node, "run", translated(String(detail.text)), Boolean(detail.warns));
    });
    app.api.addEventListener("execution_error", ({ detail }) => showRefusal(detail));
    app.api.addEventListener("execution_start", () => {
      for (const node of refusing) say(node, "run", "");
      refusing.clear();
    });
  },
});
