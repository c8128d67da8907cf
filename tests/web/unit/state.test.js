import { acted, isHeld, lacksRegion, pasted } from "../../../web/regions/commands.js";
import { parse, serialise } from "../../../web/regions/drawing.js";
import { beforeInsert, committed, FIRST, isTurned, picked, staleOf, spansOf, told, turnedSizes, withPrompt, withSize, withValue } from "../../../web/regions/state.js";
import * as sketch from "../../../web/sketch/state.js";
import { createStore } from "../../../web/shared/store.js";

const PROMPT = { rows: ["a red hat and a dog"], editable: true, note: "" };
const saved = (...phrases) => JSON.stringify({ version: 1, regions: phrases.map((phrase) => ({ phrase, boxes: [[0, 0, 0.5, 0.5]] })) });
const held = (...phrases) => withValue(withPrompt(FIRST, PROMPT), saved(...phrases));
const frozen = (value) => {
  Object.values(value).forEach((part) => part && typeof part === "object" && frozen(part));
  return Object.freeze(value);
};

test("no command changes a state in place, and every edit counts once", () => {
  const state = frozen({ ...held("red hat", "dog"), selected: 0 });
  const edits = [{ do: "new" }, { do: "nudge", x: 1, y: 0 }, { do: "grow", x: 1, y: 1 }, { do: "weigh", by: 0.05 },
    { do: "duplicate" }, { do: "delete" }, { do: "order", by: 1 }, { do: "off" }, { do: "clear" }];
  for (const order of edits) {
    const next = acted(state, order);
    expect([order.do, next.edits]).toEqual([order.do, 1]);
    expect(serialise(parse(next.value).drawing)).toBe(next.value);
  }
  for (const order of [{ do: "walk", by: 1 }, { do: "tool", tool: "lasso" }, { do: "snap" }, { do: "drop" }, { do: "brush", by: 0.005 },
    { do: "order", by: -1 }, { do: "undo" }, { do: "words" }]) expect(acted(state, order).edits).toBe(0);
});

test("a region keeps its number, and with it its colour, for life", () => {
  let state = { ...held("red hat", "dog"), selected: 0 };
  const numbers = () => state.drawing.regions.map((r) => r.number);
  expect(numbers()).toEqual([2, 1]);
  const after = (order) => (state = acted(state, order), numbers());
  expect(after({ do: "new" })).toEqual([3, 2, 1]);
  expect(after({ do: "order", by: 2 })).toEqual([2, 1, 3]);
  expect(after({ do: "duplicate" })).toEqual([2, 1, 4, 3]);
  state = { ...state, selected: 1 };
  expect(after({ do: "delete" })).toEqual([2, 4, 3]);
  expect(after({ do: "new" })).toEqual([1, 2, 4, 3]);
  state = pasted(state, saved("cat", "cow"));
  expect(numbers()).toEqual([6, 5, 1, 2, 4, 3]);
  expect(withValue(FIRST, state.value).drawing.regions.map((r) => r.number)).toEqual(numbers());
});

test("a region that is off keeps its strength", () => {
  const state = acted({ ...held("red hat", "dog"), selected: 1 }, { do: "off" });
  expect(state.drawing.regions.map((r) => [r.off, r.strength])).toEqual([[false, 1], [true, 1]]);
  expect(JSON.parse(state.value).regions.map((r) => r.off)).toEqual([undefined, true]);
  expect(withValue(FIRST, state.value).drawing.regions[1].off).toBe(true);
  expect(acted(state, { do: "off" }).drawing.regions[1].off).toBe(false);
});

test("a region is locked and hidden, and saved so", () => {
  let state = { ...held("red hat", "dog"), selected: 1 };
  expect(isHeld(state, { do: "delete" })).toBe(false);
  for (const mark of ["locked", "hidden"]) state = acted(state, { do: mark });
  expect(withValue(FIRST, state.value).drawing.regions[1]).toMatchObject({ locked: true, hidden: true, off: false });
  expect(["nudge", "grow", "cut", "delete"].map((what) => isHeld(state, { do: what }))).toEqual([true, true, true, true]);
  expect(["copy", "weigh", "order", "off", "locked"].map((what) => isHeld(state, { do: what }))).toEqual([false, false, false, false, false]);
});

