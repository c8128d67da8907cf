// Colours of a heat map, from cold to hot: the same as in the node's sheet.

/** @type {[number, number, number][]} */
export const RAMP = [[8, 8, 32], [60, 18, 98], [140, 30, 108], [212, 66, 64], [247, 140, 20], [252, 206, 50], [255, 255, 200]];
// Cold lets the picture through, hot hides it.
export const THIN = 0.15;
export const THICK = 0.7;

/** Every byte's colour, 256 times red, green, blue. */
const COLOURS = (() => {
  const all = new Uint8ClampedArray(256 * 3);
  for (let value = 0; value < 256; value++) {
    const place = (value / 255) * (RAMP.length - 1);
    const below = Math.min(Math.floor(place), RAMP.length - 2);
    for (let c = 0; c < 3; c++) all[3 * value + c] = RAMP[below][c] + (place - below) * (RAMP[below + 1][c] - RAMP[below][c]);
  }
  return all;
})();

/** A map as pixels, red, green, blue, alpha. @param {Uint8Array} values @param {boolean} bare no picture beneath: nothing is let through */
export function heatPixels(values, bare) {
  const pixels = new Uint8ClampedArray(4 * values.length);
  values.forEach((value, i) => {
    pixels.set(COLOURS.subarray(3 * value, 3 * value + 3), 4 * i);
    pixels[4 * i + 3] = bare ? 255 : 255 * (THIN + (THICK * value) / 255);
  });
  return pixels;
}

/** One colour whose alpha is the map's value, or what is missing to 255. @param {Uint8Array} values @param {[number, number, number]} colour @param {number} alpha @param {boolean} [outside] */
export function tintPixels(values, colour, alpha, outside = false) {
  const pixels = new Uint8ClampedArray(4 * values.length);
  values.forEach((value, i) => {
    pixels.set(colour, 4 * i);
    pixels[4 * i + 3] = alpha * (outside ? 255 - value : value);
  });
  return pixels;
}

/** The ramp as a CSS background. */
export function gradient() {
  return `linear-gradient(to right, ${RAMP.map((c) => `rgb(${c.join(", ")})`).join(", ")})`;
}
