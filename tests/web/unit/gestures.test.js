import { begin, moveRegion } from "../../../web/regions/gestures.js";
import { handleAt } from "../../../web/regions/hit_test.js";
import { region } from "../../../web/regions/drawing.js";
import { command } from "../../../web/regions/keys.js";
import { insidePolygon, simplified } from "../../../web/shared/geometry.js";

const one = region({ phrase: "a", boxes: [[0.2, 0.2, 0.6, 0.6]] });
const setting = (parts = {}) => ({
  drawing: { size: null, regions: [one] }, selected: -1, aspect: 1, step: [0, 0], width: 0.1, phrase: "", handle: "", ...parts,
});
const none = { join: false, cut: false };
const drag = (tool, state, points, keys = none) => {
  const gesture = begin(tool, state, points[0], keys);
  points.slice(1).forEach((point) => gesture.move(point));
  return gesture.end();
};

test("a box becomes the front region, selected, with the words that waited", () => {
  const { drawing, selected } = drag("box", setting({ phrase: "hat" }), [[0.9, 0.9], [0.7, 0.5]]);
  expect(selected).toBe(0);
  expect(drawing.regions).toHaveLength(2);
  expect(drawing.regions[0]).toMatchObject({ phrase: "hat", boxes: [[0.7, 0.5, 0.9, 0.9]] });
});

test("a box snaps and stays on the canvas", () => {
  const { drawing } = drag("box", setting({ step: [0.125, 0.125] }), [[0.1, 0.1], [1.7, 0.69]]);
  expect(drawing.regions[0].boxes).toEqual([[0.125, 0.125, 1, 0.75]]);
});

test("a click with the box tool selects and draws nothing", () => {
  const state = setting();
  expect(drag("box", state, [[0.3, 0.3]])).toEqual({ drawing: state.drawing, selected: 0 });
  expect(drag("box", state, [[0.9, 0.9]])).toEqual({ drawing: state.drawing, selected: -1 });
});

test("shift adds a part, alt cuts one out", () => {
  const joined = drag("box", setting({ selected: 0 }), [[0.7, 0.7], [0.9, 0.9]], { join: true, cut: false });
  expect(joined.drawing.regions[0].boxes).toEqual([[0.2, 0.2, 0.6, 0.6], [0.7, 0.7, 0.9, 0.9]]);
  const cut = drag("box", setting({ selected: 0 }), [[0.3, 0.3], [0.5, 0.5]], { join: false, cut: true });
  expect(cut.drawing.regions[0].strokes).toMatchObject([{ fill: true, erase: true }]);
  const after = drag("box", { ...setting({ selected: 0 }), drawing: cut.drawing }, [[0.7, 0.7], [0.9, 0.9]], { join: true, cut: false });
  expect(after.drawing.regions[0].boxes).toHaveLength(1);
  expect(after.drawing.regions[0].strokes).toMatchObject([{ erase: true }, { fill: true, erase: false }]);
});

test("select moves what it hits, resize pulls the handle's sides", () => {
  const { drawing } = drag("select", setting(), [[0.3, 0.3], [0.4, 0.5]]);
  drawing.regions[0].boxes[0].forEach((n, i) => expect(n).toBeCloseTo([0.3, 0.4, 0.7, 0.8][i]));
  expect(drag("select", setting({ selected: 0 }), [[0.9, 0.9], [0.8, 0.8]]).selected).toBe(-1);
  const wider = drag("box", setting({ selected: 0, handle: "e" }), [[0.6, 0.4], [0.8, 0.9]]);
  wider.drawing.regions[0].boxes[0].forEach((n, i) => expect(n).toBeCloseTo([0.2, 0.2, 0.8, 0.6][i]));
  const crossed = drag("box", setting({ selected: 0, handle: "e" }), [[0.6, 0.4], [0, 0.4]]);
  expect(crossed.drawing.regions[0].boxes[0][2]).toBeGreaterThan(0.2);
});

test("the brush paints into the selected region or a new one, the eraser only where something is", () => {
  const into = drag("brush", setting({ selected: 0 }), [[0.1, 0.1], [0.2, 0.1]]);
  expect(into.drawing.regions[0].strokes).toMatchObject([{ width: 0.1, erase: false, fill: false }]);
  const fresh = drag("brush", setting(), [[0.1, 0.1], [0.2, 0.1]]);
  expect(fresh.drawing.regions).toHaveLength(2);
  const state = setting();
  expect(drag("erase", state, [[0.9, 0.9], [0.8, 0.9]]).drawing).toBe(state.drawing);
  expect(drag("erase", state, [[0.3, 0.3], [0.4, 0.4]]).drawing.regions[0].strokes[0].erase).toBe(true);
});

