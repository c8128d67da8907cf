// What of a picture is mask. No DOM: pixels come as a canvas gives them.
import { t } from "../shared/texts.js";

const WHITE = 127.5; // masks are cut at one half everywhere in the pack
const GREY = 48; // red, green and blue of a grey pixel lie this near to each other
const FEW = 0.02;
const TRACE = 5e-4;

/**
 * Each pixel's 1 or 0, or why a picture is no mask. White is mask; of a colour picture it is the transparent part, as
 * the host's Load Image gives it.
 * @param {ArrayLike<number>} rgba @returns {{ mask: Uint8Array, problem: string }}
 */
export function maskOf(rgba) {
  const count = rgba.length / 4;
  const [white, clear] = [new Uint8Array(count), new Uint8Array(count)];
  let [whites, clears, coloured] = [0, 0, 0];
  for (let i = 0, at = 0; i < count; i++, at += 4) {
    const [r, g, b, a] = [rgba[at], rgba[at + 1], rgba[at + 2], rgba[at + 3]];
    if (a < WHITE) clears += clear[i] = 1;
    else if (Math.max(r, g, b) - Math.min(r, g, b) > GREY) coloured++;
    if (((0.299 * r + 0.587 * g + 0.114 * b) * a) / 255 > WHITE) whites += white[i] = 1;
  }
  if (coloured > FEW * count) {
    const painted = clears > TRACE * count;
    return { mask: clear, problem: painted ? "" : t("is a colour picture, not a mask") };
  }
  return { mask: white, problem: whites ? "" : t("has no white area, so it contains no mask") };
}
