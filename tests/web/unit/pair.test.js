import { align } from "../../../web/pair/align.js";
import { weightOf, withWeight } from "../../../web/pair/reweight.js";

const pairs = (source, target) => align(source, target).map(({ kind, source: a, target: b }) =>
  [kind, a && source.slice(a.start, a.end), b && target.slice(b.start, b.end)]);

test("words that stayed, changed, came and went", () => {
  expect(pairs("a cat on a mat", "a dog on a mat")).toEqual([["same", "a", "a"], ["changed", "cat", "dog"],
    ["same", "on", "on"], ["same", "a", "a"], ["same", "mat", "mat"]]);
  expect(pairs("a cat", "a fluffy cat")).toEqual([["same", "a", "a"], ["added", null, "fluffy"], ["same", "cat", "cat"]]);
  expect(pairs("a cat", "a fluffy dog")).toEqual([["same", "a", "a"], ["added", null, "fluffy"], ["changed", "cat", "dog"]]);
  expect(pairs("a red cat", "a cat")).toEqual([["same", "a", "a"], ["removed", "red", null], ["same", "cat", "cat"]]);
  expect(pairs("A Cat", "a (cat:1.2)")).toEqual([["same", "A", "a"], ["same", "Cat", "cat"]]);
  expect(pairs("", "a cat").map(([kind]) => kind)).toEqual(["added", "added"]);
  expect(pairs("", "")).toEqual([]);
});

test("every word of both stands in exactly one column, in order", () => {
  const [source, target] = ["one two three four two", "zero two four three two five"];
  const columns = pairs(source, target);
  expect(columns.flatMap(([, a]) => a ?? []).join(" ")).toBe(source);
  expect(columns.flatMap(([, , b]) => b ?? []).join(" ")).toBe(target);
});

test("weights are read and written a line at a time", () => {
  const text = "snow: 1.8\nnot a line\nembedding:x: 0.5";
  expect(weightOf(text, "Snow")).toBe(1.8);
  expect(weightOf(text, "embedding:x")).toBe(0.5);
  expect(weightOf(text, "mountain")).toBe(1);
  expect(withWeight(text, "snow", 2)).toBe("snow: 2\nnot a line\nembedding:x: 0.5");
  expect(withWeight(text, "snow", 1)).toBe("not a line\nembedding:x: 0.5");
  expect(withWeight("", "cat#2", 0)).toBe("cat#2: 0");
  expect(withWeight("a: 1.5\na: 2", "a", 0.30000001)).toBe("a: 0.3");
  expect(withWeight("", "a", 1)).toBe("");
});
