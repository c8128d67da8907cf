import { readFileSync } from "node:fs";
import { completions, find, inserted, phraseOf, splitOccurrence, spoken, tokenise, tokeniseRows, units } from "../../../web/shared/words.js";

const text = (prompt, span) => span && prompt.slice(span.start, span.end);
const locate = (prompt, phrase) => text(prompt, find(tokenise(prompt), phrase)[0] ?? null);
const named = (prompt, first, last) => {
  const tokens = tokenise(prompt);
  const words = units(tokens);
  return phraseOf(prompt, tokens, words[first].first, words[last].last);
};

test("words as the text encoder cuts them", () => {
  expect(tokenise("A red-haired man's 24k ring, 猫が").map((t) => t.text))
    .toEqual(["a", "red", "-", "haired", "man", "'s", "2", "4", "k", "ring", ",", "猫", "が"]);
  expect(tokenise("Café naïve").map((t) => t.text)).toEqual(["café", "naïve"]);
  expect(tokenise("embedding:my_style, hat").map((t) => t.text)).toEqual(["embedding:my_style", ",", "hat"]);
});

test("words of every script are shown and picked whole", () => {
  const shown = (prompt) => units(tokenise(prompt)).map((u) => prompt.slice(u.start, u.end));
  expect(shown("рыжий кот, на крыше.")).toEqual(["рыжий", "кот", "на", "крыше"]);
  expect(shown("一只红色的猫，坐着")).toEqual(["一", "只", "红", "色", "的", "猫", "坐", "着"]);
  expect(shown("a 🐱, two 👩‍🚀 and 🇯🇵!")).toEqual(["a", "🐱", "two", "👩‍🚀", "and", "🇯🇵"]);
  expect(shown("हिन्दी नमस्ते cafe\u0301")).toEqual(["हिन्दी", "नमस्ते", "cafe\u0301"]);
  expect(locate("cafe\u0301 noir", "café")).toBe("cafe\u0301");
  expect(named("一只红色的猫", 2, 5)).toBe("红色的猫");
  expect(named("(红色:1.2)的猫", 0, 3)).toBe("红色 的猫");
  expect(locate("(红色:1.2)的猫", "红色 的猫")).toBe("红色:1.2)的猫");
  expect(named("1girl, red_hair", 1, 2)).toBe("red hair");
});

test("suggestions are words of the prompt, whatever signs are typed", () => {
  const offered = (prompt, typed) => completions(prompt, tokenise(prompt), typed);
  expect(offered("1girl, red_hair, blue_eyes", "red_")).toEqual(["red hair"]);
  expect(offered("рыжий кот", "ры")).toEqual(["рыжий", "рыжий кот"]);
  expect(offered("红色的猫，坐", "红色")).toEqual(["红色的", "红色的猫"]);
  expect(inserted("a dog", "red hat,")).toBe("a dog, red hat");
});

test("weights and comments are not spoken, and no place moves", () => {
  const prompt = "a (red (hat:1.2) on:0.5) \\(smile\\) /* not this */ dog // nor this\n😀 cat";
  expect(spoken(prompt)).toHaveLength(prompt.length);
  expect(tokenise(prompt).map((t) => t.text)).toEqual(["a", "red", "hat", "on", "smile", "dog", "😀", "cat"]);
  expect(tokenise("ratio 16:9 (really)").map((t) => t.text)).toEqual(["ratio", "1", "6", ":", "9", "really"]);
  for (const token of tokenise(prompt)) expect(prompt.slice(token.start, token.end).toLowerCase()).toBe(token.text);
});

test("a phrase is found whole, whatever its case and weights", () => {
  expect(locate("A Red Hat and a dog", "red hat")).toBe("Red Hat");
  expect(locate("a (red hat:1.3) dog", "red hat")).toBe("red hat");
  expect(locate("a red hat", "(red hat:1.2)")).toBe("red hat");
  expect(locate("a category", "cat")).toBeNull();
  expect(locate("a red big hat", "red hat")).toBeNull();
  expect(locate("a red, hat", "red hat")).toBeNull();
  expect(locate("a cat", "")).toBeNull();
});

