// The prompts a node works on, as the pack reads them: its own, or those of the node it is linked to.
import { isLinked, sourceOf, widgetOf } from "./host.js";
import { said } from "./texts.js";

/** @typedef {import("./comfyui").GraphNode} GraphNode */
/** @typedef {{ rows: string[], editable: boolean, note: string, from: string }} Prompt rows: one prompt of the batch each; note: why there are none, or ""; from: the id of the node they are typed in */

const MOST_STEPS = 20;
const text = (/** @type {GraphNode} */ node, /** @type {string} */ name) => String(widgetOf(node, name)?.value ?? "");
const lines = (/** @type {string} */ value) => value.split("\n").map((line) => line.trim()).filter(Boolean);

/** What each node of this pack that takes words makes of what is typed there. @type {Record<string, (node: GraphNode) => string[]>} */
const ROWS = {
  RegionPrompt: (node) => [text(node, "text")],
  IdentityInject: (node) => [text(node, "text")],
  AttnDirEncode: (node) => (widgetOf(node, "one_prompt_per_line")?.value ? lines(text(node, "text")) : [text(node, "text")]),
  AttentionEdit: (node) => [text(node, "text"), ...lines(text(node, "targets"))],
  SharedSubjectAttention: (node) => lines(text(node, "text")).map((line) => around(line, text(node, "prefix").trim(), text(node, "suffix").trim())),
};

/** A scene with the words every scene shares; bridge/subject/build.py puts them together the same way. @param {string} line @param {string} prefix @param {string} suffix */
function around(line, prefix, suffix) {
  return `${`${prefix} ${line}`.trim()}${/^[,.;:!?]/.test(suffix) ? "" : " "}${suffix}`.trim();
}

/** @param {GraphNode} node @returns {Prompt} */
export function promptOf(node) {
  let at = node;
  for (let step = 0; step < MOST_STEPS; step++) {
    if (!isLinked(at, "text")) return { rows: ROWS[at.type]?.(at) ?? [], editable: at === node, note: "", from: String(at.id) };
    const source = sourceOf(at, "text");
    if (!source || !(source.type in ROWS)) break;
    at = source;
  }
  return { rows: [], editable: false, from: "", note: said("The prompt comes from another node: type each region's words.") };
}
