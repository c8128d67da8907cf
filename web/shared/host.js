// What the editors need of ComfyUI's page. The app is handed in, so that importing this does nothing.

/** @typedef {import("./comfyui").App} App */
/** @typedef {import("./comfyui").GraphNode} GraphNode */
/** @typedef {import("./comfyui").Widget} Widget */

const MOST_STEPS = 20;
const OURS = /^(AttnDir|RegionPrompt$|AttentionEdit$|SharedSubjectAttention$|SketchGuidance$|IdentityInject$)/;

/** Whether a node is of this pack. @param {GraphNode} node */
export const isOurs = (node) => OURS.test(String(node.comfyClass ?? node.type));

/** One step of the graph's own undo. @param {App} app */
export function recordStep(app) {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}

/** @type {Promise<void> | undefined} */
let travelled;

/** One step after the other: of two at once the host would lose one (frontend 1.47). @param {App} app @param {"undo" | "redo"} which */
export function travel(app, which) {
  const step = () => app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.[which]?.();
  travelled = travelled ? travelled.then(step, step) : Promise.resolve(step());
}

/** Whether nodes are being built anew by undo or redo, and not by another workflow. @param {App} app */
export function isTravelling(app) {
  return app.extensionManager?.workflow?.activeWorkflow?.changeTracker?._restoringState ?? true;
}

/** @param {GraphNode} node @param {string} name @returns {Widget | undefined} */
export function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/** Call back whenever a widget's value may have changed. @param {GraphNode} node @param {string} name @param {() => void} changed */
export function watch(node, name, changed) {
  const widget = widgetOf(node, name);
  if (!widget) return;
  const before = widget.callback;
  widget.callback = function (...args) {
    const answer = before?.apply(this, args);
    changed();
    return answer;
  };
}

/** Call back after a node's links change. @param {GraphNode} node @param {() => void} changed */
export function watchLinks(node, changed) {
  const before = node.onConnectionsChange;
  node.onConnectionsChange = function (...args) {
    before?.apply(this, args);
    changed();
  };
}

/** The place of an input, or -1. @param {GraphNode} node @param {string} name */
export const slotOf = (node, name) => node.inputs?.findIndex((slot) => slot.name === name) ?? -1;

/** Does a wire lead into an input? @param {GraphNode} node @param {string} name */
export function isLinked(node, name) {
  const slot = slotOf(node, name);
  if (slot < 0) return false;
  return node.isInputConnected ? node.isInputConnected(slot) : node.inputs?.[slot].link != null;
}

/** The node that a wire into an input comes from, or null. @param {GraphNode} node @param {number} slot @returns {GraphNode | null} */
export function nodeBefore(node, slot) {
  const { graph } = node;
  if (slot < 0 || !graph) return null;
  const id = node.getInputLink ? null : node.inputs?.[slot]?.link;
  const link = node.getInputLink ? node.getInputLink(slot) : id == null ? null : linkOf(graph, id);
  return link ? graph.getNodeById(link.origin_id) : null;
}

/** The nodes that an output leads to. @param {GraphNode} node @param {number} slot @returns {GraphNode[]} */
export function nodesBehind(node, slot) {
  const { graph } = node;
  if (!graph) return [];
  if (node.getOutputNodes) return node.getOutputNodes(slot) ?? [];
  return (node.outputs?.[slot]?.links ?? []).flatMap((id) => {
    const link = linkOf(graph, id);
    return (link && graph.getNodeById(link.target_id)) ?? [];
  });
}

/** The node at the other end of an input, through reroutes, or null. @param {GraphNode} node @param {string} name @returns {GraphNode | null} */
export function sourceOf(node, name) {
  let origin = nodeBefore(node, slotOf(node, name));
  for (let step = 0; step < MOST_STEPS && origin?.type === "Reroute"; step++) origin = nodeBefore(origin, 0);
  return origin?.type === "Reroute" ? null : origin;
}

/** What the last run told of a node: a subgraph's nodes are named after it too, since ids begin anew in each.
 * @param {App} app @param {GraphNode} node @returns {Record<string, any> | undefined} */
export function outputOf(app, node) {
  const inRoot = !app.rootGraph || !node.graph || node.graph === app.rootGraph;
  return app.nodeOutputs?.[inRoot ? String(node.id) : `${node.graph?.id}:${node.id}`];
}

/** @param {NonNullable<GraphNode["graph"]>} graph @param {number} id */
function linkOf(graph, id) {
  return graph.links instanceof Map ? graph.links.get(id) : graph.links[id];
}

/** Set a widget's value as if a person had typed it. @param {GraphNode} node @param {string} name @param {string | number} value */
export function setWidget(node, name, value) {
  const widget = widgetOf(node, name);
  if (!widget) return;
  widget.value = value;
  widget.callback?.(value);
}

/** @type {WeakSet<GraphNode>} */
const compact = new WeakSet();

/**
 * Widgets that are not saved may stand anywhere in this node. Frontend 1.47 leaves a place for each among the values that
 * it writes, and none where it reads them: these places are taken out. 1.58 leaves none. @param {GraphNode} node
 */
export function saveCompactly(node) {
  if (compact.has(node)) return;
  compact.add(node);
  const { onSerialize } = node;
  node.onSerialize = function (saved) {
    onSerialize?.call(this, saved);
    const isSaved = (/** @type {Widget | undefined} */ widget) => widget?.serialize !== false;
    if (!saved.widgets_values || saved.widgets_values.length <= (this.widgets ?? []).filter(isSaved).length) return;
    saved.widgets_values = saved.widgets_values.filter((_, i) => isSaved(this.widgets?.[i]));
  };
}

/** Put a widget that is not saved right behind another one. @param {GraphNode} node @param {string} name @param {string} behind */
export function placeBehind(node, name, behind) {
  const widgets = node.widgets ?? [];
  const place = (/** @type {string} */ wanted) => widgets.findIndex((widget) => widget.name === wanted);
  const [widget] = widgets.splice(place(name), 1);
  widgets.splice(place(behind) + 1, 0, widget);
  saveCompactly(node);
}

/** Pass a wheel turn or a middle-button drag on to the graph beneath. @param {App} app @param {WheelEvent | PointerEvent} event */
export function passToGraph(app, event) {
  const canvas = app.canvas;
  if (event.type === "wheel") return canvas.processMouseWheel?.(event);
  if (event.type === "pointerdown") return canvas.processMouseDown?.(event);
  if (event.type === "pointermove") return canvas.processMouseMove?.(event);
  return canvas.processMouseUp?.(event);
}

/** Put the focus on an element once the page has it, for at most a second. @param {HTMLElement} element */
export function focusSoon(element, frames = 60) {
  if (element.isConnected) element.focus({ preventScroll: true });
  if (document.activeElement !== element && frames > 0) requestAnimationFrame(() => focusSoon(element, frames - 1));
}

/**
 * Show no pictures of the host's beneath this node's own editor.
 * Nodes 2.0 reads the flag; the classic renderer adds them where it draws a node's background.
 * @param {GraphNode} node
 */
export function hideOutputImages(node) {
  node.hideOutputImages = true;
  node.onDrawBackground = () => {};
}
