import { readFileSync } from "node:fs";
import { contour } from "../../../web/readout/contour.js";
import { mapAt, parse, valueAt } from "../../../web/readout/data.js";
import { dotsOf } from "../../../web/readout/dots.js";
import { tileAt, tiles } from "../../../web/readout/layout.js";
import { lineOf } from "../../../web/readout/lines.js";
import { asked, itemsOf, kindsOf, percent, regionsOf, settled, stepsOf, stepWords, worstOf } from "../../../web/readout/model.js";
import { heatPixels, RAMP, tintPixels } from "../../../web/readout/ramp.js";

const file = { filename: "a.png", subfolder: "", type: "temp" };
const place = (image, column, score) => ({ image, column, region: column, scores: [score, 0.5] });
/** Two images, two phrases, the mean and one step, maps of 2 x 2. */
const sent = () => ({
  version: 1, images: 2, all: 2, size: [64, 32], show: "landing", step: 7, atlas: file, pictures: [file, file],
  heat: { maps: { at: 0, shape: [2, 2, 2, 2, 2] }, shown: 1, phrases: ["hat", "dog"], has: [[1, 1], [1, 0]], tops: [[0.3, 0.1], [0.2, 0.1]],
    steps: [-1, 7], total: 8, mean: "mean of steps 1-8 of 8",
    landing: { regions: { at: 32, shape: [2, 2, 2] }, places: [place(0, 0, 0.9), place(1, 0, 0.4), place(0, 1, 0.7)] } },
});
const bytes = Uint8Array.from({ length: 64 }, (_, i) => i);

test("a run is read, and what is broken in it is left out", () => {
  const data = parse(sent());
  expect([data.images, data.size, data.heat.phrases, data.heat.places.length]).toEqual([2, [64, 32], ["hat", "dog"], 3]);
  expect([data.edit, data.subjects, data.edges]).toEqual([null, null, null]);
  for (const bad of [null, 3, "x", [], {}, { ...sent(), version: 2 }, { ...sent(), images: 0 }, { ...sent(), atlas: "a.png" }]) expect(parse(bad)).toBe(null);
  const spoilt = [["maps", { at: 0, shape: [2, 2, 3, 2, 2] }], ["maps", { at: -1, shape: [2, 2, 2, 2, 2] }], ["maps", { at: 0, shape: [2, 2, 2, 4096, 4096] }],
    ["tops", [[1, 1]]], ["tops", [[1, NaN], [1, 1]]], ["phrases", ["hat", 5]], ["has", [[1, 1]]], ["steps", "x"]];
  for (const [key, value] of spoilt) expect(parse({ ...sent(), heat: { ...sent().heat, [key]: value } }).heat, key).toBe(null);
  const far = { ...sent().heat, landing: { ...sent().heat.landing, places: [place(9, 0, 1), place(0, 9, 1), { column: "x" }, null] } };
  expect(parse({ ...sent(), heat: far }).heat.places).toEqual([]);
  expect(parse({ ...sent(), size: [0, 5], pictures: [5] })).toMatchObject({ size: [1, 1], pictures: [] });
});

test("a map is found by its place, and never beyond the bytes", () => {
  const { maps } = parse(sent()).heat;
  expect([...mapAt(bytes, maps, 1, 0, 1).values]).toEqual([20, 21, 22, 23]);
  expect([...mapAt(bytes, maps, 0, 2, 0).values]).toEqual([0, 0, 0, 0]);
  expect([...mapAt(bytes, maps, 0, -1, 1).values]).toEqual([0, 0, 0, 0]);
  expect([...mapAt(bytes.subarray(0, 10), maps, 1, 1, 1).values]).toEqual([0, 0, 0, 0]);
  const grid = { values: Uint8Array.of(0, 51, 102, 255), width: 2, height: 2 };
  expect([valueAt(grid, 0.1, 0.1), valueAt(grid, 0.9, 0.1), valueAt(grid, 0.4, 0.6), valueAt(grid, 1, 1), valueAt(grid, 5, -5)]).toEqual([0, 0.2, 0.4, 1, 0.2]);
});

test("what there is to look at", () => {
  const data = parse(sent());
  expect(kindsOf(data)).toEqual(["heat maps", "landing"]);
  expect([itemsOf(data, "heat maps"), itemsOf(data, "landing")]).toEqual([["hat"], ["hat", "dog"]]);
  expect(regionsOf(data).map((r) => r.places.map((p) => p.image))).toEqual([[0, 1], [0]]);
  expect([stepsOf(data, "landing"), stepsOf(data, "subjects")]).toEqual([1, 0]);
  expect([stepWords(data, "landing", 0).at, stepWords(data, "landing", 1).at]).toEqual(["mean of steps 1-8 of 8", "step 7 of 8"]);
  expect([worstOf(data, 0).scores[0], worstOf(parse({ ...sent(), heat: { ...sent().heat, landing: {} } }), 0)]).toEqual([0.4, null]);
  expect(asked(data)).toEqual({ kind: "landing", item: 0, step: 1, image: -1, matches: true });
  expect(settled(data, { kind: "edges", item: 9, step: 9, image: 9, matches: false })).toEqual({ kind: "heat maps", item: 0, step: 1, image: 1, matches: false });
  expect(settled(parse({ ...sent(), heat: null }), asked(data)).kind).toBe("heat maps");
  expect([percent(0), percent(0.004), percent(0.056), percent(0.5), percent(1)]).toEqual(["0%", "0.4%", "5.6%", "50%", "100%"]);
});

