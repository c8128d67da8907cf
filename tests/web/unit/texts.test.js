import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { said, setTexts, t } from "../../../web/shared/texts.js";

const ROOT = join(import.meta.dirname, "../../..");
const LANGUAGES = ["en", "zh", "ja"];
const files = readdirSync(join(ROOT, "web"), { recursive: true }).filter((name) => name.endsWith(".js"));
const sources = files.map((name) => [name, readFileSync(join(ROOT, "web", name), "utf8")]);
const textsOf = (language) => JSON.parse(readFileSync(join(ROOT, "locales", language, "main.json"), "utf8")).attentionDirector;
const CALL = /(?<![\w.])(?:t|said)\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')/g;
const value = (literal) => JSON.parse(literal[0] === '"' ? literal : `"${literal.slice(1, -1).replaceAll('"', '\\"')}"`);
const spoken = new Set(sources.flatMap(([, source]) => [...source.matchAll(CALL)].map(([, literal]) => value(literal))));
const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort();

afterEach(() => setTexts({}));

test.each(LANGUAGES)("%s has a text for each that the editors say, and no other", (language) => {
  expect(Object.keys(textsOf(language)).sort()).toEqual([...spoken].sort());
});

test.each(LANGUAGES)("the texts of %s have the same parts as the English ones", (language) => {
  const texts = Object.entries(textsOf(language));
  for (const [english, text] of texts) expect([english, places(text)]).toEqual([english, places(english)]);
  if (language === "en") for (const [english, text] of texts) expect(text).toBe(english);
  else expect(texts.filter(([english, text]) => english === text)).toEqual([]);
});

test.each(sources)("%s says nothing that was put together before it was looked up", (_, source) => {
  expect(source).not.toMatch(/(?<![\w.])(?:t|said)\(\s*`/);
});

// What a person reads: a tooltip, a name for a screen reader, words on a button.
const BARE = /(?:title|"aria-label"|placeholder): ?["`][A-Za-z]|textContent = ["`][A-Za-z]|paintHint\([\w, ]+, ["`]|told\([\w.()]+, ["`]/;
test.each(sources)("%s says nothing in English alone", (_, source) => {
  expect(source.split("\n").filter((line) => BARE.test(line))).toEqual([]);
});

test("parts are put in as text, and what has no translation stays English", () => {
  setTexts({ "Use {words}": "使用{words}", odd: 3, empty: "" });
  expect(t("Use {words}", { words: "{words} <b>" })).toBe("使用{words} <b>");
  expect(t("Use {words}")).toBe("使用{words}");
  expect([t("odd"), t("empty"), said("x"), t("{a|b} {constructor}")]).toEqual(["odd", "empty", "x", "{a|b} {constructor}"]);
  for (const wrong of [null, undefined, "text", 3, []]) setTexts(wrong);
  expect(t("Use {words}", { words: "it" })).toBe("Use it");
});
