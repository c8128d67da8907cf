// Does a sampler that takes our prompt also take our model? Follows links; no DOM.
import { linkOf } from "../shared/host.js";

/** @typedef {import("../shared/comfyui").GraphNode} GraphNode */
/** @typedef {import("../shared/comfyui").Graph} Graph */
/** @typedef {import("../shared/comfyui").Slot} Slot */

const MUTED = 2;
const MODEL = "MODEL";
const CONDITIONING = "CONDITIONING";

/** @param {Slot[] | undefined} slots @param {string} type */
export const having = (slots, type) => (slots ?? []).filter((slot) => slot.type === type);
const isReroute = (/** @type {GraphNode} */ node) => node.type === "Reroute";

/** A node that puts model and prompt to use, and passes neither on. @param {GraphNode} node */
function consumes(node) {
  return having(node.inputs, MODEL).length > 0 && having(node.inputs, CONDITIONING).length > 0
    && !having(node.outputs, MODEL).length && !having(node.outputs, CONDITIONING).length;
}

/** The nodes an output is linked to. @param {Graph} graph @param {Slot} output @returns {GraphNode[]} */
export function targets(graph, output) {
  return (output.links ?? []).flatMap((id) => {
    const link = linkOf(graph, id);
    const node = link && graph.getNodeById(link.target_id);
    return node && node.mode !== MUTED ? [node] : [];
  });
}

/** The nodes that inputs of a type are linked from. @param {Graph} graph @param {GraphNode} node @param {string} type @returns {GraphNode[]} */
export function sources(graph, node, type) {
  const slots = isReroute(node) ? node.inputs ?? [] : having(node.inputs, type);
  return slots.flatMap((slot) => {
    const link = slot.link == null ? undefined : linkOf(graph, slot.link);
    const from = link && graph.getNodeById(link.origin_id);
    return from ? [from] : [];
  });
}

/** Everything that a walk reaches. @param {GraphNode[]} from @param {(node: GraphNode) => GraphNode[]} step */
export function reached(from, step) {
  const seen = new Set(from);
  const open = [...from];
  for (let node = open.pop(); node; node = open.pop()) {
    for (const next of step(node)) {
      if (!seen.has(next)) {
        seen.add(next);
        open.push(next);
      }
    }
  }
  return seen;
}

/**
 * The nodes that use this node's prompt with a model that does not come from it.
 * @param {GraphNode} node one with a MODEL and a CONDITIONING output @returns {GraphNode[]}
 */
export function withoutModel(node) {
  const graph = node.graph;
  if (!graph) return [];
  const onward = (/** @type {GraphNode} */ at) => {
    const outputs = isReroute(at) ? at.outputs ?? [] : having(at.outputs, CONDITIONING);
    return consumes(at) ? [] : outputs.flatMap((output) => targets(graph, output));
  };
  const users = [...reached([node], onward)].filter((at) => at !== node && consumes(at));
  return users.filter((user) => {
    const models = sources(graph, user, MODEL);
    return models.length > 0 && !reached(models, (at) => (at === node ? [] : sources(graph, at, MODEL))).has(node);
  });
}

/** One sentence about those nodes, "" for none. @param {GraphNode[]} users */
export function sentence(users) {
  if (!users.length) return "";
  const name = users[0].title || users[0].type;
  return `"${name}" takes this node's positive but not its model, so nothing will happen there: wire model to it too.`;
}
