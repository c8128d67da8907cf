// What the editors need of ComfyUI's page. The app is handed in, so that importing this does nothing.

/** @typedef {import("./comfyui").App} App */
/** @typedef {import("./comfyui").GraphNode} GraphNode */
/** @typedef {import("./comfyui").Widget} Widget */

const MOST_STEPS = 20;

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

/** The node at the other end of an input, through reroutes, or null. @param {GraphNode} node @param {string} name @returns {GraphNode | null} */
export function sourceOf(node, name) {
  let input = node.inputs?.find((slot) => slot.name === name);
  let graph = node.graph;
  for (let step = 0; step < MOST_STEPS && input?.link != null && graph; step++) {
    const link = linkOf(graph, input.link);
    const origin = link && graph.getNodeById(link.origin_id);
    if (!origin) return null;
    if (origin.type !== "Reroute") return origin;
    input = origin.inputs?.[0];
    graph = origin.graph;
  }
  return null;
}

/** What the last run told of a node: a subgraph's nodes are named after it too, since ids begin anew in each.
 * @param {App} app @param {GraphNode} node @returns {Record<string, any> | undefined} */
export function outputOf(app, node) {
  const inRoot = !app.rootGraph || !node.graph || node.graph === app.rootGraph;
  return app.nodeOutputs?.[inRoot ? String(node.id) : `${node.graph?.id}:${node.id}`];
}

/** @param {NonNullable<GraphNode["graph"]>} graph @param {number} id */
export function linkOf(graph, id) {
  return graph.links instanceof Map ? graph.links.get(id) : graph.links[id];
}

/** Set a widget's value as if a person had typed it. @param {GraphNode} node @param {string} name @param {string | number} value */
export function setWidget(node, name, value) {
  const widget = widgetOf(node, name);
  if (!widget) return;
  widget.value = value;
  widget.callback?.(value);
}

/**
 * Put a widget that is not saved right behind another one. The host counts it among the saved values where it writes
 * them, and not where it reads them (frontend 1.47): its place is taken out, as it stands in files with the widget last.
 * @param {GraphNode} node @param {string} name @param {string} behind
 */
export function placeBehind(node, name, behind) {
  const widgets = node.widgets ?? [];
  const place = (/** @type {string} */ wanted) => widgets.findIndex((widget) => widget.name === wanted);
  const [widget] = widgets.splice(place(name), 1);
  widgets.splice(place(behind) + 1, 0, widget);
  const { onSerialize } = node;
  node.onSerialize = function (saved) {
    onSerialize?.call(this, saved);
    saved.widgets_values = saved.widgets_values?.filter((_, i) => this.widgets?.[i]?.serialize !== false);
  };
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
