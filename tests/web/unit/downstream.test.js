import { choiceOf, resultNode } from "../../../web/regions/backdrop.js";
import { behind, latentSize } from "../../../web/wiring/downstream.js";
import { ownerOf } from "../../../web/wiring/trace.js";

/** A graph of nodes { id: [type, inputs, outputs, widgets] } and links [from, slot, to, slot]. */
function graph(nodes, wires) {
  const links = new Map();
  const made = { links, nodes: [], getNodeById: (id) => made.nodes.find((n) => n.id === id) ?? null };
  for (const [id, [type, inputs, outputs, values = {}]] of Object.entries(nodes)) {
    const slots = (types) => types.map((t) => ({ name: t.toLowerCase(), type: t, link: null, links: [] }));
    const widgets = Object.entries(values).map(([name, value]) => ({ name, value }));
    made.nodes.push({ id, type, mode: 0, graph: made, inputs: slots(inputs), outputs: slots(outputs), widgets });
  }
  wires.forEach(([from, out, to, into], i) => {
    links.set(i, { id: i, origin_id: from, origin_slot: out, target_id: to, target_slot: into });
    made.getNodeById(from).outputs[out].links.push(i);
    made.getNodeById(to).inputs[into].link = i;
  });
  return (id) => made.getNodeById(id);
}

const NODES = {
  o: ["RegionPrompt", ["MODEL"], ["MODEL", "CONDITIONING", "MASK", "IMAGE"]],
  s: ["KSampler", ["MODEL", "CONDITIONING", "LATENT"], ["LATENT"]],
  e: ["EmptyLatentImage", [], ["LATENT"], { width: 192, height: 96 }],
  d: ["VAEDecode", ["LATENT"], ["IMAGE"]], p: ["SaveImage", ["IMAGE"], []], m: ["MaskPreview", ["MASK"], []], v: ["PreviewImage", ["IMAGE"], []],
};
const WIRES = [["o", 0, "s", 0], ["o", 1, "s", 1], ["e", 0, "s", 2], ["s", 0, "d", 0], ["d", 0, "p", 0], ["o", 2, "m", 0], ["o", 3, "v", 0]];
const ids = (nodes) => nodes.map((n) => n.id).sort().join("");

test("behind a node is what its model and prompt lead to, and not what its masks and its preview do", () => {
  expect(ids(behind(graph(NODES, WIRES)("o")))).toBe("dps");
  expect(behind({ type: "RegionPrompt" })).toEqual([]);
});

test("the latent's size is the picture's", () => {
  expect(latentSize(graph(NODES, WIRES)("o"))).toEqual([192, 96]);
  expect(latentSize(graph(NODES, WIRES.slice(2))("o"))).toBeNull();
  const repeated = { ...NODES, r: ["RepeatLatentBatch", ["LATENT"], ["LATENT"]], x: ["Reroute", ["*"], ["*"]] };
  const through = [...WIRES.filter(([, , to, into]) => to !== "s" || into !== 2), ["e", 0, "r", 0], ["r", 0, "x", 0], ["x", 0, "s", 2]];
  expect(latentSize(graph(repeated, through)("o"))).toEqual([192, 96]);
});

test("guiders lead to their sampler, and a second pass begins where the first does", () => {
  const nodes = { ...NODES, g: ["CFGGuider", ["MODEL", "CONDITIONING"], ["GUIDER"]], s: ["SamplerCustomAdvanced", ["GUIDER", "LATENT"], ["LATENT"]],
    u: ["LatentUpscaleBy", ["LATENT"], ["LATENT"]], t: ["KSampler", ["MODEL", "CONDITIONING", "LATENT"], ["LATENT"]] };
  const wires = [["o", 0, "g", 0], ["o", 1, "g", 1], ["g", 0, "s", 0], ["e", 0, "s", 1], ["s", 0, "u", 0], ["u", 0, "t", 2], ["o", 0, "t", 0], ["o", 1, "t", 1]];
  expect(latentSize(graph(nodes, wires)("o"))).toEqual([192, 96]);
});

