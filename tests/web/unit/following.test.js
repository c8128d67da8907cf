import { changeOf, followed } from "../../../web/regions/following.js";
import { FIRST, replacement, spansOf, withPrompt, withValue } from "../../../web/regions/state.js";

const START = "a red circle and a blue square on a white background";
const of = (text, from = "1") => ({ rows: [text], editable: true, note: "", from });
const saved = (phrases) => JSON.stringify({ version: 1, regions: phrases.map((phrase) => ({ phrase, boxes: [[0, 0, 0.5, 0.5]] })) });
const held = (text, ...phrases) => withValue(withPrompt(FIRST, of(text)), saved(phrases));
const phrases = (state) => state.drawing.regions.map((region) => region.phrase);

/** The state after every key of a person who puts `typed` in the place of `gone`: backspaces or one selection, then letters. */
function typing(state, gone, typed, { selected = true, behind = "" } = {}) {
  const at = state.text.indexOf(gone + behind);
  if (at < 0) throw new Error(`${gone} is not in ${state.text}`);
  const [before, after] = [state.text.slice(0, at), state.text.slice(at + gone.length)];
  const keys = selected ? [] : [...gone].map((_, i) => before + gone.slice(0, gone.length - i - 1) + after);
  const letters = [...typed].map((_, i) => before + typed.slice(0, i + 1) + after);
  const texts = [...keys, ...(letters.length || !selected ? letters : [before + after])];
  return texts.reduce((now, text) => withPrompt(now, of(text)), state);
}

test("one piece that changed, and every place where it may be", () => {
  expect(changeOf("a red circle", "a red apple")).toEqual({ text: "a red circle", low: 6, high: 6, gone: 4, come: 3 });
  expect(changeOf("a", "a")).toMatchObject({ gone: 0, come: 0 });
  expect(changeOf("xaay", "xaaay")).toMatchObject({ low: 1, high: 3, gone: 0, come: 1 });
  expect(changeOf("red red hat", "red hat")).toMatchObject({ low: 0, high: 4, gone: 4, come: 0 });
  expect(changeOf("", "dog")).toMatchObject({ low: 0, high: 0, gone: 0, come: 3 });
});

const EDITS = [
  ["a noun swapped", "circle", "apple", {}, ["red apple", "blue square"]],
  ["the same by backspaces", "circle", "apple", { selected: false }, ["red apple", "blue square"]],
  ["a noun of two words that begins like an article", "circle", "oak tree", { selected: false }, ["red oak tree", "blue square"]],
  ["an adjective inside", "", "shiny ", { behind: "circle" }, ["red shiny circle", "blue square"]],
  ["an adjective before", "", "big ", { behind: "red" }, ["big red circle", "blue square"]],
  ["an adjective changed", "blue", "dark green", {}, ["red circle", "dark green square"]],
  ["a typo mended", "circle", "circles", {}, ["red circles", "blue square"]],
  ["both words", "red circle", "yellow star", {}, ["yellow star", "blue square"]],
  ["both words by backspaces", "red circle", "a pear", { selected: false }, ["pear", "blue square"]],
  ["both words and the space behind them", "red circle ", "pear ", {}, ["pear", "blue square"]],
  ["an article", "a red", "the red", {}, ["red circle", "blue square"]],
  ["another thing before", "", "a cat and ", { behind: "a red" }, ["red circle", "blue square"]],
  ["another thing between its article and it", "", "cat and a ", { behind: "red" }, ["red circle", "blue square"]],
  ["another red thing behind", "", ", a red hat", { behind: " and a blue" }, ["red circle", "blue square"]],
  ["another thing behind", "", " and a red square", { behind: " on a white" }, ["red circle", "blue square"]],
  ["a place behind", "", " on an orange table", { behind: " and a blue" }, ["red circle", "blue square"]],
  ["what is elsewhere", "white", "black", {}, ["red circle", "blue square"]],
  ["nothing of it stays", "red circle and a blue square", "dog", {}, ["red circle", "blue square"]],
  ["the end of one and the beginning of the other", "circle and a blue", "big", {}, ["red", "big square"]],
];

