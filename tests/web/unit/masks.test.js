import { EMPTY, MAX_CHARACTERS, MAX_REGIONS, region, serialise } from "../../../web/regions/drawing.js";
import { read, withMasks } from "../../../web/regions/importing.js";
import { maskOf } from "../../../web/regions/mask_picture.js";
import { covers } from "../../../web/regions/shapes.js";
import { traced } from "../../../web/regions/tracing.js";

/** A mask from a picture in signs: # is white. */
const mask = (...rows) => [Uint8Array.from(rows.join(""), (c) => Number(c === "#")), rows[0].length, rows.length];
const made = (w, h, white) => Uint8Array.from({ length: w * h }, (_, i) => Number(white(i % w, Math.floor(i / w))));
const ring = (x, y) => { const d = Math.hypot(x - 100, y - 100); return d < 90 && d > 50; };

/** The share of pixels, at their middles, that a region covers otherwise than the mask. */
function wrong(shapes, pixels, w, h) {
  const own = region(shapes);
  let count = 0;
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) if (covers(own, [(x + 0.5) / w, (y + 0.5) / h], w / h) !== !!pixels[y * w + x]) count++;
  }
  return count / (w * h);
}

function rgba(w, h, at) {
  const data = new Uint8ClampedArray(w * h * 4);
  for (let i = 0; i < w * h; i++) data.set(at(i % w, Math.floor(i / w)), i * 4);
  return { data, width: w, height: h };
}
const white = (name, inside) => ({ name, pixels: rgba(20, 20, (x, y) => (inside(x, y) ? [255, 255, 255, 255] : [0, 0, 0, 255])) });

test("a rectangle is a box, two are two", () => {
  expect(traced(...mask("....", ".##.", ".##.", "...."))).toEqual({ boxes: [[0.25, 0.25, 0.75, 0.75]], polygons: [], strokes: [] });
  expect(traced(...mask("#"))).toEqual({ boxes: [[0, 0, 1, 1]], polygons: [], strokes: [] });
  expect(traced(...mask("#.##")).boxes).toEqual([[0.5, 0, 1, 1], [0, 0, 0.25, 1]]);
  expect(traced(...mask("....", "...."))).toBeNull();
});

test("corners are kept to the pixel", () => {
  const pixels = mask(".......", ".#####.", ".#####.", ".##....", ".##....", ".##....", ".......");
  const found = traced(...pixels);
  expect(found.polygons).toHaveLength(1);
  expect(found.polygons[0]).toHaveLength(6);
  expect(wrong(found, ...pixels)).toBe(0);
});

test("holes and islands in them", () => {
  const pixels = mask("#########", "#.......#", "#.#####.#", "#.#...#.#", "#.#.#.#.#", "#.#...#.#", "#.#####.#", "#.......#", "#########");
  const found = traced(...pixels);
  expect(found.boxes).toEqual([[0, 0, 1, 1]]);
  expect(found.strokes.map((s) => [s.fill, s.erase])).toEqual([[true, true], [true, false], [true, true], [true, false]]);
  expect(wrong(found, ...pixels)).toBe(0);
});

test("round shapes in few points", () => {
  const pixels = made(200, 200, ring);
  const found = traced(pixels, 200, 200);
  expect(found.polygons[0].length + found.strokes[0].points.length).toBeLessThan(60);
  expect(wrong(found, pixels, 200, 200)).toBeLessThan(0.005);
  const slanted = made(300, 100, (x, y) => x > 3 * y);
  expect(wrong(traced(slanted, 300, 100), slanted, 300, 100)).toBeLessThan(0.005);
});

test("a slanted hair line is one area, and specks are left out", () => {
  const line = made(64, 64, (x, y) => x === y);
  expect(traced(line, 64, 64).polygons).toHaveLength(1);
  const speck = made(400, 400, (x, y) => (x < 100 && y < 100) || (x === 300 && y === 300));
  expect(traced(speck, 400, 400)).toEqual({ boxes: [[0, 0, 0.25, 0.25]], polygons: [], strokes: [] });
});

