import { shortened } from "../../../web/regions/paint.js";
import { EMPTY, MAX_REGIONS, cut, numbered, parse, region, serialise } from "../../../web/regions/drawing.js";
import { added, bound, duplicated, removed, reordered, weighted } from "../../../web/regions/edits.js";
import { bounds, covers, moved, refitted, regionAt, stretched } from "../../../web/regions/shapes.js";
import { adding, growing, nudging } from "../../../web/regions/keyboard_edits.js";

const box = (x0, y0, x1, y1, parts = {}) => region({ boxes: [[x0, y0, x1, y1]], ...parts });
const drawing = (...regions) => ({ size: null, regions });
const close = (found, wanted) => found.forEach((n, i) => expect(n).toBeCloseTo(wanted[i], 6));

test("what is written is read again", () => {
  const all = { size: [1024, 768], regions: [region({
    phrase: "red hat", strength: 0.5, boxes: [[0.1, 0.2, 0.5, 0.9]], polygons: [[[0, 0], [1, 0], [0, 1]]],
    strokes: [{ width: 0.1, points: [[0.5, 0.5]], erase: true, fill: false },
      { width: 0, points: [[0, 0], [1, 0], [1, 1]], erase: false, fill: true }],
  })] };
  const again = parse(serialise(all));
  expect(again.error).toBe("");
  expect(again.drawing.size).toEqual([1024, 768]);
  const [{ strokes, ...rest }] = again.drawing.regions;
  expect(rest).toEqual({ ...all.regions[0], strokes: undefined, ...rest });
  expect(strokes.map(({ erase, fill, points }) => ({ erase, fill, points })))
    .toEqual(all.regions[0].strokes.map(({ erase, fill, points }) => ({ erase, fill, points })));
  expect(serialise(again.drawing)).toBe(serialise({ ...all, regions: numbered(all.regions) }));
  expect(serialise(EMPTY)).toBe("");
  expect(JSON.parse(serialise(drawing(box(1 / 3, 0, 1, 1)))).regions[0].boxes[0][0]).toBe(0.3333);
});

test("text that is no drawing is refused in words and does not throw", () => {
  const stroke = (s) => JSON.stringify({ regions: [{ strokes: [s] }] });
  for (const text of ["{", "3", "null", "[]", "{}", '{"regions": 3}', '{"regions": [{"boxes": [[0, 0, 1]]}]}',
    '{"regions": [{"boxes": [["a", 0, 1, 1]]}]}', '{"regions": [null]}', '{"regions": [{"polygons": [3]}]}',
    stroke({}), stroke({ points: [] }), stroke({ points: [[0, null]] }), '{"regions": [{"strength": "x"}]}',
    '{"version": 2, "regions": []}', JSON.stringify({ regions: Array(MAX_REGIONS + 1).fill({}) }),
    `{"regions": [], "x": "${"y".repeat(1_000_000)}"}`]) {
    const found = parse(text);
    expect(found.error).toMatch(/^The saved drawing cannot be read: .+\.$/);
    expect(found.drawing).toBe(EMPTY);
  }
  for (const text of ["", "  ", undefined, null, 3]) expect(parse(text)).toEqual({ drawing: EMPTY, error: "" });
});

test("coordinates stay on the canvas and boxes in order", () => {
  const { drawing: found } = parse('{"regions": [{"boxes": [[2, 0.9, -1, 0.2]], "strength": 9}]}');
  expect(found.regions[0].boxes).toEqual([[0, 0.2, 1, 0.9]]);
  expect(found.regions[0].strength).toBe(2);
});

test("edits change nothing in place", () => {
  const before = drawing(box(0, 0, 0.5, 0.5, { phrase: "a" }), box(0.5, 0.5, 1, 1, { phrase: "b" }));
  const copy = structuredClone(before);
  const phrases = (d) => d.regions.map((r) => r.phrase).join();
  expect(phrases(added(before, region({ phrase: "c" })))).toBe("c,a,b");
  expect(phrases(removed(before, 0))).toBe("b");
  expect(phrases(reordered(before, 0, 1))).toBe("b,a");
  expect(phrases(reordered(before, 1, -5))).toBe("b,a");
  expect(phrases(duplicated(before, 1, 1))).toBe("a,b,b");
  expect(phrases(bound(before, 1, "x"))).toBe("a,x");
  expect(weighted(before, 0, 1.2345678).regions[0].strength).toBe(1.2346);
  expect(weighted(before, 0, -3).regions[0].strength).toBe(0);
  expect(weighted(before, 0, NaN).regions[0].strength).toBe(1);
  expect(before).toEqual(copy);
  const full = drawing(...Array(MAX_REGIONS).fill(box(0, 0, 1, 1)));
  expect(added(full, region({}))).toBe(full);
  expect(duplicated(full, 0, 1)).toBe(full);
});

