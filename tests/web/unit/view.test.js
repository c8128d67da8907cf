// @vitest-environment happy-dom
import { createView } from "../../../web/regions/view.js";
import { ofBoxes } from "../../../web/regions/wired.js";
import { createView as createPair } from "../../../web/pair/view.js";

const EVIL = '<img src=x onerror="globalThis.hurt = true">';
const PROMPT = { rows: ["a red hat and a dog"], editable: true, note: "" };

function editor(value = "", prompt = PROMPT) {
  const seen = { changes: [], inserted: [], history: [], clip: "", unlinked: 0, pictures: [], pressed: [] };
  const view = createView({
    change: (text) => seen.changes.push(text), history: (which) => seen.history.push(which),
    insert: (phrase) => seen.inserted.push(phrase), background: () => {}, eye: () => seen.pressed.push("eye"), run: () => seen.pressed.push("run"), power: () => seen.pressed.push("power"), upload: () => {}, pictures: () => [["node:1", EVIL]],
    masks: async (from) => (seen.from = from, seen.pictures), unlink: () => { seen.unlinked = seen.changes.length + 1; },
    graph: () => {}, clipboard: { get: () => seen.clip, set: (text) => { seen.clip = text; } },
  });
  view.setPrompt(prompt);
  view.setSize([512, 512]);
  view.setValue(value);
  document.body.replaceChildren(view.element);
  const press = (key, parts = {}) => view.element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...parts }));
  return { view, seen, press, root: view.element, now: () => JSON.parse(view.getValue() || '{"regions":[]}').regions };
}
const saved = (...phrases) => JSON.stringify({ version: 1, regions: phrases.map((phrase) => ({ phrase, boxes: [[0, 0, 0.5, 0.5]] })) });
const shownText = (root, selector) => root.querySelector(selector).textContent;

test("what a workflow file says shows as text", () => {
  const { root, press } = editor(saved(EVIL, "dog"), { ...PROMPT, rows: [`${EVIL} dog`] });
  press("PageDown");
  expect(root.querySelector("img")).toBeNull();
  expect(shownText(root, ".ad-words")).toContain(EVIL);
  expect(shownText(root, ".ad-region")).toContain(EVIL);
  root.querySelector(".ad-phrase").dispatchEvent(new Event("focus"));
  root.querySelector(".ad-select").dispatchEvent(new Event("focus"));
  const pair = createPair({ reweight: () => {} });
  pair.show({ source: EVIL, targets: `${EVIL} more\n${EVIL}`, reweight: `${EVIL}: 2`, note: "" });
  document.body.append(pair.element);
  const broken = editor(`{"version": "${EVIL.replaceAll('"', '\\"')}", "regions": []}`);
  expect(document.querySelector("img")).toBeNull();
  expect(broken.root.querySelector("img")).toBeNull();
  expect(globalThis.hurt).toBeUndefined();
});

test("keyboard only: draw, bind, weigh, duplicate, copy, delete", () => {
  const { seen, press, root, now } = editor();
  expect(shownText(root, ".ad-notice")).toContain("Drag a box, then select its words");
  press("n");
  const words = root.querySelector(".ad-words");
  const key = (name, parts = {}) => words.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, ...parts }));
  press("w");
  expect(document.activeElement).toBe(words);
  key("ArrowRight");
  key("ArrowRight");
  key("ArrowRight", { shiftKey: true });
  key("Enter");
  expect(now()[0].phrase).toBe("red hat");
  press("+");
  expect(now()[0].strength).toBe(1.05);
  const [before] = now()[0].boxes;
  press("ArrowRight");
  expect(now()[0].boxes[0][0]).toBeGreaterThan(before[0]);
  press("c", { ctrlKey: true });
  press("Delete");
  expect(now()).toHaveLength(0);
  press("v", { ctrlKey: true });
  expect(now()[0].phrase).toBe("red hat");
  press("d", { ctrlKey: true });
  expect(now()).toHaveLength(2);
  press("]");
  press("[");
  expect(seen.changes.at(-1)).toBe(JSON.stringify({ ...JSON.parse(seen.changes.at(-1)), regions: now() }));
});

