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

test.each(files)("%s builds no markup and calls nothing from outside", (name) => {
  expect(source(name)).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?:\/\/(?!www\.w3\.org)/);
  for (const [, from] of source(name).matchAll(/from "([^"]+)"/g)) expect(from).toMatch(/^\.\.?\//);
});
