// @vitest-environment happy-dom
import { parse } from "../../../web/readout/data.js";
import { createView } from "../../../web/readout/view.js";

const EVIL = '<img src=x onerror="globalThis.hurt = true">';
const file = { filename: "a.png", subfolder: "", type: "temp" };
const place = (image, column, ...scores) => ({ image, column, region: column, scores });
const sent = (changes = {}) => parse({
  version: 1, images: 2, all: 2, size: [64, 64], show: "heat maps", step: -1, atlas: file, pictures: [],
  heat: { maps: { at: 0, shape: [3, 2, 2, 2, 2] }, shown: 2, phrases: [EVIL, "dog"], has: [[1, 1], [1, 1]], tops: [[0.3, 0.1], [0.2, 0.1], [0.1, 0.1]],
    steps: [-1, 1, 2], total: 2, mean: "mean of steps 1-2 of 2",
    landing: { regions: { at: 48, shape: [2, 2, 2] }, places: [place(0, 0, 0.9, 0.1, 1), place(1, 0, 0.4, 1, 1), place(0, 1, 0.7, 1, 0.2), place(1, 1, 0.6, 1, 1)] } },
  ...changes,
});

function viewer(data = sent()) {
  const view = createView({ graph: () => {} });
  if (data) view.show(data, { bytes: new Uint8Array(64), pictures: [] });
  document.body.replaceChildren(view.element);
  const all = (selector) => [...view.element.querySelectorAll(selector)];
  const press = (key) => view.element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const tab = (name) => all(".ad-kinds .ad-button").find((b) => b.textContent === name);
  const marked = () => all(".ad-item").map((item) => item.classList.contains("ad-mine"));
  return { view, all, press, tab, marked, item: (i) => all(".ad-item")[i], choice: () => view.session().choice, line: () => all(".ad-notice")[0].textContent };
}

test("words of a run show as text", () => {
  const { view, all, tab } = viewer();
  tab("Landing").click();
  expect(all("img")).toEqual([]);
  expect(all(".ad-item-name").map((e) => e.textContent)).toEqual([EVIL, "dog"]);
  view.empty(EVIL, true);
  expect(all("img")).toEqual([]);
  expect(all(".ad-notice")[0].textContent).toBe(EVIL);
});

test("a phrase under the mouse or with the focus is shown, a click keeps it, another lets it go", () => {
  const { item, marked, choice, line } = viewer();
  expect(marked()).toEqual([true, false]);
  const dog = item(1);
  dog.dispatchEvent(new Event("pointerenter"));
  expect(marked()).toEqual([false, true]);
  expect(choice().item).toBe(0);
  expect(item(1) === dog).toBe(true);
  dog.dispatchEvent(new Event("pointerleave"));
  expect(marked()).toEqual([true, false]);
  dog.dispatchEvent(new Event("focus"));
  expect(marked()).toEqual([false, true]);
  dog.click();
  dog.dispatchEvent(new Event("blur"));
  expect([marked(), choice().item]).toEqual([[false, true], 1]);
  dog.click();
  expect([marked(), choice().item, line()]).toEqual([[false, false], -1, "point at a phrase to see where the picture attended to it"]);
});

test("everything by keyboard, and no key reaches the graph", () => {
  const { view, press, choice } = viewer();
  let escaped = 0;
  const count = () => { escaped += 1; };
  document.body.addEventListener("keydown", count);
  press("ArrowRight");
  expect(choice().item).toBe(1);
  press("ArrowRight");
  press("ArrowLeft");
  expect(choice().item).toBe(1);
  for (const [key, step] of [["ArrowUp", 1], ["ArrowUp", 2], ["ArrowUp", 2], ["ArrowDown", 1]]) {
    press(key);
    expect(choice().step).toBe(step);
  }
  for (const [key, image] of [["PageDown", 0], ["PageDown", 1], ["PageDown", 1], ["PageUp", 0], ["Escape", -1]]) {
    press(key);
    expect(choice().image).toBe(image);
  }
  press("Delete");
  expect(escaped).toBe(0);
  document.body.removeEventListener("keydown", count);
  view.empty("nothing");
  press("ArrowRight");
});

test("bars follow the step, and the worst is marked", () => {
  const { all, tab, item } = viewer();
  tab("Landing").click();
  const widths = () => all(".ad-fill").map((e) => e.style.width);
  expect(widths()).toEqual(["90%", "40%", "70%", "60%"]);
  expect(all(".ad-bar").map((e) => e.classList.contains("ad-worst"))).toEqual([false, true, false, false]);
  const row = item(0);
  const slider = all(".ad-steps input")[0];
  slider.value = "2";
  slider.dispatchEvent(new Event("input"));
  expect(widths()).toEqual(["100%", "100%", "20%", "100%"]);
  expect(all(".ad-bar").map((e) => e.classList.contains("ad-worst"))).toEqual([false, false, true, false]);
  expect(all(".ad-steps-at")[0].textContent).toBe("step 2 of 2");
  expect(item(0) === row, "what is under the mouse stays").toBe(true);
  all(".ad-steps .ad-button")[0].click();
  expect([widths()[0], all(".ad-steps-at")[0].textContent]).toEqual(["90%", "mean of steps 1-2 of 2"]);
});

test("only what the run left can be chosen", () => {
  const none = viewer(sent({ heat: null, edit: { masks: { at: 0, shape: [1, 2, 2, 2] } } }));
  expect(none.all(".ad-kinds .ad-button").filter((e) => !e.hidden).map((e) => e.textContent)).toEqual(["Edit mask"]);
  expect([none.choice().kind, none.all(".ad-item").length, none.all(".ad-steps")[0].hidden]).toEqual(["edit mask", 0, true]);
  none.view.setKind("landing");
  expect(none.choice().kind).toBe("edit mask");
});

test("another run keeps what one looks at, unless the node was set to something else", () => {
  const { view, tab, choice, press } = viewer();
  tab("Landing").click();
  press("ArrowUp");
  view.show(sent(), { bytes: new Uint8Array(64), pictures: [] });
  expect(choice()).toMatchObject({ kind: "landing", step: 1 });
  view.show(sent({ show: "heat maps", step: 2 }), { bytes: new Uint8Array(64), pictures: [] });
  expect(choice()).toMatchObject({ kind: "heat maps", step: 2 });
  view.setKind("landing");
  expect(choice().kind).toBe("landing");
});

test("without a run there is one line", () => {
  const { view, all } = viewer(null);
  view.empty("Queue to see what the run attended to.");
  expect(all(".ad-notice")[0].textContent).toBe("Queue to see what the run attended to.");
  expect([".ad-kinds", ".ad-items", ".ad-steps", ".ad-legend"].map((s) => all(s)[0].hidden)).toEqual([true, true, true, true]);
  view.empty("gone", true);
  expect(all(".ad-notice")[0].classList.contains("ad-warn")).toBe(true);
});