test("keys of the pad do not reach the graph, the graph's keys do", () => {
  const { press } = editor(saved("dog"));
  const heard = [];
  const listen = (event) => heard.push(event.key);
  document.addEventListener("keydown", listen);
  for (const key of ["Delete", "Backspace", "r", "ArrowLeft"]) press(key);
  press("Enter", { ctrlKey: true });
  press("s", { ctrlKey: true });
  document.removeEventListener("keydown", listen);
  expect(heard).toEqual(["Enter", "s"]);
});

test("a phrase that is no longer in the prompt is marked at once, and can be put back", () => {
  const { view, seen, press, root } = editor(saved("red hat", "dog"));
  expect(root.querySelectorAll(".ad-region.ad-stale")).toHaveLength(0);
  view.setPrompt({ ...PROMPT, rows: ["my dog"] });
  expect(root.querySelectorAll(".ad-region.ad-stale")).toHaveLength(1);
  expect(shownText(root, ".ad-notice")).toContain('Region 2: "red hat" is not in the prompt');
  press("PageDown");
  const insert = [...root.querySelectorAll(".ad-inspector button")].find((b) => b.textContent === "Insert into prompt");
  expect(insert.hidden).toBe(false);
  insert.click();
  expect(seen.inserted).toEqual(["red hat"]);
  view.setPrompt(PROMPT);
  expect(root.querySelectorAll(".ad-region.ad-stale")).toHaveLength(0);
  expect(insert.hidden).toBe(true);
});

test("a phrase follows its words, and lost words can be taken from those that are like them", () => {
  const { view, seen, root, now } = editor(saved("red hat", "dog"));
  view.setPrompt({ ...PROMPT, rows: ["a red coat and a dog"] });
  expect(now().map((r) => r.phrase)).toEqual(["red coat", "dog"]);
  expect(seen.changes).toEqual([]); // a step of undo with the typing
  view.setPrompt({ ...PROMPT, rows: ["a dog"] });
  expect(now().map((r) => r.phrase)).toEqual(["red coat", "dog"]);
  const use = () => [...root.querySelectorAll(".ad-notice button")].find((b) => b.textContent.startsWith("Use "));
  expect(use().hidden).toBe(true);
  view.setPrompt({ ...PROMPT, rows: [`a dog, two red coats and ${EVIL}`] });
  expect(use().textContent).toBe('Use "red coats"');
  expect(use().hidden).toBe(false);
  use().click();
  expect(now().map((r) => r.phrase)).toEqual(["red coats", "dog"]);
  expect(seen.changes).toHaveLength(1);
});

test("Enter puts words into the prompt that it lacks, in one step with their region", () => {
  const { view, seen, press, root, now } = editor(saved("", "dog"));
  press("PageDown");
  const field = root.querySelector(".ad-phrase");
  const enter = (text) => {
    field.focus();
    field.value = text;
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  };
  enter("red hat");
  expect([seen.inserted, seen.changes.length, now()[0].phrase]).toEqual([[], 1, "red hat"]);
  enter("a red fox");
  expect([seen.inserted, seen.changes.length, now()[0].phrase]).toEqual([["a red fox"], 2, "a red fox"]);
  expect(shownText(root, ".ad-notice")).toContain('"a red fox" is not in the prompt. Enter inserts it.');
  enter("a red fox");
  expect([seen.inserted.length, seen.changes.length]).toEqual([2, 3]);
  view.setPrompt({ ...PROMPT, rows: [`${PROMPT.rows[0]}, a red fox`] });
  enter("a red fox");
  expect([seen.inserted.length, seen.changes.length]).toEqual([2, 3]);
  view.setPrompt({ ...PROMPT, editable: false });
  enter("a blue fox");
  expect([seen.inserted.length, now()[0].phrase]).toEqual([2, "a blue fox"]);
  expect(shownText(root, ".ad-notice")).toContain('"a blue fox" is not in the prompt. Select its words.');
});