test("a stroke joins the selected region where it meets it, else begins one of its own; Shift always joins", () => {
  const state = { ...setting(), selected: 0 };
  const [old] = state.drawing.regions;
  const [, , right, bottom] = old.boxes[0];
  const far = [[0.9, 0.95], [0.95, 0.95]];
  expect(drag("brush", state, far)).toMatchObject({ selected: 0, drawing: { regions: [{ boxes: [] }, old] } });
  expect(drag("brush", state, far, { join: true, cut: false }).drawing.regions[0].strokes).toHaveLength(1);
  const beside = [[right + state.width / 3, bottom - 0.01], [0.95, 0.95]];
  expect(drag("brush", state, beside).drawing.regions[0]).toMatchObject({ boxes: old.boxes, strokes: [{ erase: false }] });
  const into = [[0.95, 0.95], [right - 0.01, bottom - 0.01]];
  expect(drag("brush", state, into).drawing.regions[0].strokes).toHaveLength(1);
  expect(drag("brush", state, into).drawing.regions).toHaveLength(state.drawing.regions.length);
});

test("a lasso keeps its course with fewer points", () => {
  const circle = Array.from({ length: 200 }, (_, i) => [0.5 + 0.3 * Math.cos(i / 31.8), 0.5 + 0.3 * Math.sin(i / 31.8)]);
  const { drawing } = drag("lasso", setting(), circle);
  const [outline] = drawing.regions[0].polygons;
  expect(outline.length).toBeLessThan(80);
  expect(insidePolygon(outline, [0.5, 0.79])).toBe(true);
  expect(insidePolygon(outline, [0.5, 0.82])).toBe(false);
});

test("simplifying keeps ends and corners", () => {
  const line = [[0, 0], [0.1, 0.0001], [0.2, 0], [0.2, 0.1], [0.2, 0.2]];
  expect(simplified(line, 0.01)).toEqual([[0, 0], [0.2, 0], [0.2, 0.2]]);
  expect(simplified([[0, 0]], 0.01)).toEqual([[0, 0]]);
  const long = Array.from({ length: 20_000 }, (_, i) => [i / 20_000, Math.sin(i) / 10]);
  expect(simplified(long, 1)).toHaveLength(2);
});

test("keys", () => {
  const key = (name, parts = {}) => command({ key: name, ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...parts });
  expect(key("b")).toEqual({ do: "tool", tool: "box" });
  expect(key("ArrowLeft")).toEqual({ do: "nudge", x: -1, y: 0 });
  expect(key("ArrowDown", { shiftKey: true })).toEqual({ do: "grow", x: 0, y: 1 });
  expect(key("Delete")).toEqual({ do: "delete" });
  expect(key("c", { ctrlKey: true })).toEqual({ do: "copy" });
  expect(key("d", { metaKey: true })).toEqual({ do: "duplicate" });
  for (const own of ["s", "Enter", "z"]) expect(key(own, { ctrlKey: true })).toBeNull(); // the graph's
});

test("a point of an outline is moved, and with Alt taken away", () => {
  const lasso = region({ phrase: "a", polygons: [[[0.1, 0.1], [0.5, 0.1], [0.5, 0.5], [0.1, 0.5]]] });
  const state = setting({ drawing: { size: null, regions: [lasso] }, selected: 0 });
  expect(handleAt(lasso, 1, [0.5, 0.1], [300, 300])).toBe("point 0 1");
  const moved = drag("select", { ...state, handle: "point 0 1" }, [[0.5, 0.1], [0.7, 0.2]]);
  expect(moved.drawing.regions[0].polygons).toEqual([[[0.1, 0.1], [0.7, 0.2], [0.5, 0.5], [0.1, 0.5]]]);
  const fewer = drag("lasso", { ...state, handle: "point 0 1" }, [[0.5, 0.1]], { join: false, cut: true });
  expect(fewer.drawing.regions[0].polygons).toEqual([[[0.1, 0.1], [0.5, 0.5], [0.1, 0.5]]]);
  const least = drag("lasso", { ...state, drawing: fewer.drawing, handle: "point 0 1" }, [[0.5, 0.1]], { join: false, cut: true });
  expect(least).toBeNull();
  expect(drag("box", { ...state, handle: "nw" }, [[0.1, 0.1], [0.3, 0.1]]).drawing.regions[0].polygons[0][0]).toEqual([0.3, 0.1]);
});

test("a locked region is neither hit, moved, joined nor painted into; a hidden one is not hit", () => {
  const held = (mark) => setting({ drawing: { size: null, regions: [{ ...one, [mark]: true }] } });
  for (const mark of ["locked", "hidden"]) expect(drag("select", held(mark), [[0.3, 0.3], [0.4, 0.4]]).selected).toBe(-1);
  const state = { ...held("locked"), selected: 0 };
  expect(moveRegion(state, 0, [0.3, 0.3]).move([0.6, 0.6])).toEqual({ drawing: state.drawing, selected: 0 });
  expect(handleAt(state.drawing.regions[0], 1, [0.2, 0.2], [300, 300])).toBe("");
  expect(drag("box", state, [[0.7, 0.7], [0.9, 0.9]], { join: true, cut: false }).drawing.regions).toHaveLength(2);
  expect(drag("brush", state, [[0.3, 0.3], [0.4, 0.3]]).drawing.regions).toHaveLength(2);
});
