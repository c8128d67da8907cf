// What a node's model and prompt lead to: the nodes behind it, the pictures they show, the latent they fill. No DOM.
import { isLinked, widgetOf } from "../shared/host.js";
import { having, reached, sources, targets } from "./trace.js";

/** @typedef {import("../shared/comfyui").GraphNode} GraphNode */
/** @typedef {[number, number]} Size */

const CARRIED = ["MODEL", "CONDITIONING"];
const TO_SAMPLERS = [...CARRIED, "GUIDER"];
const LATENT = "LATENT";
const READOUT = "AttnDirReadout"; // what comes out of it is a chart of the run, no result

/** All nodes that a node's model or prompt reaches, itself left out, and not what lies behind a readout. @param {GraphNode} node @param {string[] | null} types
 * of the links to follow; null for any @returns {GraphNode[]} */
export function behind(node, types = null) {
  const onward = (/** @type {GraphNode} */ at) => {
    if (at.type === READOUT) return [];
    const followed = at === node ? CARRIED : types;
    return targets(at, (type) => !followed || at.type === "Reroute" || followed.includes(type));
  };
  return [...reached([node], onward)].filter((at) => at !== node);
}

/** The size of the empty latent that a node's samplers fill; null where it is not known, or they fill different ones.
 * @param {GraphNode} node @returns {Size | null} */
export function latentSize(node) {
  const fillers = behind(node, TO_SAMPLERS).filter((at) => having(at.inputs, LATENT).length);
  const sizes = fillers.flatMap(originsOf).map(sizeOf);
  const [first] = sizes;
  return first && sizes.every((size) => size && size[0] === first[0] && size[1] === first[1]) ? first : null;
}

/** Where the latent of a sampler begins: nodes that have none themselves. @param {GraphNode} sampler */
function originsOf(sampler) {
  const back = (/** @type {GraphNode} */ at) => sources(at, LATENT);
  return [...reached(back(sampler), back)].filter((at) => !having(at.inputs, LATENT).length && !back(at).length);
}

/** @param {GraphNode} origin @returns {Size | null} */
function sizeOf(origin) {
  const [width, height] = ["width", "height"].map((name) => {
    return isLinked(origin, name) ? NaN : Number(widgetOf(origin, name)?.value);
  });
  return width > 0 && height > 0 ? [width, height] : null;
}
