import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setSayings, translated } from "../../../web/shared/sayings.js";

const ROOT = join(import.meta.dirname, "../../..");
const of = (language) => JSON.parse(readFileSync(join(ROOT, "locales", language, "main.json"), "utf8")).attentionDirectorServer;
const places = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
const TABLE = { "active in steps {span} of {total}": "{total} 中 {span}", "{count} regions": "领域 {count}", "nothing happened: {why}": "无：{why}",
  "the {what} is empty": "{what} 空", "{who} is not in the prompt; nearest: {near}. {advice}": "{who} 不在；{near}。{advice}", "Add it.": "加入。",
  "write {words}#1 and {words}#2": "{words} 1 2" };

beforeEach(() => setSayings(TABLE));
afterEach(() => setSayings({}));

test.each([
  ["active in steps 1-4 of 4; 2 regions; +0.3 s", "4 中 1-4; 领域 2; +0.3 s"],
  ["nothing happened: the mask is empty", "无：mask 空"],
  ['region 2 "a; b" is not in the prompt; nearest: "b". Add it.', 'region 2 "a; b" 不在；"b"。加入。'],
  ["write cat#1 and cat#2", "cat 1 2"],
  ["write cat#1 and dog#2", "write cat#1 and dog#2"],
  ["something new; 2 regions", "something new; 领域 2"],
  ["", ""],
])("%s", (line, said) => expect(translated(line)).toBe(said));

test("a phrase is no sentence, and no part of a text's own syntax is read", () => {
  setSayings({ "once": "{x}", "{words} occurs {often}": "{words}：{often}", odd: 3 });
  expect(translated('"once" occurs once')).toBe('"once"：{x}');
  expect(translated("odd")).toBe("odd");
  for (const wrong of [null, undefined, "text", 3, []]) setSayings(wrong);
  expect(translated("2 regions")).toBe("2 regions");
});

test.each(["zh", "ja"])("%s has a sentence for each English one, with the same parts", (language) => {
  const [english, texts] = [of("en"), of(language)];
  expect(Object.keys(texts)).toEqual(Object.keys(english));
  for (const [key, text] of Object.entries(texts)) expect([key, places(text)]).toEqual([key, places(key)]);
  expect(Object.entries(english).filter(([key, text]) => key !== text)).toEqual([]);
});
