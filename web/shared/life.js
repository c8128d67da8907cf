// Undo builds every node anew. What a person had chosen in an editor comes back with it, and so does the focus.
import { focusSoon } from "./host.js";

/** @typedef {import("./comfyui").GraphNode} GraphNode */
/**
 * @template S
 * @typedef {{ element: HTMLElement, session: () => S, resume: (old: S) => void, destroy: () => void }} Editor
 */
/** @typedef {Map<string, { session: any, focused: boolean, at: number }>} Memory of editors that have just gone */
/** @typedef {Map<string, HTMLElement>} Places elements of nodes that have just gone, by node id */

const BACK_WITHIN_MS = 3000;
const LATELY_MS = 1500;
const FRAMES = 90;

/**
 * Tie an editor to its node's life.
 * @template S
 * @param {GraphNode} node
 * @param {Editor<S>} editor
 * @param {{ memory: Memory, places: Places, minWidth: number, travelling: () => boolean, configured: () => void, removed: () => void }} on
 */
export function attachLife(node, editor, on) {
  // The page may take the element, and so the focus, before it tells the node.
  let lost = 0;
  editor.element.addEventListener("focusout", (event) => { lost = event.relatedTarget ? 0 : Date.now(); });
  const { onConfigure, onRemoved, onResize } = node;
  node.onConfigure = function (...args) {
    onConfigure?.apply(this, args);
    on.configured();
    const old = on.memory.get(String(node.id));
    on.memory.delete(String(node.id));
    if (!old || !on.travelling() || Date.now() - old.at > BACK_WITHIN_MS) return;
    editor.resume(old.session);
    if (old.focused) focusSoon(editor.element);
  };
  node.onResize = function (size) {
    size[0] = Math.max(size[0], on.minWidth);
    onResize?.call(this, size);
  };
  node.onRemoved = function (...args) {
    const lately = Date.now() - lost < LATELY_MS && document.activeElement === document.body;
    const focused = lately || editor.element.contains(document.activeElement);
    on.memory.set(String(node.id), { session: editor.session(), focused, at: Date.now() });
    on.removed();
    editor.destroy();
    onRemoved?.apply(this, args);
  };
  keepPlace(node, editor.element, on.places);
}

/**
 * Nodes 2.0 keeps the element of a node that undo has replaced on the page (frontend 1.47): the new node's
 * element takes its place. @param {GraphNode} node @param {HTMLElement} element @param {Places} places
 */
export function keepPlace(node, element, places) {
  const { onAdded, onRemoved } = node;
  const settle = (/** @type {number} */ frames) => {
    const old = places.get(String(node.id));
    if (!old || old === element || element.isConnected || frames <= 0) return;
    if (old.isConnected && frames < FRAMES - 2) old.replaceWith(element);
    else requestAnimationFrame(() => settle(frames - 1));
  };
  node.onAdded = function (...args) {
    onAdded?.apply(this, args);
    settle(FRAMES);
  };
  node.onRemoved = function (...args) {
    places.set(String(node.id), element);
    onRemoved?.apply(this, args);
  };
  if (node.graph) settle(FRAMES);
}
