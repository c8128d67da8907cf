// The classic renderer names a text box only while it is empty. Here each keeps its name, small, in the gap above it.
import { app } from "../../scripts/app.js";
import { isOurs } from "./shared/host.js";

/** @typedef {import("./shared/comfyui").GraphNode} GraphNode */
/** @typedef {import("./shared/comfyui").Widget} Widget */

const SIZE = 9; // pixels of the graph; the host leaves ten round a box
const INDENT = 12;

/** The text boxes that hold something, and so hide their name. @param {GraphNode} node @returns {Widget[]} */
function filled(node) {
  return (node.widgets ?? []).filter((widget) => widget.element instanceof HTMLTextAreaElement && widget.element.value
    && widget.y !== undefined && (node.isWidgetVisible?.(widget) ?? true));
}

/** @param {GraphNode} node @param {CanvasRenderingContext2D} context */
function drawNames(node, context) {
  const { WIDGET_SECONDARY_TEXT_COLOR: colour = "#999", NODE_FONT: font = "sans-serif" } = window.LiteGraph ?? {};
  context.save();
  Object.assign(context, { font: `${SIZE}px ${font}`, fillStyle: colour, textAlign: "left", textBaseline: "top" });
  for (const widget of filled(node)) context.fillText(widget.label ?? widget.name, INDENT, Number(widget.y));
  context.restore();
}

app.registerExtension({
  name: "AttentionDirector.BoxNames",
  nodeCreated(node) {
    if (!isOurs(node)) return;
    const { onDrawForeground } = node; // Nodes 2.0 never calls it
    node.onDrawForeground = function (context, canvas, ...rest) {
      onDrawForeground?.call(this, context, canvas, ...rest);
      if (!this.flags?.collapsed && !canvas?.low_quality) drawNames(this, context);
    };
  },
});