test("the line says what is under the mouse, else what one sees", () => {
  const data = parse(sent());
  const choice = { ...asked(data), kind: "heat maps", step: 0 };
  const grey = Uint8Array.from({ length: 64 }, () => 255);
  expect(lineOf(data, grey, choice, { image: 1, x: 0.5, y: 0.5 })).toBe("image 2: 30% of this pixel's attention");
  expect(lineOf(data, grey, choice, null)).toBe("where the picture attended to the phrase");
  expect(lineOf(data, grey, { ...choice, kind: "landing" }, null)).toBe("worst: hat, image 2: 40% in its region");
  expect(lineOf({ ...data, all: 40 }, grey, choice, null)).toMatch(/^the first 2 of 40 images; /);
});

test("pictures fill the frame without meeting, and a point finds its own", () => {
  for (const [count, aspect, width, height] of [[1, 1, 300, 200], [2, 1, 300, 200], [3, 2, 100, 500], [4, 1, 400, 400], [7, 0.5, 640, 200], [32, 1.5, 360, 240]]) {
    const all = tiles(count, aspect, width, height, 3);
    expect(all.length).toBe(count);
    for (const [i, t] of all.entries()) {
      expect(t.x >= -1e-6 && t.y >= -1e-6 && t.x + t.w <= width + 1e-6 && t.y + t.h <= height + 1e-6).toBe(true);
      expect(t.w / t.h).toBeCloseTo(aspect);
      expect(tileAt(all, t.x + t.w / 4, t.y + t.h / 2)).toMatchObject({ index: i, x: expect.closeTo(0.25), y: expect.closeTo(0.5) });
      for (const o of all.slice(i + 1)) expect(t.x + t.w <= o.x + 1e-6 || o.x + o.w <= t.x + 1e-6 || t.y + t.h <= o.y + 1e-6 || o.y + o.h <= t.y + 1e-6).toBe(true);
    }
  }
  expect(tiles(4, 1, 400, 400, 0)[3]).toEqual({ x: 200, y: 200, w: 200, h: 200 });
  expect(tileAt(tiles(2, 1, 300, 100, 0), 1, 1)).toBe(null);
});

test("an outline is closed and goes round what is inside", () => {
  const full = { values: new Uint8Array(16).fill(255), width: 4, height: 4 };
  const middle = { ...full, values: Uint8Array.from({ length: 16 }, (_, i) => ([5, 6, 9, 10].includes(i) ? 255 : 0)) };
  const saddle = { ...full, values: Uint8Array.from({ length: 16 }, (_, i) => ([5, 10].includes(i) ? 255 : 0)) };
  expect(contour({ ...full, values: new Uint8Array(16) })).toEqual([]);
  for (const grid of [full, middle, saddle]) {
    const ends = new Map();
    const segments = contour(grid);
    for (const [x0, y0, x1, y1] of segments) for (const key of [`${x0.toFixed(6)} ${y0.toFixed(6)}`, `${x1.toFixed(6)} ${y1.toFixed(6)}`]) ends.set(key, (ends.get(key) ?? 0) + 1);
    expect([...ends.values()].every((n) => n % 2 === 0), "each end meets another").toBe(true);
    expect(segments.length).toBeGreaterThan(7);
  }
  const xs = contour(middle).flatMap(([x0, , x1]) => [x0, x1]);
  expect([Math.min(...xs), Math.max(...xs)]).toEqual([expect.closeTo(0.25, 2), expect.closeTo(0.75, 2)]);
});

test("dots keep to open patches, are thinned evenly, and have the colour of their place", () => {
  const links = { maps: { at: 0, shape: [3, 1, 20, 20] }, xs: Array.from({ length: 20 }, (_, i) => (i + 0.5) / 20), ys: Array.from({ length: 20 }, (_, i) => (i + 0.5) / 20) };
  const cells = new Uint8Array(1200);
  cells.fill(2, 0, 200); // the upper half draws on the second anchor
  cells.fill(255, 400, 800);
  cells.fill(51, 800, 1200);
  const all = dotsOf(cells, links, 0, 1000);
  expect(all.length).toBe(200);
  expect(all.every((d) => d.y < 0.5 && d.anchor === 1 && d.fromX === 1 && d.fromY === 0.2)).toBe(true);
  expect(new Set(all.map((d) => d.colour)).size).toBe(1);
  const few = dotsOf(cells, links, 0, 60);
  expect(few.length).toBeGreaterThan(30);
  expect(few.length).toBeLessThanOrEqual(60);
  expect(dotsOf(cells, links, 1)).toEqual([]);
});

test("colours are those of the node's sheet", () => {
  const sheet = readFileSync(new URL("../../../bridge/record/sheet.py", import.meta.url), "utf8").match(/_RAMP = np\.array\(\[(.*?)\], np/s)[1];
  expect(sheet.match(/\d+/g).map(Number)).toEqual(RAMP.flat());
  expect([...heatPixels(Uint8Array.of(0, 255), false)]).toEqual([8, 8, 32, 38, 255, 255, 200, 217]);
  expect([...heatPixels(Uint8Array.of(0), true)]).toEqual([8, 8, 32, 255]);
  expect([...tintPixels(Uint8Array.of(0, 255), [1, 2, 3], 0.5, true)]).toEqual([1, 2, 3, 128, 1, 2, 3, 0]);
});