test("what the pack refuses in a sampler is shown on the node whose model it uses", () => {
  const nodes = { ...NODES, l: ["LoraLoaderModelOnly", ["MODEL"], ["MODEL"]], a: ["AttnDirRecord", ["MODEL"], ["MODEL"]], g: ["CFGGuider", ["MODEL"], ["GUIDER"]],
    x: ["SamplerCustomAdvanced", ["GUIDER"], ["LATENT"]] };
  const at = graph(nodes, [["o", 0, "a", 0], ["a", 0, "l", 0], ["l", 0, "s", 0], ["o", 0, "g", 0], ["g", 0, "x", 0]]);
  expect(["s", "x", "o", "l"].map((id) => ownerOf(at(id))?.id)).toEqual(["a", "o", "o", "a"]);
  expect([ownerOf(at("d")), ownerOf(null)]).toEqual([null, null]);
});

test("what cannot be known is no size", () => {
  const encoded = { ...NODES, e: ["VAEEncode", ["IMAGE"], ["LATENT"]] };
  expect(latentSize(graph(encoded, WIRES)("o"))).toBeNull();
  const at = graph(NODES, WIRES);
  at("e").inputs.push({ name: "width", type: "INT", link: 7 });
  expect(latentSize(at("o"))).toBeNull();
  const two = { ...NODES, f: ["EmptyLatentImage", [], ["LATENT"], { width: 64, height: 64 }], t: NODES.s };
  const wires = [...WIRES, ["o", 0, "t", 0], ["o", 1, "t", 1], ["f", 0, "t", 2]];
  expect(latentSize(graph(two, wires)("o"))).toBeNull();
  expect(latentSize(graph({ ...two, f: NODES.e }, wires)("o"))).toEqual([192, 96]);
});

test("the last result is the picture that came last behind the node", () => {
  const nodes = { ...NODES, q: ["SaveImage", ["IMAGE"], []], r: ["AttnDirReadout", ["IMAGE"], []], k: ["SaveImage", ["IMAGE"], []] };
  const node = graph(nodes, [...WIRES, ["d", 0, "q", 0], ["d", 0, "r", 0]])("o");
  const image = { images: [{ filename: "a.png" }] };
  const app = (...shown) => ({ nodeOutputs: Object.fromEntries(shown.map((id) => [id, image])) });
  expect(resultNode(app("v", "m", "r", "k"), node, "v")).toBeNull();
  expect(resultNode(app("p", "v"), node, "").id).toBe("p");
  expect(resultNode(app("p", "q"), node, "p").id).toBe("p");
  expect(resultNode(app("p", "q"), node, "q").id).toBe("q");
  expect(["p", "q"]).toContain(resultNode(app("p", "q"), node, "v").id);
});

test("a chart that a readout makes is no result", () => {
  const nodes = { ...NODES, r: ["AttnDirReadout", ["IMAGE"], ["IMAGE"]], k: ["SaveImage", ["IMAGE"], []] };
  const node = graph(nodes, [...WIRES, ["d", 0, "r", 0], ["r", 0, "k", 0]])("o");
  const image = { images: [{ filename: "a.png" }] };
  expect(resultNode({ nodeOutputs: { k: image, p: image } }, node, "k").id).toBe("p");
});

test("what was chosen before there was a last result stays chosen", () => {
  expect(choiceOf({})).toEqual({ choice: "result", hidden: false });
  expect(choiceOf({ properties: { attention_director_background: "" } })).toEqual({ choice: "result", hidden: true });
  expect(choiceOf({ properties: { attention_director_background: "node:7" } })).toEqual({ choice: "node:7", hidden: false });
  expect(choiceOf({ properties: { attention_director_background: "node:7", attention_director_background_hidden: true } }))
    .toEqual({ choice: "node:7", hidden: true });
});
