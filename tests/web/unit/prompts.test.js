import { promptOf } from "../../../web/shared/prompts.js";

/** A chain of nodes, each linked to the one before by its prompt: [type, values of its widgets]. */
function chain(...kinds) {
  const graph = { links: new Map(), getNodeById: (id) => nodes[id] ?? null };
  const nodes = kinds.map(([type, values], i) => ({
    id: i, type, graph, widgets: Object.entries(values).map(([name, value]) => ({ name, value })),
    inputs: [{ name: "text", link: i ? i : null }],
  }));
  nodes.forEach((_, i) => graph.links.set(i, { origin_id: i - 1 }));
  return nodes.at(-1);
}
const rows = (...kinds) => promptOf(chain(...kinds)).rows;
const REGION = ["RegionPrompt", { text: "ignored when linked" }];

test("a node's own prompt is one, and can be edited there", () => {
  expect(promptOf(chain(["RegionPrompt", { text: "a red hat\nand a dog" }])))
    .toEqual({ rows: ["a red hat\nand a dog"], editable: true, note: "", from: "0" });
});

test("a linked prompt brings the rows that its node makes", () => {
  expect(promptOf(chain(["AttnDirEncode", { text: "a cat" }], REGION))).toEqual({ rows: ["a cat"], editable: false, note: "", from: "0" });
  const lines = { text: "a cat\n\n  a dog ", one_prompt_per_line: true };
  expect(rows(["AttnDirEncode", lines], REGION)).toEqual(["a cat", "a dog"]);
  expect(rows(["AttnDirEncode", { ...lines, one_prompt_per_line: false }], REGION)).toEqual(["a cat\n\n  a dog "]);
  expect(rows(["AttentionEdit", { text: "a cat", targets: "a cat and a dog\n\na dog" }], REGION))
    .toEqual(["a cat", "a cat and a dog", "a dog"]);
  const story = { text: "in snow\non a sofa", prefix: "a cat ", suffix: ", oil" };
  expect(rows(["SharedSubjectAttention", story], REGION)).toEqual(["a cat in snow, oil", "a cat on a sofa, oil"]);
  expect(rows(["SharedSubjectAttention", { ...story, suffix: "at night" }], REGION))
    .toEqual(["a cat in snow at night", "a cat on a sofa at night"]);
});

test("through a chain of our nodes, and no further", () => {
  expect(rows(["AttnDirEncode", { text: "a cat" }], REGION, ["IdentityInject", { text: "" }])).toEqual(["a cat"]);
  const foreign = promptOf(chain(["CLIPTextEncode", { text: "a cat" }], REGION));
  expect(foreign.rows).toEqual([]);
  expect(foreign.note).toContain("another node");
});
