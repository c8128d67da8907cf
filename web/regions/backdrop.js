// The picture behind the regions: the last result that the node leads to, while nobody has chosen another.
import { isOurs, outputOf, recordStep } from "../shared/host.js";
import { addressOf, load, upload } from "../shared/pictures.js";
import { behind } from "../wiring/downstream.js";

/** @typedef {import("../shared/comfyui").App} App */
/** @typedef {import("../shared/comfyui").GraphNode} GraphNode */
/** hidden: the eye is closed. @typedef {{ choice: string, hidden: boolean }} Choice */
/** @typedef {(choice: Choice, image: HTMLImageElement | null) => void} Show */

export const RESULT = "result";
const CHOICE = "attention_director_background"; // "" in workflows that chose no picture
const HIDDEN = "attention_director_background_hidden";

/** @param {GraphNode} node @returns {Choice} */
export function choiceOf(node) {
  const chosen = node.properties?.[CHOICE];
  return { choice: String(chosen || RESULT), hidden: chosen === "" || !!node.properties?.[HIDDEN] };
}

/** The node behind this one whose picture was made last, or null: the one that a run has just told of, else the
 * farthest. Pictures of this pack's own nodes are drawings and maps. @param {App} app @param {GraphNode} node @param {string} latest an id */
export function resultNode(app, node, latest) {
  const shown = behind(node).filter((at) => !isOurs(at) && outputOf(app, at)?.images?.length);
  return shown.find((at) => String(at.id) === latest) ?? shown.at(-1) ?? null;
}

/** @param {App} app @param {GraphNode} node @param {Show} show */
export function createBackdrop(app, node, show) {
  const now = { asked: 0, latest: "" };
  const refresh = async () => {
    const { choice, hidden } = choiceOf(node);
    const source = choice === RESULT ? resultNode(app, node, now.latest) : null;
    const asked = ++now.asked;
    const image = hidden ? null : await load(addressOf(app, node, source ? `node:${source.id}` : choice));
    if (asked === now.asked) show({ choice, hidden }, image); // else a later picture is there already
  };
  const keep = (/** @type {Record<string, unknown>} */ properties) => {
    node.properties = { ...node.properties, ...properties };
    recordStep(app);
    return refresh();
  };
  return {
    refresh,
    choose: (/** @type {string} */ choice) => keep({ [CHOICE]: choice, [HIDDEN]: false }),
    toggle: () => keep({ [CHOICE]: choiceOf(node).choice, [HIDDEN]: !choiceOf(node).hidden }),
    upload: async (/** @type {File} */ file) => {
      const choice = await upload(app, file);
      if (choice) await keep({ [CHOICE]: choice, [HIDDEN]: false });
    },
    follow: () => followRuns(app, node, now, show),
  };
}

/** Notes which node made its picture last, and shows what a sampler sends while it works.
 * @param {App} app @param {GraphNode} node @param {{ asked: number, latest: string }} now @param {Show} show */
function followRuns(app, node, now, show) {
  const executed = (/** @type {CustomEvent} */ { detail }) => { now.latest = String(detail?.display_node ?? detail?.node ?? ""); };
  const preview = async (/** @type {CustomEvent} */ { detail }) => {
    const { choice, hidden } = choiceOf(node);
    if (hidden || choice !== RESULT || !behind(node).some((at) => String(at.id) === String(detail?.displayNodeId))) return;
    const asked = ++now.asked;
    const address = URL.createObjectURL(detail.blob);
    const image = await load(address);
    URL.revokeObjectURL(address);
    if (image && asked === now.asked) show({ choice, hidden }, image);
  };
  app.api.addEventListener("executed", executed);
  app.api.addEventListener("b_preview_with_metadata", preview);
  return () => {
    app.api.removeEventListener("executed", executed);
    app.api.removeEventListener("b_preview_with_metadata", preview);
  };
}