test("words of wired regions are marked as theirs", () => {
  const { view, root } = editor("");
  expect(shownText(root, ".ad-notice")).toContain("Drag a box, then");
  view.setWired(ofBoxes([{ box: [0, 0, 0.5, 0.5], phrase: "red hat", strength: 1 }]));
  expect([...root.querySelectorAll(".ad-word.ad-ghost")].map((e) => e.textContent)).toEqual(["red", "hat"]);
  expect(shownText(root, ".ad-notice")).toContain("The regions come by wire: 1.");
  view.setValue(saved("dog"));
  expect([...root.querySelectorAll(".ad-word.ad-bound:not(.ad-ghost)")].map((e) => e.textContent)).toEqual(["dog"]);
});

test("a chip is dragged to another place in the depth, and a press alone selects", () => {
  const { seen, root, now } = editor(saved("red hat", "dog", "a"));
  const chips = () => [...root.querySelectorAll(".ad-region")];
  chips().forEach((chip, i) => { chip.getBoundingClientRect = () => ({ left: 100 * i, width: 100 }); });
  const send = (chip, name, clientX) => chip.dispatchEvent(new PointerEvent(name, { button: 0, clientX, bubbles: true }));
  const [first] = chips();
  send(first, "pointerdown", 50);
  send(first, "pointermove", 53);
  send(first, "pointerup", 53);
  first.click();
  expect([seen.changes.length, chips()[0].getAttribute("aria-pressed")]).toEqual([0, "true"]);
  chips().forEach((chip, i) => { chip.getBoundingClientRect = () => ({ left: 100 * i, width: 100 }); });
  const [again] = chips();
  send(again, "pointerdown", 50);
  send(again, "pointermove", 240);
  send(again, "pointerup", 240);
  expect(now().map((r) => [r.number, r.phrase])).toEqual([[2, "dog"], [1, "a"], [3, "red hat"]]);
  expect(seen.changes).toHaveLength(1);
});

test("of linked rows, words are marked in every row that has them, and what only one has is not stale", () => {
  const two = { rows: ["a green square", "a green square and a yellow star"], editable: false, note: "" };
  const { root } = editor(saved("yellow star", "green square"), two);
  expect(root.querySelectorAll(".ad-region.ad-stale")).toHaveLength(0);
  expect([...root.querySelectorAll(".ad-word.ad-bound")].map((word) => word.textContent))
    .toEqual(["green", "square", "green", "square", "yellow", "star"]);
});

test("a linked prompt marks nothing and says why", () => {
  const { root } = editor(saved("red hat"), { rows: [], editable: false, note: "The prompt comes from elsewhere." });
  expect(root.querySelectorAll(".ad-stale")).toHaveLength(0);
  expect(shownText(root, ".ad-words")).toBe("The prompt comes from elsewhere.");
});

test("a saved text that cannot be read is kept until something is drawn", () => {
  const { view, root, press, now } = editor("{broken");
  expect(view.getValue()).toBe("{broken");
  expect(shownText(root, ".ad-notice")).toContain("cannot be read: it is not JSON");
  press("n");
  expect(now()).toHaveLength(1);
});

test("a picture of another shape asks once", () => {
  const { view, root, press, now } = editor();
  press("n");
  view.setSize([1024, 512]);
  const choices = root.querySelector(".ad-notice span:last-child");
  expect(choices.hidden).toBe(false);
  const [before] = now()[0].boxes;
  choices.querySelector("button").click();
  expect(choices.hidden).toBe(true);
  const [after] = now()[0].boxes;
  expect(after[2] - after[0]).toBeCloseTo((before[2] - before[0]) / 2, 3);
});

test("suggestions fill the phrase", () => {
  const { root, press, now } = editor(saved(""));
  press("PageDown");
  const field = root.querySelector(".ad-phrase");
  field.focus();
  field.value = "re";
  field.dispatchEvent(new Event("input"));
  expect([...root.querySelectorAll(".ad-suggestion")].map((e) => e.textContent).slice(0, 2)).toEqual(["red", "red hat"]);
  for (const key of ["ArrowDown", "ArrowDown", "Enter"]) field.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  expect(now()[0].phrase).toBe("red hat");
});

const half = (name, colour) => ({ name, pixels: { width: 4, height: 4, data: Uint8ClampedArray.from({ length: 64 }, (_, i) =>
  (i % 4 === 3 ? 255 : i % 16 < 8 ? colour[i % 4] : 0)) } });