test("occurrences are counted as in the nodes", () => {
  const prompt = "a cat, a dog, a cat";
  expect(find(tokenise(prompt), "cat#2")[0].start).toBe(16);
  expect(find(tokenise(prompt), "cat #2")[0].start).toBe(16);
  expect(find(tokenise(prompt), "cat#3")).toEqual([]);
  expect(splitOccurrence(" cat # 2 ")).toEqual({ words: "cat", occurrence: 2 });
  expect(splitOccurrence("cat#0")).toEqual({ words: "cat#0", occurrence: 1 });
  expect(named(prompt, 1, 1)).toBe("cat");
  expect(named(prompt, 5, 5)).toBe("cat#2");
  expect(named(prompt, 4, 5)).toBe("a cat#2");
});

test("a person points at words without their commas", () => {
  const prompt = "red-haired, \"don't\" (blue sky:1.2).";
  expect(units(tokenise(prompt)).map((u) => prompt.slice(u.start, u.end))).toEqual(["red-haired", "don't", "blue", "sky"]);
  expect(named("a (red:1.2) hat", 1, 2)).toBe("red hat");
  expect(find(tokenise("a (red:1.2) hat"), "red hat")).toHaveLength(1);
  expect(named("a   red\nhat", 1, 2)).toBe("red hat");
});

test("every phrase that can be picked is found again where it was picked", () => {
  const prompt = "a cat and a (red cat:1.2), a {red|blue} cat on 24 mats, embedding:x cat";
  const tokens = tokenise(prompt);
  const words = units(tokens);
  for (let i = 0; i < words.length; i++) {
    for (let j = i; j < Math.min(words.length, i + 4); j++) {
      const [span] = find(tokens, phraseOf(prompt, tokens, words[i].first, words[j].last));
      expect([span.start, span.end]).toEqual([words[i].start, words[j].end]);
    }
  }
});

test("words of a choice may not be drawn", () => {
  const tokens = tokenise("a {red|blue} hat");
  expect(find(tokens, "red")[0].uncertain).toBe(true);
  expect(find(tokens, "hat")[0].uncertain).toBe(false);
});

test("of several prompts each has its own phrases", () => {
  const rows = ["a green square", "a green square and a yellow star, a green star"];
  const [joined, tokens] = [rows.join("\n"), tokeniseRows(rows)];
  for (const token of tokens) expect(joined.slice(token.start, token.end).toLowerCase()).toBe(token.text);
  const places = (phrase) => find(tokens, phrase).map((span) => [span.start, joined.slice(span.start, span.end)]);
  expect(places("green square")).toEqual([[2, "green square"], [17, "green square"]]);
  expect(places("yellow star")).toEqual([[36, "yellow star"]]);
  expect(places("green#2")).toEqual([[51, "green"]]);
  expect(places("square a")).toEqual([]); // the end of one prompt and the beginning of the next
  const words = units(tokens);
  const pick = (first, last) => phraseOf(joined, tokens, words[first].first, words[last].last);
  expect(pick(4, 5)).toBe("green square");
  expect(pick(1, 4)).toBe("green square");
  expect(pick(11, 11)).toBe("green#2");
  expect(completions(joined, tokens, "square")).toEqual(["square and", "square and a", "square and a yellow"]);
});

test("suggestions go on from what is typed", () => {
  const prompt = "a red hat, a blue dog";
  expect(completions(prompt, tokenise(prompt), "re")).toEqual(["red", "red hat"]);
  expect(completions(prompt, tokenise(prompt), "Red ")).toEqual(["red hat"]);
  expect(completions(prompt, tokenise(prompt), "x")).toEqual([]);
  expect(completions(prompt, tokenise(prompt), "", 3)).toHaveLength(3);
  expect(completions("", tokenise(""), "a")).toEqual([]);
});

test("a phrase goes to the end of the prompt, where it is then found", () => {
  expect(inserted("a dog", "red hat")).toBe("a dog, red hat");
  expect(inserted("a dog, ", "red hat#2")).toBe("a dog, red hat");
  expect(inserted("", "red hat")).toBe("red hat");
  expect(locate(inserted("a dog", "red hat"), "red hat")).toBe("red hat");
});

const CASES = JSON.parse(readFileSync(new URL("../phrases.json", import.meta.url), "utf8"));
const PASTED = JSON.parse(readFileSync(new URL("../pasted.json", import.meta.url), "utf8"));
test.each(PASTED)("as people paste it: $phrase in $prompt", ({ prompt, phrase, found }) => {
  expect(locate(prompt, phrase)).toBe(found);
});

test.each(CASES)("as in the nodes: $phrase in $prompt", ({ prompt, phrase, found }) => {
  expect(find(tokenise(prompt), phrase).length > 0).toBe(found);
});
