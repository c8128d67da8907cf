import { behind } from "../../../web/wiring/downstream.js";
import { sentence, withoutModel } from "../../../web/wiring/trace.js";

/** A graph of nodes { id: [type, inputs, outputs] } and links "from.slot > to.slot". */
function graph(nodes, wires) {
  const links = new Map();
  const made = { links, nodes: [], getNodeById: (id) => made.nodes.find((n) => n.id === id) ?? null };
  for (const [id, [type, inputs, outputs]] of Object.entries(nodes)) {
    const slots = (types) => types.map((t) => ({ name: t.toLowerCase(), type: t, link: null, links: [] }));
    made.nodes.push({ id, type, title: type, mode: 0, graph: made, inputs: slots(inputs), outputs: slots(outputs) });
  }
  wires.forEach(([from, out, to, into], i) => {
    links.set(i, { id: i, origin_id: from, origin_slot: out, target_id: to, target_slot: into });
    made.getNodeById(from).outputs[out].links.push(i);
    made.getNodeById(to).inputs[into].link = i;
  });
  return (id) => made.getNodeById(id);
}

const LOADER = ["Loader", [], ["MODEL"]];
const OURS = ["RegionPrompt", ["MODEL"], ["MODEL", "CONDITIONING"]];
const SAMPLER = ["KSampler", ["MODEL", "CONDITIONING"], ["LATENT"]];
const BASE = { l: LOADER, o: OURS, s: SAMPLER };
const names = (node) => withoutModel(node).map((n) => n.id);

test("a sampler with our prompt and another's model is found", () => {
  expect(names(graph(BASE, [["l", 0, "o", 0], ["l", 0, "s", 0], ["o", 1, "s", 1]])("o"))).toEqual(["s"]);
});

test("a sampler with both is well", () => {
  expect(names(graph(BASE, [["l", 0, "o", 0], ["o", 0, "s", 0], ["o", 1, "s", 1]])("o"))).toEqual([]);
});

test("a sampler that compares takes the plain prompt and the model from before", () => {
  const at = graph({ ...BASE, o: ["RegionPrompt", ["MODEL"], ["MODEL", "CONDITIONING", "CONDITIONING"]] }, [["l", 0, "o", 0], ["l", 0, "s", 0], ["o", 2, "s", 1]]);
  expect(names(at("o"))).toEqual(["s"]);
  at("o").outputs[2].name = "plain";
  expect(names(at("o"))).toEqual([]);
  expect(behind(at("o"))).toEqual([]);
});

test("wires may lead through LoRA loaders, control nets and reroutes", () => {
  const nodes = { ...BASE, lora: ["Lora", ["MODEL"], ["MODEL"]], net: ["ControlNet", ["CONDITIONING"], ["CONDITIONING"]],
    r: ["Reroute", ["*"], ["*"]] };
  const prompt = [["o", 1, "r", 0], ["r", 0, "net", 0], ["net", 0, "s", 1]];
  expect(names(graph(nodes, [["o", 0, "lora", 0], ["lora", 0, "s", 0], ...prompt])("o"))).toEqual([]);
  expect(names(graph(nodes, [["l", 0, "lora", 0], ["lora", 0, "s", 0], ...prompt])("o"))).toEqual(["s"]);
});

test("a chain of our nodes is well, and a guider counts as a sampler", () => {
  const nodes = { ...BASE, second: ["IdentityInject", ["MODEL", "CONDITIONING"], ["MODEL", "CONDITIONING"]],
    g: ["CFGGuider", ["MODEL", "CONDITIONING"], ["GUIDER"]] };
  const chain = [["o", 0, "second", 0], ["o", 1, "second", 1], ["second", 1, "g", 1]];
  expect(names(graph(nodes, [...chain, ["second", 0, "g", 0]])("o"))).toEqual([]);
  expect(names(graph(nodes, [...chain, ["l", 0, "g", 0]])("o"))).toEqual(["g"]);
});

test("what cannot be known is not marked", () => {
  expect(names(graph(BASE, [["o", 1, "s", 1]])("o"))).toEqual([]); // no model at all: the host says so itself
  const at = graph(BASE, [["l", 0, "s", 0], ["o", 1, "s", 1]]);
  at("s").mode = 2;
  expect(names(at("o"))).toEqual([]);
  expect(names({ type: "RegionPrompt" })).toEqual([]);
});

test("a ring of wires ends", () => {
  const nodes = { ...BASE, a: ["A", ["CONDITIONING"], ["CONDITIONING"]], b: ["B", ["CONDITIONING"], ["CONDITIONING"]] };
  expect(names(graph(nodes, [["a", 0, "b", 0], ["b", 0, "a", 0], ["o", 1, "s", 1], ["l", 0, "s", 0]])("o"))).toEqual(["s"]);
});

test("the sentence names the sampler", () => {
  expect(sentence([])).toBe("");
  expect(sentence([{ type: "KSampler", title: "My sampler" }])).toContain('"My sampler" takes this node\'s positive but not its model');
});
