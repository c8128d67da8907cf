// @vitest-environment happy-dom
import { createView as createPair } from "../../../web/pair/view.js";
import { createView as createSketch } from "../../../web/sketch/view.js";

test("the pair's words are dragged, and write the lines", () => {
  const written = [];
  const live = [];
  const pair = createPair({ reweight: (text, done) => (done ? written : live).push(text) });
  document.body.replaceChildren(pair.element);
  pair.show({ source: "a cat", targets: "a snowy cat", reweight: "", note: "" });
  const word = () => pair.element.querySelector('[aria-label="Weight of snowy"]');
  const send = (name, parts) => word().dispatchEvent(new PointerEvent(name, { button: 0, bubbles: true, ...parts }));
  send("pointerdown", { clientX: 10 });
  send("pointermove", { clientX: 50 });
  send("pointermove", { clientX: 90 });
  expect([live, written]).toEqual([["snowy: 1.4", "snowy: 1.8"], []]);
  expect(word().textContent).toBe("snowy×1.8");
  send("pointerup", { clientX: 90 });
  expect(written).toEqual(["snowy: 1.8"]);
  expect(document.activeElement).toBe(word());
  word().dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  word().dispatchEvent(new WheelEvent("wheel", { deltaY: 120, bubbles: true, cancelable: true }));
  expect(written.slice(1)).toEqual(["snowy: 1.7", "snowy: 1.6"]);
  send("pointerdown", { clientX: 0 });
  send("pointermove", { clientX: -9000 });
  expect(live.at(-1)).toBe("snowy: -2");
  send("pointercancel", {});
  expect(written.at(-1)).toBe("snowy: 1.6");
  send("pointerdown", { clientX: 0 });
  send("pointerup", { clientX: 0 });
  expect(written).toHaveLength(4);
  word().dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
  expect(written.at(-1)).toBe("");
  pair.show({ source: "a cat", targets: "a snowy cat", reweight: "snowy: 1.8", note: "" });
  expect(pair.element.querySelectorAll(".ad-weighted")).toHaveLength(1);
  expect(pair.element.querySelectorAll(".ad-added")).toHaveLength(1);
});

test("a sketch keeps what it reads and says what it cannot", () => {
  const sketch = createSketch({ change: () => {}, history: () => {}, width: () => {}, graph: () => {} });
  sketch.setValue('{"version":1,"strokes":[{"width":0.01,"points":[[0.1,0.2]],"erase":false}]}');
  expect(JSON.parse(sketch.getValue()).strokes).toHaveLength(1);
  expect(sketch.element.querySelector(".ad-notice").hidden).toBe(true);
  sketch.setValue('{"strokes":[{"points":[]}]}');
  expect(sketch.element.querySelector(".ad-notice").textContent).toContain("cannot be read: a stroke has no points");
});
