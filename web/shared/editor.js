// What the editors inside nodes have in common: they read their node's widgets and wires, follow runs, outlive undo.
import { isTravelling, watch, watchLinks } from "./host.js";
import { attachLife } from "./life.js";

/** @typedef {import("./comfyui").App} App */
/** @typedef {import("./comfyui").GraphNode} GraphNode */
/**
 * @typedef {object} Reading
 * @property {string} kind which editor it is
 * @property {number} minWidth
 * @property {string[]} widgets those of the node that it shows
 * @property {() => void} read what the node and those wired to it say now; asked often
 * @property {() => void} picture the picture behind the drawing, which other nodes may have made anew
 * @property {() => void} [removed]
 */

const NODES_SHOW_THEIR_PICTURES_MS = 200; // after the page has heard of a run
const OUTPUTS_COME_BACK_MS = 300; // after the nodes of another workflow

/** @param {App} app @param {GraphNode} node @param {import("./life.js").Editor<any>} editor @param {Reading} on */
export function attachEditor(app, node, editor, on) {
  // The other widgets come after this one.
  queueMicrotask(() => {
    for (const name of on.widgets) watch(node, name, on.read);
    on.read();
  });
  watchLinks(node, on.read);
  for (const name of ["pointerenter", "focusin"]) editor.element.addEventListener(name, on.read);
  const forget = follow(app, on);
  attachLife(node, editor, {
    kind: on.kind,
    minWidth: on.minWidth,
    travelling: () => isTravelling(app),
    configured: () => {
      on.read();
      on.picture();
      setTimeout(on.picture, OUTPUTS_COME_BACK_MS);
    },
    removed: () => {
      forget();
      on.removed?.();
    },
  });
}

/** Until the function it gives back is called. @param {App} app @param {Reading} on */
function follow(app, on) {
  const executed = () => setTimeout(on.picture, NODES_SHOW_THEIR_PICTURES_MS);
  app.api.addEventListener("executed", executed);
  app.api.addEventListener("graphChanged", on.read);
  return () => {
    app.api.removeEventListener("executed", executed);
    app.api.removeEventListener("graphChanged", on.read);
  };
}
