import { readFileSync } from "node:fs";
import { wiredBoxes } from "../../../web/regions/box_source.js";
import { NONE, ofBoxes, parseWired, wiredSentence } from "../../../web/regions/wired.js";

const told = (...regions) => JSON.stringify({ version: 1, left_out: 0, regions });
const EVIL = '<img src=x onerror="globalThis.hurt = true">';

test("boxes and runs of a run", () => {
  const found = parseWired(told({ phrase: "red hat", strength: 0.5, layouts: 1, boxes: [[0.1, 0.2, 0.3, 0.4]] },
    { phrase: EVIL, strength: 1, layouts: 4, size: [4, 2], runs: [1, 2, 2, 2, 1] }));
  expect(found.regions[0]).toMatchObject({ phrase: "red hat", strength: 0.5, boxes: [[0.1, 0.2, 0.3, 0.4]] });
  expect(found.regions[1]).toMatchObject({ phrase: EVIL, boxes: [[0.25, 0, 0.75, 1]] });
  expect(wiredSentence(found)).toBe("2 wired regions (dashed), the first of 4 layouts");
});

test("what a run cannot have told is nothing, and nothing throws", () => {
  for (const text of ["", undefined, 3, "{", "[]", '{"version": 2, "regions": []}', told({ boxes: [["a", 0, 1, 1]] }),
    told({ size: [1e9, 1e9], runs: [1] }), told({ size: [2, 2], runs: "x" }), told({ size: [0, 2], runs: [] }),
    told({ size: [2, 2], runs: [4] }), told({ boxes: [] })]) expect(parseWired(text).regions).toEqual([]);
  expect(parseWired(told({ size: [2, 2], runs: [0, 1e12] })).regions[0].boxes).toEqual([[0, 0, 1, 1]]);
  expect(wiredSentence(NONE)).toBe("");
  expect(wiredSentence(ofBoxes([{ box: [0, 0, 1, 1], phrase: "x", strength: 1 }]))).toBe("1 wired region (dashed)");
});

/** A graph of nodes { id: [type, widgets] } and links [from, slot, to, input]. */
function graph(nodes, wires) {
  const links = new Map();
  const all = { links, nodes: [], getNodeById: (id) => all.nodes.find((n) => n.id === id) ?? null };
  for (const [id, [type, values, more]] of Object.entries(nodes)) {
    const widgets = Object.entries(values ?? {}).map(([name, value]) => ({ name, value }));
    all.nodes.push({ id, type, mode: 0, graph: all, inputs: [], widgets, ...more });
  }
  wires.forEach(([from, slot, to, name], i) => {
    links.set(i, { id: i, origin_id: from, origin_slot: slot, target_id: to, target_slot: 0 });
    all.getNodeById(to).inputs.push({ name, type: "*", link: i });
  });
  return all.getNodeById("p");
}
const PROMPT = ["RegionPrompt"];
const BOXES = (values = {}, more = {}) => ["AttnDirRegionsFromBoxes", { phrases: "star\n\ntree ", width: 200, height: 100, strength: 0.8, ...values }, more];
const DRAWN = ["CreateBoundingBoxes", { width: 100, height: 50, editor_state: [
  { x: 10, y: 5, width: 20, height: 10, metadata: { desc: " red hat " } }, { x: 50, y: 25, width: 50, height: 25, metadata: { desc: "" } }] }];
const toPrompt = ["b", 0, "p", "regions"];

test("the boxes of the host's editor are known before any run", () => {
  const pixels = wiredBoxes(graph({ p: PROMPT, b: BOXES(), c: DRAWN }, [toPrompt, ["c", 1, "b", "bboxes"]]));
  const elements = wiredBoxes(graph({ p: PROMPT, b: BOXES(), c: DRAWN }, [toPrompt, ["c", 2, "b", "bboxes"]]));
  expect(elements.map(({ box, phrase }) => [phrase, box.map((n) => Math.round(n * 1e6) / 1e6)])).toEqual([["red hat", [0.1, 0.1, 0.3, 0.3]], ["", [0.5, 0.5, 1, 1]]]);
  expect(pixels).toEqual(elements);
  const far = ["CreateBoundingBoxes", { width: 100, height: 50, editor_state: [{ x: 90, y: 5, width: 20, height: 10 }] }];
  expect(wiredBoxes(graph({ p: PROMPT, b: BOXES(), c: far }, [toPrompt, ["c", 1, "b", "bboxes"]]))).toBeNull();
});

