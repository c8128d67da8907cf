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

test.each([
  ['region 2 "red hat" is not in the prompt; nearest: "red coat". Add it to the prompt or choose other words.',
    '区域 2 "red hat" 不在提示词中；最接近的是 "red coat"。请把它加入提示词，或选择其他词语。'],
  ['scene 1 "a dog; a cat" lacks the subject "hero". Write it there, or once in prefix.',
    '场景 1 "a dog; a cat" 中没有主体 "hero"。请写在那里，或在 prefix 中写一次。'],
  ['"face.bin" cannot be read (it is cut off, or claims more than it holds); it may be cut off, get it again.',
    '无法读取 "face.bin"（它不完整，或声称的内容多于实际）；它可能不完整，请重新获取。'],
  ['"face.bin": unet.a is (4, 2), this model\'s (4, 3) and unet.b is (1), this model\'s (2); set strength_model to 0 or use an adapter for this model.',
    '"face.bin"：unet.a 是 (4, 2)，此模型的是 (4, 3) and unet.b 是 (1)，此模型的是 (2)；请把 strength_model 设为 0，或使用适合此模型的适配器。'],
  ["null-text inversion does not hold with the sampler of another pack with churn; use euler or ddim, or invert with method direct.",
    "null-text 反演不适用于带 churn 的采样器 （来自其他插件）；请使用 euler 或 ddim，或用方法 direct 反演。"],
  ["blend_words adds up maps over the whole run, which works on one GPU only; bypass the multi-GPU node or empty blend_words.",
    "blend_words 在整个运行中累加图，这只能在一个 GPU 上进行；请绕过多 GPU 节点，或 清空 blend_words。"],
  ["active in steps 1-4 of 4; 2 replace; 1 refine; local blend; +0.3 s", "在第 1-4 步起作用，共 4 步; 2 个替换; 1 个细化; 局部混合; +0.3 s"],
  ["regions: works; edits: left out", "regions：可用; edits：略去"],
])("whole sentences read well: %s", (line, said) => {
  setSayings(of("zh"));
  expect(translated(line)).toBe(said);
});