test("what a region covers follows the order of drawing", () => {
  const erase = { width: 0.2, points: [[0.5, 0.5]], erase: true, fill: false };
  const whole = box(0, 0, 1, 1);
  expect(covers(whole, [0.5, 0.5], 1)).toBe(true);
  expect(covers({ ...whole, strokes: [erase] }, [0.5, 0.5], 1)).toBe(false);
  expect(covers({ ...whole, strokes: [erase] }, [0.5, 0.61], 1)).toBe(true);
  expect(covers({ ...whole, strokes: [erase, { ...erase, width: 0.1, erase: false }] }, [0.5, 0.5], 1)).toBe(true);
  expect(covers(region({ polygons: [[[0, 0], [1, 0], [0, 1]]] }), [0.8, 0.8], 1)).toBe(false);
  const dot = region({ strokes: [{ ...erase, erase: false }] });
  expect(covers(dot, [0.5, 0.65], 1)).toBe(false);
  expect(covers(dot, [0.5, 0.65], 2)).toBe(true); // on a canvas twice as wide, the width's share is more of the height
  expect(regionAt(drawing(box(0, 0, 0.5, 1), box(0, 0, 1, 1)), [0.2, 0.5], 1)).toBe(0);
  expect(regionAt(drawing(box(0, 0, 0.5, 1), box(0, 0, 1, 1)), [0.8, 0.5], 1)).toBe(1);
  expect(regionAt(drawing(), [0.8, 0.5], 1)).toBe(-1);
});

test("a region moves to the edge and no further", () => {
  close(moved(box(0.1, 0.2, 0.3, 0.4), 0.5, -0.9, 1).boxes[0], [0.6, 0, 0.8, 0.2]);
  close(moved(box(0.1, 0.2, 0.3, 0.4), 9, 9, 1).boxes[0], [0.8, 0.8, 1, 1]);
  expect(moved(region({}), 1, 1, 1)).toEqual(region({}));
});

test("a region is stretched from box to box", () => {
  const found = stretched(region({ boxes: [[0, 0, 0.2, 0.2]], strokes: [{ width: 0.1, points: [[0.1, 0.2]], erase: false, fill: false }] }),
    [0, 0, 0.2, 0.2], [0.2, 0.2, 0.6, 0.6]);
  close(found.boxes[0], [0.2, 0.2, 0.6, 0.6]);
  close(found.strokes[0].points[0], [0.4, 0.6]);
  expect(found.strokes[0].width).toBeCloseTo(0.2);
  close(bounds(found, 1), [0.2, 0.2, 0.6, 0.7]);
});

test("regions keep their proportions on a picture of another shape", () => {
  const square = { size: [1000, 1000], regions: [box(0.25, 0.25, 0.75, 0.75)] };
  const wide = refitted(square, [2000, 1000]);
  expect(wide.size).toEqual([2000, 1000]);
  close(wide.regions[0].boxes[0], [0.375, 0.25, 0.625, 0.75]);
  close(refitted(square, [1000, 2000]).regions[0].boxes[0], [0.25, 0.375, 0.75, 0.625]);
});

test("the keyboard works on the latent grid", () => {
  const size = [512, 512];
  const start = adding(drawing(), size, "hat");
  expect(start.regions[0].phrase).toBe("hat");
  const right = nudging(start, 0, { x: 1, y: 0 }, size, true);
  expect((right.regions[0].boxes[0][0] - start.regions[0].boxes[0][0]) * 512).toBeCloseTo(32);
  const wider = growing(start, 0, { x: 1, y: 0 }, size, true).regions[0].boxes[0];
  expect((wider[2] - start.regions[0].boxes[0][2]) * 512).toBeCloseTo(32);
  expect(wider[3]).toBeCloseTo(start.regions[0].boxes[0][3]);
});

test("a phrase and a label are cut between characters, never within one", () => {
  expect(cut("🐱".repeat(600))).toBe("🐱".repeat(500));
  const to = { measureText: (text) => ({ width: 10 * text.length }) };
  expect(shortened(to, "кот 👩‍🚀👩‍🚀", 120)).toBe("кот 👩‍🚀…");
  expect(shortened(to, "кот 👩‍🚀👩‍🚀", 90)).toBe("кот …");
  expect(shortened(to, "猫", 10)).toBe("猫");
});

test("regions without numbers of their own are counted from the back, and so are those whose numbers are no names", () => {
  const numbers = (...given) => parse(JSON.stringify({ regions: given.map((number) => ({ number })) })).drawing.regions.map((r) => r.number);
  expect(numbers(undefined, undefined, undefined)).toEqual([3, 2, 1]);
  expect(numbers(7, 2)).toEqual([7, 2]);
  for (const wrong of [[2, 2], [1, 0], [1, -3], [1, 1.5], [1, "2"], [1, 1000], [1, null], [1, true]]) expect(numbers(...wrong)).toEqual([2, 1]);
});
