import { outputOf } from "../../../web/shared/host.js";
import { addressOf, choices, nodeOf, picturesOf } from "../../../web/shared/pictures.js";

const image = (filename) => ({ filename, type: "temp", subfolder: "" });
const rootGraph = { id: "r", nodes: [] };
const inner = { id: "s", nodes: [] };
const app = { rootGraph, api: { apiURL: (path) => path }, nodeOutputs: {
  2: { images: [image("root.png"), image("second.png")] }, "s:2": { images: [image("inner.png")] } } };
const node = (graph, id, parts = {}) => {
  const made = { id, type: "T", title: `<b>${id}</b>`, graph, ...parts };
  graph.nodes.push(made);
  return made;
};
const outer = node(rootGraph, "2");
const within = node(inner, "2");
const self = node(rootGraph, "3", { imgs: [{ src: "own" }] });
const shown = node(rootGraph, "4", { imgs: [{ src: "a" }, { src: "b" }, { src: "c" }] });
const empty = node(rootGraph, "5");

test("nodes of a subgraph are told from those of the root with the same id", () => {
  expect(outputOf(app, outer).images[0].filename).toBe("root.png");
  expect(outputOf(app, within).images[0].filename).toBe("inner.png");
  expect(outputOf(app, empty)).toBeUndefined();
});

test("all pictures of a node: those that a run told of, which a node out of sight may not show yet, else those it shows", () => {
  expect(picturesOf(app, shown)).toEqual(["a", "b", "c"]);
  expect(picturesOf(app, outer).map((address) => new URLSearchParams(address.split("?")[1]).get("filename"))).toEqual(["root.png", "second.png"]);
  expect(picturesOf(app, { ...outer, imgs: [{ src: "old" }, { src: "old" }, { src: "old" }] })).toHaveLength(2);
  expect(picturesOf(app, empty)).toEqual([]);
});

test("choices name nodes that show something, but not the node itself", () => {
  expect(choices(app, self)).toEqual([["node:2", "#2 <b>2</b>"], ["node:4", "#4 <b>4</b>"]]);
  expect(nodeOf(self, "node:4")).toBe(shown);
  expect(nodeOf(self, "file:4")).toBeNull();
  expect(nodeOf(self, "node:99")).toBeNull();
  expect(addressOf(app, self, "node:4")).toBe("a");
  expect(addressOf(app, self, "node:99")).toBe("");
  expect(addressOf(app, self, "file:a b.png")).toContain("filename=a+b.png");
});
