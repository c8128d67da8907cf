// The region canvas as one element: tools, canvas, words, regions. It knows no ComfyUI.
import { make } from "../shared/dom.js";
import { createPad } from "../shared/pad.js";
import { edited, OF_A_REGION } from "./acting.js";
import { createArrivals } from "./arrivals.js";
import { EMPTY, MAX_CHARACTERS, MAX_REGIONS, parse, serialise } from "./drawing.js";
import { bound, weighted } from "./edits.js";
import { createChips } from "./chips.js";
import { begin, moveRegion } from "./gestures.js";
import { createInspector } from "./inspector.js";
import { command } from "./keys.js";
import { createNotice, EMPTY_HINT } from "./notice.js";
import { paint } from "./paint.js";
import { cursorOver, handleAt, labelAt } from "./pointing.js";
import { createPromptStrip } from "./prompt_strip.js";
import { refitted, regionAt } from "./shapes.js";
import { createToolbar } from "./toolbar.js";
import { completions, find, phraseOf, splitOccurrence, tokeniseRows } from "../shared/words.js";

/** @typedef {import("../shared/geometry.js").Point} Point */
/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {import("./gestures.js").Tool} Tool */
/** @typedef {import("../shared/prompts.js").Prompt} Prompt */
/** @typedef {import("../shared/words.js").Span} Span */
/**
 * @typedef {object} ViewEvents
 * @property {(value: string) => void} change a finished edit
 * @property {(command: "undo" | "redo") => void} history
 * @property {(phrase: string) => void} insert put words into the prompt
 * @property {(choice: string) => void} background
 * @property {(file: File) => void} upload
 * @property {() => [string, string][]} pictures
 * @property {(from: string | File[]) => Promise<import("./importing.js").Picture[]>} masks the pictures of a node, or of files
 * @property {() => void} unlink take the wire of the regions away
 * @property {(event: WheelEvent | PointerEvent) => void} graph
 * @property {{ get: () => string, set: (text: string) => void }} clipboard
 */

const CELL_PX = 8;

