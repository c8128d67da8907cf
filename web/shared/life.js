// Undo builds every node anew. What a person had chosen in an editor comes back with it, and so does the focus.
import { focusSoon } from "./host.js";

/** @typedef {import("./comfyui").GraphNode} GraphNode */
/**
 * @template S
 * @typedef {{ element: HTMLElement, session: () => S, resume: (old: S) => void, destroy: () => void }} Editor
 */
/**
 * @typedef {object} Life
 * @property {string} kind which editor it is: a node may have several
 * @property {number} minWidth
 * @property {() => boolean} travelling nodes are being built anew by undo or redo
 * @property {() => void} configured
 * @property {() => void} [removed]
 */

const BACK_WITHIN_MS = 3000;
const LATELY_MS = 1500;
const FRAMES = 90;

/** Editors that have just gone. @type {Map<string, { session: any, focused: boolean, at: number }>} */
const sessions = new Map();
/** Elements of nodes that have just gone. @type {Map<string, HTMLElement>} */
const places = new Map();

/** @param {GraphNode} node @param {string} kind */
const keyOf = (node, kind) => `${kind} ${node.id}`;

/**
 * Tie an editor to its node's life.
 * @template S
 * @param {GraphNode} node @param {Editor<S>} editor @param {Life} on
 */
export function attachLife(node, editor, on) {
  const { onConfigure, onResize } = node;
  node.onConfigure = function (...args) {
    onConfigure?.apply(this, args);
    keepHeight(node, args[0]);
    on.configured();
    comeBack(node, editor, on);
  };
  node.onResize = function (size) {
    size[0] = Math.max(size[0], on.minWidth);
    onResize?.call(this, size);
  };
  remember(node, editor, on);
  keepPlace(node, editor.element, on.kind);
}

/**
 * The host's DynamicCombo gives a node the least height while the node is configured (frontend 1.47). A node that was
 * taller then differs from what undo has put in place, and the next press of a key or the mouse is taken for an edit,
 * which empties the list of redo.
 * @param {GraphNode} node @param {{ size?: ArrayLike<number> } | undefined} saved
 */
function keepHeight(node, saved) {
  const height = Number(saved?.size?.[1]);
  if (height > node.size[1]) node.size[1] = height;
}

/** @template S @param {GraphNode} node @param {Editor<S>} editor @param {Life} on */
function comeBack(node, editor, on) {
  const key = keyOf(node, on.kind);
  const old = sessions.get(key);
  sessions.delete(key);
  if (!old || !on.travelling() || Date.now() - old.at > BACK_WITHIN_MS) return;
  editor.resume(old.session);
  if (old.focused) focusSoon(editor.element);
}

/** @template S @param {GraphNode} node @param {Editor<S>} editor @param {Life} on */
function remember(node, editor, on) {
  // The page may take the element, and so the focus, before it tells the node.
  let lost = 0;
  editor.element.addEventListener("focusout", (event) => { lost = event.relatedTarget ? 0 : Date.now(); });
  const { onRemoved } = node;
  node.onRemoved = function (...args) {
    const lately = Date.now() - lost < LATELY_MS && document.activeElement === document.body;
    const focused = lately || editor.element.contains(document.activeElement);
    sessions.set(keyOf(node, on.kind), { session: editor.session(), focused, at: Date.now() });
    on.removed?.();
    editor.destroy();
    onRemoved?.apply(this, args);
  };
}

/**
 * Nodes 2.0 keeps the element of a node that undo has replaced on the page (frontend 1.47): the new node's
 * element takes its place. @param {GraphNode} node @param {HTMLElement} element @param {string} kind
 */
export function keepPlace(node, element, kind) {
  const { onAdded, onRemoved } = node;
  const settle = (/** @type {number} */ frames) => {
    const old = places.get(keyOf(node, kind));
    if (!old || old === element || element.isConnected || frames <= 0) return;
    if (old.isConnected && frames < FRAMES - 2) old.replaceWith(element);
    else requestAnimationFrame(() => settle(frames - 1));
  };
  node.onAdded = function (...args) {
    onAdded?.apply(this, args);
    settle(FRAMES);
  };
  node.onRemoved = function (...args) {
    places.set(keyOf(node, kind), element);
    onRemoved?.apply(this, args);
  };
  if (node.graph) settle(FRAMES);
}
