// Does a sampler that takes our prompt also take our model? Follows links; no DOM.
import { isOurs, nodeBefore, nodesBehind } from "../shared/host.js";
import { t } from "../shared/texts.js";

/** @typedef {import("../shared/comfyui").GraphNode} GraphNode */
/** @typedef {import("../shared/comfyui").Slot} Slot */

const MUTED = 2;
const MODEL = "MODEL";
const CONDITIONING = "CONDITIONING";
const GUIDER = "GUIDER";
const PLAIN = "plain";

/** @param {Slot[] | undefined} slots @param {string} type */
export const having = (slots, type) => (slots ?? []).filter((slot) => slot.type === type);
const isReroute = (/** @type {GraphNode} */ node) => node.type === "Reroute";

/** A node that puts model and prompt to use, and passes neither on. @param {GraphNode} node */
function consumes(node) {
  return having(node.inputs, MODEL).length > 0 && having(node.inputs, CONDITIONING).length > 0
    && !having(node.outputs, MODEL).length && !having(node.outputs, CONDITIONING).length;
}

/** The nodes that outputs of the wanted types lead to; Region Prompt's plain prompt is there for a sampler without us.
 * @param {GraphNode} node @param {(type: string) => boolean} wanted @returns {GraphNode[]} */
export function targets(node, wanted) {
  const leads = (/** @type {Slot} */ { name, type }) => name !== PLAIN && wanted(String(type));
  const found = (node.outputs ?? []).flatMap((output, slot) => (leads(output) ? nodesBehind(node, slot) : []));
  return found.filter((at) => at.mode !== MUTED);
}

/** The nodes that inputs of a type are linked from. @param {GraphNode} node @param {string} type @returns {GraphNode[]} */
export function sources(node, type) {
  return (node.inputs ?? []).flatMap((input, slot) => (isReroute(node) || input.type === type ? nodeBefore(node, slot) ?? [] : []));
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

/** The node of this pack whose model a node uses: the last one on its way, itself before others; null without one.
 * @param {GraphNode | null} node @returns {GraphNode | null} */
export function ownerOf(node) {
  const back = (/** @type {GraphNode} */ at) => (isOurs(at) ? [] : [...sources(at, MODEL), ...sources(at, GUIDER)]);
  return [...reached(node ? [node] : [], back)].find(isOurs) ?? null;
}

/**
 * The nodes that use this node's prompt with a model that does not come from it.
 * @param {GraphNode} node one with a MODEL and a CONDITIONING output @returns {GraphNode[]}
 */
export function withoutModel(node) {
  const onward = (/** @type {GraphNode} */ at) => (consumes(at) ? [] : targets(at, (type) => isReroute(at) || type === CONDITIONING));
  const users = [...reached([node], onward)].filter((at) => at !== node && consumes(at));
  return users.filter((user) => {
    const models = sources(user, MODEL);
    return models.length > 0 && !reached(models, (at) => (at === node ? [] : sources(at, MODEL))).has(node);
  });
}

/** One sentence about those nodes, "" for none. @param {GraphNode[]} users */
export function sentence(users) {
  if (!users.length) return "";
  const name = users[0].title || users[0].type;
  return t("\"{name}\" takes this node's positive but not its model, so nothing will happen there: wire model to it too.", { name });
}