test("a command for a region asks for one", () => {
  const state = held("dog");
  expect(lacksRegion(state, { do: "delete" })).toBe(true);
  expect(lacksRegion({ ...state, selected: 0 }, { do: "delete" })).toBe(false);
  expect(lacksRegion(state, { do: "new" })).toBe(false);
});

test("words are bound to the selected region, else select their own, else wait", () => {
  const state = held("dog");
  expect(picked({ ...state, selected: 0 }, 1, 2).drawing.regions[0].phrase).toBe("red hat");
  expect(picked(state, 5, 5)).toMatchObject({ selected: 0, waiting: "" });
  expect(picked(state, 1, 2)).toMatchObject({ selected: -1, waiting: "red hat", edits: 0 });
});

test("what is pasted lies in front, and nothing is said so", () => {
  const next = pasted(held("dog"), saved("red hat"));
  expect(next.drawing.regions.map((r) => r.phrase)).toEqual(["red hat", "dog"]);
  expect(next.selected).toBe(0);
  expect(pasted(held("dog"), "").said).toContain("Nothing to paste");
});

test("a drawing that is too long is refused, and the old one stays", () => {
  const state = held("dog");
  const full = committed(state, { ...state.drawing, regions: [{ ...state.drawing.regions[0], phrase: "x".repeat(1_000_001) }] });
  expect(full.said).toContain("The drawing is full");
  expect([full.drawing, full.edits]).toEqual([state.drawing, 0]);
});

test("size and prompt", () => {
  const state = committed(withSize(held("dog", "cat"), [512, 512]), { ...held("dog", "cat").drawing });
  expect(isTurned(state)).toBe(false);
  expect(isTurned(withSize(state, [1024, 512]))).toBe(true);
  expect(withSize(state, [512, 512])).toBe(state);
  expect(withPrompt(state, { ...PROMPT })).toBe(state);
  expect(staleOf(state, spansOf(state))).toEqual([false, true]);
  expect(beforeInsert({ ...state, selected: 1 }, "cat").edits).toBe(state.edits);
  expect(beforeInsert({ ...state, selected: 1 }, "cat#2").drawing.regions[1].phrase).toBe("cat");
});

test("a drawing without a size was made for the one that the node says", () => {
  const state = withSize(held("dog"), [192, 96], [128, 128]);
  expect(isTurned(state)).toBe(true);
  expect(turnedSizes(state)).toBe("128 x 128, but the picture is 192 x 96");
  const edited = acted({ ...state, selected: 0 }, { do: "weigh", by: 0.05 });
  expect(edited.drawing.size).toEqual([128, 128]);
  expect(isTurned(withSize(edited, [192, 96], [192, 96]))).toBe(true);
  expect(isTurned(withSize(held("dog"), [192, 96]))).toBe(false);
  expect(acted(withSize(FIRST, [192, 96], [128, 128]), { do: "new" }).drawing.size).toEqual([192, 96]);
});

test("a store tells of edits, and of nothing that the node itself has set", () => {
  const heard = [];
  const store = createStore(FIRST, { edited: (value) => heard.push(value), show: () => heard.push("shown"), draw: () => heard.push("drawn") });
  store.set(withValue(FIRST, saved("dog")));
  store.hold(told(store.get(), "x"));
  store.set(acted(store.get(), { do: "clear" }));
  expect(heard).toEqual(["shown", "drawn", "", "shown"]);
});

test("a stroke from its first point to the node", () => {
  let state = sketch.drawn(frozen({ ...sketch.FIRST }), [[0.2, 0.5]]);
  state = sketch.drawn(state, [[0.5, 0.5], [1.5, 0.5]]);
  expect(sketch.shownStrokes(state)).toHaveLength(1);
  expect(state.edits).toBe(0);
  state = sketch.lifted(state);
  expect(state.strokes[0].points).toEqual([[0.2, 0.5], [1, 0.5]]);
  expect([state.edits, state.line]).toEqual([1, null]);
  expect(sketch.lifted(state)).toBe(state);
  expect(sketch.withPen(state, 1000).px).toBe(64);
});
