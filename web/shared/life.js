// Undo builds every node anew. What a person had chosen in an editor comes back with it, and so does the focus.
import { focusSoon } from "./host.js";

/** @typedef {import("../../tests/web/host").GraphNode} GraphNode */
/**
 * @template S
 * @typedef {{ element: HTMLElement, session: () => S, resume: (old: S) => void, destroy: () => void }} Editor
 */
/** @typedef {Map<string, { session: any, focused: boolean, at: number }>} Memory of editors that have just gone */

const BACK_WITHIN_MS = 3000;
const LATELY_MS = 1500;

/**
 * Tie an editor to its node's life.
 * @template S
 * @param {GraphNode} node
 * @param {Editor<S>} editor
 * @param {{ memory: Memory, minWidth: number, travelling: () => boolean, configured: () => void, removed: () => void }} on
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
}
