// Which key does what on the canvas. No DOM beyond the event's own fields.

/**
 * @typedef {{ do: "tool", tool: import("./gestures.js").Tool } | { do: "nudge" | "grow", x: number, y: number }
 *   | { do: "walk" | "order", by: number } | { do: "weigh", by: number } | { do: "brush", by: number }
 *   | { do: "copy" | "cut" | "paste" | "duplicate" | "delete" | "undo" | "redo" | "snap" | "drop" | "clear" | "new" | "words" | "phrase" | "off" | "locked" | "hidden" }} Command
 */

/** @type {Record<string, Command>} */
const PLAIN = {
  v: { do: "tool", tool: "select" }, b: { do: "tool", tool: "box" }, l: { do: "tool", tool: "lasso" },
  p: { do: "tool", tool: "brush" }, e: { do: "tool", tool: "erase" }, g: { do: "snap" }, w: { do: "words" },
  Delete: { do: "delete" }, Backspace: { do: "delete" }, Escape: { do: "drop" }, n: { do: "new" }, o: { do: "off" },
  k: { do: "locked" }, h: { do: "hidden" },
  Enter: { do: "phrase" }, F2: { do: "phrase" }, PageDown: { do: "walk", by: 1 }, PageUp: { do: "walk", by: -1 },
  "]": { do: "order", by: -1 }, "[": { do: "order", by: 1 }, "+": { do: "weigh", by: 0.05 }, "=": { do: "weigh", by: 0.05 },
  "-": { do: "weigh", by: -0.05 }, ".": { do: "brush", by: 0.005 }, ",": { do: "brush", by: -0.005 },
};

/** @type {Record<string, Command>} */
const WITH_CONTROL = { c: { do: "copy" }, x: { do: "cut" }, v: { do: "paste" }, d: { do: "duplicate" } };

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** What the canvas shall do, or null. @param {Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "shiftKey" | "altKey">} event @returns {Command | null} */
export function command(event) {
  if (event.altKey) return null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) return event.shiftKey ? null : WITH_CONTROL[key] ?? null;
  const arrow = ARROWS[key];
  if (arrow) return { do: event.shiftKey ? "grow" : "nudge", x: arrow[0], y: arrow[1] };
  return PLAIN[key] ?? null;
}