test.each(EDITS)("phrases follow: %s", (_, gone, typed, how, expected) => {
  const state = held(START, "red circle", "blue square");
  const next = typing(state, gone, typed, how);
  expect(phrases(next)).toEqual(expected);
  expect(next.edits).toBe(state.edits);
  expect(phrases(withValue(FIRST, next.value))).toEqual(expected);
});

test("an edit and its undo by the text box end where they began", () => {
  for (const text of ["a red apple and a blue square on a white background", "and a blue square on a white background", ""]) {
    const state = held(START, "red circle", "blue square");
    expect(phrases(withPrompt(withPrompt(state, of(text)), of(START)))).toEqual(["red circle", "blue square"]);
  }
});

test("a phrase that is deleted comes back with what is typed there, and with nothing that is typed elsewhere", () => {
  const gone = typing(held(START, "red circle"), "red circle", "");
  expect(phrases(gone)).toEqual(["red circle"]);
  expect(phrases(typing(gone, "white", "black"))).toEqual(["red circle"]);
  const back = typing(typing(gone, "white", "black"), "a ", "a pear", { behind: " and" });
  expect(phrases(back)).toEqual(["pear"]);
});

test("a phrase keeps its number: another one like it may come before", () => {
  const state = held("a cat on a mat", "cat");
  expect(phrases(typing(state, "", "a cat and ", { behind: "a cat on" }))).toEqual(["cat#2"]);
  expect(phrases(typing(held("a cat and a cat", "cat#2"), "a cat and ", ""))).toEqual(["cat"]);
});

test("a spelling of one's own stays while it says the same", () => {
  const state = held("a (red hat:1.2) and a dog", "Red_Hat");
  expect(phrases(typing(state, "dog", "cat"))).toEqual(["Red_Hat"]);
});

test("the text of another node is another prompt, not an edit", () => {
  const state = held("red circle", "red circle");
  expect(phrases(withPrompt(state, of("blue dog", "2")))).toEqual(["red circle"]);
  const unknown = withPrompt(state, { rows: [], editable: false, note: "elsewhere", from: "" });
  expect(phrases(withPrompt(unknown, of("blue dog")))).toEqual(["red circle"]);
});

test("a phrase in several rows stays what it is", () => {
  const rows = (second) => ({ rows: ["a green square", second], editable: false, note: "", from: "3" });
  const state = withValue(withPrompt(FIRST, rows("a green square and a star")), saved(["green square", "star"]));
  expect(phrases(withPrompt(state, rows("a green box and a moon")))).toEqual(["green square", "star"]);
  expect(phrases(withPrompt(state, rows("a green square and a moon")))).toEqual(["green square", "moon"]);
});

test("French and Chinese", () => {
  expect(phrases(typing(held("un chat et un chien", "chat"), "", " noir", { behind: " et" }))).toEqual(["chat noir"]);
  expect(phrases(typing(held("一只红色的猫，坐着", "红色的猫"), "猫", "狗"))).toEqual(["红色的狗"]);
});

test("nothing is changed in place", () => {
  const state = held(START, "red circle");
  Object.freeze(state.drawing.regions[0]);
  Object.freeze(state.drawing.regions);
  Object.freeze(state.drawing);
  const next = withPrompt(state, of(START.replace("circle", "apple")));
  expect([phrases(state), phrases(next)]).toEqual([["red circle"], ["red apple"]]);
  const same = { text: START, tokens: state.tokens };
  expect(followed(state, spansOf(state), same).drawing).toBe(state.drawing);
});

test("lost words are offered the nearest that no other region has", () => {
  const state = held("a green apple and a red apple", "green apples", "red apple");
  expect(replacement(state, spansOf(state), 0)).toBe("green apple");
  const taken = held("a red apple", "red apples", "red apple");
  expect(replacement(taken, spansOf(taken), 0)).toBe("");
});
