// The line at a node's foot: a mark on its wiring while there is one, else what the last run did.
import { saveCompactly } from "./host.js";
import { keepPlace } from "./life.js";

/** @typedef {import("./comfyui").GraphNode} GraphNode */
/** warns: the last run has left something undone. @typedef {{ mark: string, run: string, warns: boolean }} Lines */

const NAME = "attention_director_status";
const HEIGHT = 20;
const LONG = 46; // letters, more than a node of the least width shows in one line
const WARNING = "color-mix(in srgb, #e08a00 78%, var(--input-text, #ddd))";

/** @type {WeakMap<GraphNode, Lines>} */
const lines = new WeakMap();

/** Say something on a node. An empty text takes it back. @param {GraphNode} node @param {"mark" | "run"} kind @param {string} text @param {boolean} warns */
export function say(node, kind, text, warns = false) {
  const said = lines.get(node) ?? { mark: "", run: "", warns: false };
  if (said[kind] === text) return;
  said[kind] = text;
  if (kind === "run") said.warns = warns;
  lines.set(node, said);
  const alarmed = !!said.mark || said.warns;
  const shown = `${alarmed ? "⚠ " : ""}${said.mark || said.run}`;
  const found = node.widgets?.find((widget) => widget.name === NAME);
  if (!found && !shown) return;
  const element = /** @type {HTMLElement} */ ((found ?? lineWidget(node)).element);
  const before = heightOf(element);
  element.textContent = shown;
  element.title = shown;
  Object.assign(element.style, { color: alarmed ? WARNING : "", whiteSpace: "normal" });
  element.dataset.attentionDirector = said.mark ? "mark" : "status";
  const more = heightOf(element) - before;
  if (more > 0) node.setSize([node.size[0], node.size[1] + more]);
  node.setDirtyCanvas?.(true, true);
}

/** One line, or two for a long text. @param {HTMLElement} element */
const heightOf = (element) => HEIGHT * ((element.textContent ?? "").length > LONG ? 2 : 1);

/** @param {GraphNode} node */
function lineWidget(node) {
  const element = document.createElement("div");
  Object.assign(element.style, {
    minHeight: `${HEIGHT - 4}px`, fontSize: "11px", lineHeight: `${HEIGHT - 4}px`, opacity: "0.9", padding: "0 6px", overflow: "hidden",
    textOverflow: "ellipsis",
  });
  const height = () => heightOf(element);
  const widget = node.addDOMWidget(NAME, "ATTN_DIR_STATUS", element, {
    serialize: false, hideOnZoom: true, getMinHeight: height, getMaxHeight: height, margin: 2, socketless: true,
  });
  widget.serialize = false;
  saveCompactly(node);
  keepPlace(node, element, NAME);
  const [width, size] = node.size;
  node.setSize([width, Math.max(size + height(), node.computeSize()[1])]);
  return widget;
}