test("boxes written as text are known too", () => {
  const text = (value) => wiredBoxes(graph({ p: PROMPT, b: BOXES(), t: ["PrimitiveStringMultiline", { value }] }, [toPrompt, ["t", 0, "b", "bboxes"]]));
  const box = { x: 20, y: 10, width: 60, height: 30 };
  const wanted = [[0.1, 0.1, 0.4, 0.4]];
  for (const value of [box, [box], [[box]]]) expect(text(JSON.stringify(value)).map((b) => b.box)).toEqual(wanted);
  expect(text('[{"bbox": [100, 100, 400, 400], "desc": "cat"}]')[0]).toEqual({ box: wanted[0], phrase: "cat", strength: 0.8 });
  expect(text("")).toEqual([]);
  for (const value of ["{", "[3]", '[{"x": 1}]', '[{"bbox": [1]}]', "null", '"x"', '[{"bbox": 3}]']) expect(text(value)).toBeNull();
});

const FORMATS = JSON.parse(readFileSync(new URL("../boxes.json", import.meta.url), "utf8"));
test.each(FORMATS)("boxes as in the node: $boxes", ({ boxes, found }) => {
  const t = ["PrimitiveString", { value: JSON.stringify(boxes) }];
  const read = wiredBoxes(graph({ p: PROMPT, b: BOXES({ phrases: "" }), t }, [toPrompt, ["t", 0, "b", "bboxes"]]));
  const near = (box) => box.map((n) => Math.round(n * 1e6) / 1e6);
  expect(read && read.map(({ box, phrase }) => [near(box), phrase])).toEqual(found);
});

test("a chain is read front first, and only a run can tell the rest", () => {
  const nodes = { p: PROMPT, b: BOXES(), a: BOXES({ phrases: "behind" }), t: ["PrimitiveString", { value: '{"x":0,"y":0,"width":9,"height":9}' }], m: ["AttnDirRegion"] };
  const both = [toPrompt, ["t", 0, "b", "bboxes"], ["t", 0, "a", "bboxes"]];
  expect(wiredBoxes(graph(nodes, [...both, ["a", 0, "b", "regions"]])).map((r) => r.phrase)).toEqual(["star", "behind"]);
  expect(wiredBoxes(graph(nodes, [...both, ["m", 0, "b", "regions"]]))).toBeNull();
  expect(wiredBoxes(graph({ p: PROMPT, b: BOXES(), d: ["Detector"] }, [toPrompt, ["d", 0, "b", "bboxes"]]))).toBeNull();
  expect(wiredBoxes(graph({ p: PROMPT, b: BOXES({}, { mode: 4 }), c: DRAWN }, [toPrompt, ["c", 1, "b", "bboxes"]]))).toBeNull();
  expect(wiredBoxes(graph({ p: PROMPT, b: BOXES(), c: DRAWN, d: ["Detector"] }, [toPrompt, ["c", 1, "b", "bboxes"], ["d", 0, "c", "bboxes"]]))).toBeNull();
  expect(wiredBoxes(graph({ p: PROMPT, b: BOXES(), c: DRAWN, s: ["Text"] }, [toPrompt, ["c", 1, "b", "bboxes"], ["s", 0, "b", "phrases"]]))).toBeNull();
  expect(wiredBoxes(graph({ p: PROMPT }, []))).toEqual([]);
});

test("a ring of wires ends", () => {
  const t = ["PrimitiveString", { value: "[]" }];
  expect(wiredBoxes(graph({ p: PROMPT, b: BOXES(), t }, [toPrompt, ["b", 0, "b", "regions"], ["t", 0, "b", "bboxes"]]))).toBeNull();
});
