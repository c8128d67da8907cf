import { isMissed, scoresIn, scoresOf } from "../../../web/regions/landing.js";

const output = (places, steps = 1) => ({ attention_director_readout: [{
  version: 1, atlas: { filename: "a.png" }, images: 2, size: [8, 8], show: "", step: -1,
  heat: { maps: { at: 0, shape: [steps, 2, 2, 1, 1] }, shown: 0, phrases: ["red hat", "dog"], has: [[1, 1], [1, 1]], tops: Array(steps).fill([1, 1]), steps: [-1, 3, 7].slice(0, steps), total: 1,
    mean: "", landing: { regions: { at: 4, shape: [2, 1, 1] }, places } },
}] });
const place = (image, column, score) => ({ image, column, region: column, scores: [score] });

test("the score of a phrase is that of the image where it is worst", () => {
  expect(scoresIn(output([place(0, 0, 0.9), place(1, 0, 0.3), place(0, 1, 0.7)]))).toEqual({ "red hat": 0.3, dog: 0.7 });
  expect(scoresIn(output([]))).toBeNull();
  for (const other of [undefined, null, {}, { images: [] }, "text"]) expect(scoresIn(other)).toBeNull();
});

test("the last step counts, where regions force attention least", () => {
  expect(scoresIn(output([{ ...place(0, 0, 0), scores: [0.9, 0.95, 0.4] }], 3))).toEqual({ "red hat": 0.4 });
});

test("scores are of the drawing that was run, and of regions that act", () => {
  const regions = [{ phrase: "red hat", off: false }, { phrase: "dog", off: true }, { phrase: "cow", off: false }];
  const landing = { value: "drawn", scores: { "red hat": 0.3, dog: 0.7 } };
  expect(scoresOf(landing, "drawn", regions)).toEqual([0.3, null, null]);
  expect(scoresOf(landing, "changed", regions)).toEqual([null, null, null]);
  expect(scoresOf(null, "drawn", regions)).toEqual([null, null, null]);
  expect([0.3, 0.5, null].map(isMissed)).toEqual([true, false, false]);
});
