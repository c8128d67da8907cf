// In plain Node, where there is no page: a helper that did anything on import would fail here.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const WEB = join(import.meta.dirname, "../../../web");
const files = readdirSync(WEB, { recursive: true }).filter((name) => name.endsWith(".js"));
const source = (name) => readFileSync(join(WEB, name), "utf8");
const registers = (name) => source(name).includes("scripts/app.js");

test.each(files.filter((name) => !registers(name)))("%s does nothing when it is loaded", async (name) => {
  const before = Object.getOwnPropertyNames(globalThis);
  const exported = await import(join(WEB, name));
  expect(Object.keys(exported).length).toBeGreaterThan(0);
  expect(Object.getOwnPropertyNames(globalThis)).toEqual(before);
});

test("files that register themselves lie at the top and register once", () => {
  const found = files.filter(registers);
  expect(found.filter((name) => name.includes("/") || name.includes("\\"))).toEqual([]);
  for (const name of found) expect(source(name).match(/registerExtension/g)).toHaveLength(1);
});

test.each(files)("%s names nothing that is not published with it", (name) => {
  expect(source(name)).not.toMatch(/\b(tests|lab)\//);
});

test.each(files)("%s builds no markup and calls nothing from outside", (name) => {
  expect(source(name)).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?:\/\/(?!www\.w3\.org)/);
  for (const [, from] of source(name).matchAll(/from "([^"]+)"/g)) expect(from).toMatch(/^\.\.?\//);
});

// As for Python in tests/test_architecture.py: about 25 lines a function, and never more than these.
const MAX_FUNCTION = 40;
const modules = join(process.env.VITE_CACHE ?? "", "../node_modules");
const { parseAst } = await import(/* @vite-ignore */ join(modules, "rolldown/dist/parse-ast-index.mjs"));

/** Every function in a text with its first line and its length; a function within another counts in both. */
function functions(text) {
  const lineOf = (at) => text.slice(0, at).split("\n").length;
  const inside = (node) => {
    if (!node || typeof node !== "object") return [];
    const own = /Function/.test(node.type ?? "") ? [{ line: lineOf(node.start), lines: lineOf(node.end) - lineOf(node.start) + 1 }] : [];
    return [...own, ...Object.values(node).flatMap(inside)];
  };
  return inside(parseAst(text));
}

test("functions are measured, whatever their form", () => {
  const text = "function a() {\n}\nconst b = () => ({\n  c(x) {\n    return `}\n`; // }\n  },\n});\n";
  expect(functions(text)).toEqual([{ line: 1, lines: 2 }, { line: 3, lines: 6 }, { line: 4, lines: 4 }]);
});

test.each(files)("the functions of %s are short", (name) => {
  expect(functions(source(name)).filter(({ lines }) => lines > MAX_FUNCTION)).toEqual([]);
});

// Frontend 1.58 deprecates a slot's own link and links; where they are still read, an older one has nothing else.
test.each(files.filter((name) => name !== join("shared", "host.js")))("%s asks shared/host.js about wires", (name) => {
  expect(source(name)).not.toMatch(/(?:inputs?|outputs?|slot)\b[^\n]*\.links?\b/);
});