/** @param {ViewEvents} on */
export function createView(on) {
  /** @type {Drawing} */
  let drawing = EMPTY;
  /** @type {Drawing | null} */
  let draft = null;
  let value = "";
  let problem = "";
  let said = "";
  let alarmed = false;
  /** @type {Prompt} */
  let prompt = { rows: [], editable: true, note: "" };
  let [wording, tokens] = ["", tokeniseRows([])];
  /** @type {[number, number]} */
  let size = [1024, 1024];
  /** @type {Tool} */
  let tool = "box";
  let selected = -1;
  let hovered = -1;
  let snaps = true;
  let brushWidth = 0.08;
  let waiting = "";
  let picture = "";
  /** @type {HTMLImageElement | null} */
  let background = null;
  /** @type {import("./gestures.js").Gesture | null} */
  let gesture = null;
  /** @type {Point | null} */
  let at = null;
  /** @type {ReturnType<typeof paint>} */
  let labels = [];

  const aspect = () => size[0] / size[1];
  const shown = () => draft ?? drawing;
  const spans = () => shown().regions.map((r) => find(tokens, r.phrase));
  const isStale = (/** @type {string} */ phrase, /** @type {Span[]} */ found) => !!phrase && !found.length && !prompt.note;

  /** A finished edit. @param {Drawing} next @param {number} index the region to select */
  const commit = (next, index = selected) => {
    draft = null;
    selected = Math.min(index, next.regions.length - 1);
    if (next === drawing) return refresh();
    const sized = next.size === drawing.size && !turned() ? { ...next, size } : next;
    const text = serialise(sized);
    if (text.length > MAX_CHARACTERS) return tell("The drawing is full: remove something first.");
    [drawing, value, problem] = [sized, text, ""];
    on.change(text);
    refresh();
  };
  /** @param {string} text @param {boolean} warns */
  const tell = (text, warns = false) => {
    [said, alarmed] = [text, warns];
    refresh();
  };
  const arrivals = createArrivals({ drawing: () => drawing, commit: (next, index) => commit(next, index), tell, masks: on.masks, unlink: on.unlink, arrived: () => root.focus({ preventScroll: true }) });

  const pad = createPad({
    down: (point, event) => {
      root.focus({ preventScroll: true });
      said = "";
      gesture = startGesture(point, event);
    },
    move: (point) => {
      at = point[0] >= 0 && point[0] <= 1 && point[1] >= 0 && point[1] <= 1 ? point : null;
      if (gesture) {
        const result = gesture.move(point);
        draft = result.drawing;
        selected = result.selected;
      } else {
        hovered = at ? regionAt(drawing, point, aspect()) : -1;
        const { handle, label } = under(point);
        pad.canvas.style.cursor = cursorOver({ tool, handle, label: label >= 0, region: hovered >= 0 });
      }
      pad.redraw();
    },
    up: () => {
      const result = gesture?.end();
      gesture = null;
      if (result && result.drawing.regions.length > drawing.regions.length) waiting = "";
      if (result) commit(result.drawing, result.selected);
      else refresh();
    },
    cancel: () => {
      [gesture, draft] = [null, null];
      refresh();
    },
    twice: () => drawing.regions[selected] && inspector.focus(),
    paint: (to, w, h) => {
      const all = spans();
      const now = shown();
      labels = paint(to, w, h, w / (pad.canvas.clientWidth || w), {
        drawing: now, selected, hovered, background,
        labels: now.regions.map((r, i) => `${i + 1} ${r.phrase || "no words yet"}`),
        stale: now.regions.map((r, i) => isStale(r.phrase, all[i])),
        brush: tool === "brush" || tool === "erase" ? at : null, brushWidth,
        grid: snaps && gesture && (tool === "box" || tool === "select") ? [size[0] / CELL_PX, size[1] / CELL_PX] : null,
        ghosts: () => arrivals.paint(to, w, h, w / (pad.canvas.clientWidth || w)),
        hint: arrivals.some() ? "" : waiting ? `Drag the place of "${waiting}".` : `${EMPTY_HINT}\nB box  L lasso  P brush  N new by keyboard`,
      });
    },
    graph: on.graph,
  });

  const under = (/** @type {Point} */ point) => (tool === "brush" || tool === "erase" ? { handle: "", label: -1 } : {
    handle: handleAt(drawing.regions[selected], aspect(), point, [pad.canvas.clientWidth, pad.canvas.clientHeight]),
    label: labelAt(labels, selected, point),
  });
  /** @param {Point} point @param {PointerEvent} event */
  const startGesture = (point, event) => {
    const step = /** @type {[number, number]} */ (snaps !== event.ctrlKey ? [CELL_PX / size[0], CELL_PX / size[1]] : [0, 0]);
    const { handle, label } = under(point);
    const setting = { drawing, selected, aspect: aspect(), step, width: brushWidth, phrase: waiting, handle };
    if (!handle && label >= 0) return moveRegion(setting, label, point);
    return begin(tool, setting, point, { join: event.shiftKey, cut: event.altKey });
  };

  const toolbar = createToolbar({
    tool: (next) => useTool(next),
    width: (width) => { brushWidth = width; },
    snap: () => act({ do: "snap" }),
    command: (name) => (name === "clear" ? commit({ ...drawing, regions: [] }, -1) : act({ do: name })),
    background: on.background, upload: on.upload, pictures: on.pictures, masks: arrivals.importMasks,
  });
  const strip = createPromptStrip({
    pick: (first, last) => {
      const phrase = phraseOf(wording, tokens, first, last);
      if (drawing.regions[selected]) return commit(bound(drawing, selected, phrase));
      const owner = spans().findIndex((found) => found.some((span) => span.first <= first && span.last >= last));
      waiting = owner < 0 ? phrase : "";
      selected = owner;
      refresh();
    },
    leave: () => root.focus({ preventScroll: true }),
  });
  const inspector = createInspector({
    phrase: (phrase) => commit(bound(drawing, selected, phrase)),
    strength: (strength) => commit(weighted(drawing, selected, strength)),
    command: (name) => act(name === "forward" ? { do: "order", by: -1 } : name === "backward" ? { do: "order", by: 1 } : { do: name }),
    insert: (phrase) => {
      if (drawing.regions[selected]?.phrase !== phrase) commit(bound(drawing, selected, splitOccurrence(phrase).words));
      on.insert(phrase);
    },
    suggest: (typed) => completions(wording, tokens, typed),
    leave: () => root.focus({ preventScroll: true }),
  });
  const chips = createChips((index) => commit(drawing, index));
  const notice = createNotice({ keep: () => commit(refitted(drawing, size)), stretch: () => commit({ ...drawing, size }) });
  const turned = () => !!drawing.size && !!drawing.regions.length
    && Math.abs(drawing.size[0] / drawing.size[1] / aspect() - 1) > 0.01;
  const root = make("div", {
    className: "ad-regions", tabIndex: 0, role: "application", "data-attention-director": "regions",
    title: "", // else the input's tooltip hangs over the canvas
    "data-capture-wheel": "true",
    "aria-label": "Regions of the picture. N adds a box, arrows move it, Shift and arrows change its size, W goes to the words.",
  }, toolbar.element, pad.element, strip.element, chips.element, arrivals.element, inspector.element, notice.element);

  /** @param {Tool} next */
  const useTool = (next) => {
    tool = next;
    refresh();
    root.focus({ preventScroll: true });
  };
  const copy = () => on.clipboard.set(serialise({ size, regions: [drawing.regions[selected]] }));
  const paste = () => {
    const found = parse(on.clipboard.get()).drawing.regions;
    if (!found.length) return tell("Nothing to paste: copy a region with Ctrl+C first.");
    commit({ ...drawing, regions: [...found, ...drawing.regions].slice(0, MAX_REGIONS) }, 0);
  };

  /** @param {import("./keys.js").Command} order */
  const act = (order) => {
    said = "";
    if (OF_A_REGION.has(order.do) && !drawing.regions[selected]) {
      return tell("Select a region first: click it, or press Page Down.");
    }
    switch (order.do) {
      case "tool": return useTool(order.tool);
      case "snap": snaps = !snaps; return refresh();
      case "undo": case "redo": return on.history(order.do);
      case "paste": return paste();
      case "words": return strip.element.focus({ preventScroll: true });
      case "brush": brushWidth = Math.min(0.3, Math.max(0.005, brushWidth + order.by)); return refresh();
      case "phrase": return inspector.focus();
      case "copy": return copy();
      case "drop":
        [gesture, draft, waiting] = [null, null, ""];
        pad.drop();
        return commit(drawing, -1);
    }
    if (order.do === "cut") copy();
    const next = edited(order, { drawing, selected, size, snaps, waiting });
    if (next) commit(...next);
  };
  root.addEventListener("keydown", (event) => {
    // A plain key in here must not reach the graph, where Delete removes the node.
    if (!event.ctrlKey && !event.metaKey && event.key !== "Tab") event.stopPropagation();
    const button = event.target instanceof HTMLButtonElement && event.key !== "Enter" && event.key !== " ";
    const order = event.target === root || button ? command(event) : null;
    if (!order) return;
    event.preventDefault();
    event.stopPropagation();
    act(order);
  });

  const refresh = () => {
    const all = spans();
    const stale = drawing.regions.map((r, i) => isStale(r.phrase, all[i]));
    toolbar.show(tool, brushWidth, snaps, picture);
    strip.show({ text: wording, tokens, spans: all, selected, empty: prompt.note || "Type a prompt above; its words appear here." });
    chips.show(drawing.regions, selected, stale);
    inspector.element.hidden = !drawing.regions.length;
    inspector.show(drawing.regions[selected], selected, !!stale[selected], prompt.editable && !prompt.note);
    notice.show({ drawing, selected, stale, problem, said, alarmed, waiting, uncertain: !!all[selected]?.some((span) => span.uncertain), turned: turned() });
    pad.redraw();
  };
  return {
    element: root,
    getValue: () => value,
    /** @param {unknown} next */
    setValue: (next) => {
      value = typeof next === "string" ? next : "";
      ({ drawing, error: problem } = parse(value));
      [draft, gesture] = [null, null];
      selected = Math.min(selected, drawing.regions.length - 1);
      refresh();
    },
    /** @param {Prompt} next */
    setPrompt: (next) => {
      if (JSON.stringify(next) === JSON.stringify(prompt)) return;
      [prompt, wording, tokens] = [next, next.rows.join("\n"), tokeniseRows(next.rows)];
      refresh();
    },
    /** @param {number} width @param {number} height */
    setSize: (width, height) => {
      if (!(width > 0 && height > 0) || (width === size[0] && height === size[1])) return;
      size = [width, height];
      pad.setAspect(aspect());
      refresh();
    },
    /** @param {string} choice @param {HTMLImageElement | null} image */
    setBackground: (choice, image) => {
      [picture, background] = [choice, image];
      refresh();
    },
    /** Regions that come by wire; they lie behind the drawn ones. @param {import("./wired.js").Wired} next */
    setWired: (next) => {
      arrivals.setWired(next);
      refresh();
    },
    session: () => ({ tool, selected, snaps, brushWidth }),
    /** What a person had chosen before the node was built anew. @param {{ tool: Tool, selected: number, snaps: boolean, brushWidth: number }} old */
    resume: (old) => {
      ({ tool, snaps, brushWidth } = old);
      selected = Math.min(old.selected, drawing.regions.length - 1);
      refresh();
    },
    refresh,
    destroy: () => pad.destroy(),
  };
}
