// A region's colour by its number: the same as in the node's preview picture. Red first and blue second, as what one
// tries first is a red thing beside a blue one.

const GOLDEN = 0.618034;
const SATURATION = 0.6;
const VALUE = 0.9;

/** @param {number} number from 1 @returns {[number, number, number]} red, green, blue, 0 to 255 */
export function tint(number) {
  const hue = (((number - 1) * GOLDEN) % 1) * 6;
  const channel = (/** @type {number} */ n) => {
    const k = (n + hue) % 6;
    return Math.round(255 * VALUE * (1 - SATURATION * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

/** The same as a CSS colour. @param {number} number @param {number} alpha */
export function css(number, alpha = 1) {
  const [r, g, b] = tint(number);
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}