test("any arrangement of squares comes back to the pixel", () => {
  let seed = 7;
  const random = () => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed / 2147483648; };
  for (let round = 0; round < 60; round++) {
    const [w, h] = [1 + Math.floor(random() * 9), 1 + Math.floor(random() * 9)];
    const density = random();
    const cells = made(w, h, () => random() < density);
    const pixels = made(8 * w, 8 * h, (x, y) => cells[(y >> 3) * w + (x >> 3)]);
    const found = traced(pixels, 8 * w, 8 * h);
    if (!found) expect(pixels.some(Boolean)).toBe(false);
    else expect(wrong(found, pixels, 8 * w, 8 * h)).toBe(0);
  }
});

test("the worst of pictures still fits into a drawing", () => {
  let seed = 1;
  const noise = made(512, 512, () => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed > 1.2e9; });
  const shapes = traced(noise, 512, 512);
  const drawing = { size: null, regions: Array(MAX_REGIONS).fill(region(shapes)) };
  expect(serialise(drawing).length).toBeLessThan(MAX_CHARACTERS);
});

test("white is mask; of a colour picture the transparent part", () => {
  const grey = rgba(10, 10, (x) => (x < 5 ? [140, 140, 140, 255] : [110, 110, 110, 255]));
  expect(maskOf(grey.data).mask.reduce((a, b) => a + b)).toBe(50);
  const ghost = rgba(10, 10, (x) => [255, 255, 255, x < 3 ? 255 : 0]);
  expect(maskOf(ghost.data).mask.reduce((a, b) => a + b)).toBe(30);
  const painted = rgba(10, 10, (x) => [200, 30, 30, x < 2 ? 0 : 255]);
  expect(maskOf(painted.data)).toEqual({ mask: Uint8Array.from({ length: 100 }, (_, i) => Number(i % 10 < 2)), problem: "" });
  expect(maskOf(rgba(10, 10, () => [200, 30, 30, 255]).data).problem).toContain("colour picture");
  expect(maskOf(rgba(10, 10, () => [9, 9, 9, 255]).data).problem).toContain("no white area");
});

test("one region a picture, in front, and a sentence about the rest", () => {
  const before = { size: null, regions: [region({ phrase: "old" })] };
  const found = withMasks(before, [white("a.png", (x) => x < 10), white("b.png", (x, y) => y < 5)].map(read));
  expect(found.drawing.regions.map((r) => [r.phrase, r.boxes])).toEqual([["", [[0, 0, 0.5, 1]]], ["", [[0, 0, 1, 0.25]]], ["old", []]]);
  expect(found.said).toBe("2 regions from 2 masks: select the words of each.");
  expect(found.warns).toBe(false);
  expect(before.regions).toHaveLength(1);
});

test("pictures without a mask are named", () => {
  const none = withMasks(EMPTY, [white("black.png", () => false)].map(read));
  expect(none).toEqual({ drawing: EMPTY, warns: true, said: '"black.png" has no white area, so it contains no mask.' });
  const one = withMasks(EMPTY, [white("a", () => true), { name: "torn.png", pixels: null }, { name: "x", pixels: null }].map(read));
  expect(one.drawing.regions).toHaveLength(1);
  expect(one.said).toContain('"torn.png" cannot be opened, and 1 more.');
  expect(withMasks(EMPTY, []).said).toContain("no picture to read");
});

test("no more regions than a drawing can have", () => {
  const full = { size: null, regions: Array(MAX_REGIONS - 1).fill(region({})) };
  const found = withMasks(full, Array(3).fill(white("a", () => true)).map(read));
  expect(found.drawing.regions).toHaveLength(MAX_REGIONS);
  expect(found.said).toContain("1 region from 1 mask");
  expect(found.said).toContain(`2 left out: a drawing can have ${MAX_REGIONS} regions.`);
  expect(found.warns).toBe(true);
});