test("masks become regions in one edit, and a picture without one is named", async () => {
  const { seen, root, now } = editor(saved("dog"));
  const menu = root.querySelector(".ad-menu-holder");
  seen.pictures = [half("a.png", [255, 255, 255]), half("photo.png", [200, 10, 10]), half("b.png", [255, 255, 255])];
  menu.querySelector("button").click();
  expect([...menu.querySelectorAll(".ad-menu-item")].map((b) => b.textContent)).toEqual([EVIL, "from files…"]);
  menu.querySelector(".ad-menu-item").click();
  await new Promise((done) => setTimeout(done));
  expect(seen.from).toBe("node:1");
  expect(now().map((r) => r.phrase)).toEqual(["", "", "dog"]);
  expect(now()[0].boxes).toEqual([[0, 0, 0.5, 1]]);
  expect(seen.changes).toHaveLength(1);
  expect(shownText(root, ".ad-notice")).toContain('2 regions from 2 masks: select the words of each. "photo.png" is a colour picture');
  expect(root.querySelector(".ad-notice").classList.contains("ad-warn")).toBe(true);
  expect(menu.querySelector(".ad-menu").hidden).toBe(true);
});

test("the menu by keys, which neither draw nor reach the graph", () => {
  const { root, press, now } = editor(saved("dog"));
  press("PageDown");
  const menu = root.querySelector(".ad-menu-holder");
  const [before] = now()[0].boxes;
  menu.querySelector("button").click();
  const items = menu.querySelectorAll(".ad-menu-item");
  expect(document.activeElement).toBe(items[0]);
  const key = (name) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  key("ArrowDown");
  expect(document.activeElement).toBe(items[1]);
  key("ArrowDown");
  expect(document.activeElement).toBe(items[0]);
  key("Escape");
  expect(menu.querySelector(".ad-menu").hidden).toBe(true);
  expect(document.activeElement).toBe(menu.querySelector("button"));
  expect(now()[0].boxes).toEqual([before]);
});

test("wired regions are shown, and copied behind the drawn ones with their wire taken away first", () => {
  const { view, seen, root, now } = editor(saved("dog"));
  const row = [...root.querySelectorAll(".ad-row")].find((r) => r.textContent.includes("Copy wired"));
  expect(row.hidden).toBe(true);
  view.setWired(ofBoxes([{ box: [0.1, 0.1, 0.4, 0.4], phrase: EVIL, strength: 0.5 }, { box: [0, 0, 1, 1], phrase: "", strength: 1 }]));
  expect(row.hidden).toBe(false);
  expect(row.textContent).toContain("2 wired regions (dashed)");
  expect(now()).toHaveLength(1);
  row.querySelector("button").click();
  expect(now().map((r) => [r.phrase, r.strength, r.boxes[0][2]])).toEqual([["dog", 1, 0.5], [EVIL, 0.5, 0.4], ["", 1, 1]]);
  expect([seen.changes.length, seen.unlinked]).toEqual([1, 1]);
  expect(root.querySelector("img")).toBeNull();
  view.setValue(saved(...Array(63).fill("dog")));
  row.querySelector("button").click();
  expect(now()).toHaveLength(63);
  expect(shownText(root, ".ad-notice")).toContain("can have 64 regions");
  expect(seen.unlinked).toBe(1);
});

test("a thing that did not land is said, and one button runs again with more strength there", () => {
  const { view, root, seen, now } = editor(saved("red hat", "dog"));
  view.setLanding({ value: view.getValue(), scores: { "red hat": 0.9, dog: 0.23 } });
  expect(shownText(root, ".ad-notice")).toContain("Region 1 did not land: 23% of its attention is there.");
  const again = [...root.querySelectorAll(".ad-notice .ad-link")].find((link) => link.textContent === "Try again, stronger");
  expect(again.hidden).toBe(false);
  again.click();
  expect(now().map((region) => region.strength)).toEqual([1, 2]);
  expect(seen.pressed).toEqual(["run"]);
  expect(shownText(root, ".ad-notice")).not.toContain("did not land"); // of another drawing
  view.setLanding({ value: view.getValue(), scores: { dog: 0.2 } });
  expect(shownText(root, ".ad-notice")).toContain("Try another seed");
  expect(again.hidden).toBe(true);
});
