// The files of a run, loaded: the bytes of its maps, and its pictures in colour and in dimmed grey.
import { load } from "../shared/pictures.js";

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./data.js").File} File */

/** A picture's first channel, byte by byte, or null where the page may not read it. @param {HTMLImageElement} image */
export function bytesOf(image) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return null;
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const bytes = new Uint8Array(pixels.length / 4);
  for (let i = 0; i < bytes.length; i++) bytes[i] = pixels[4 * i];
  return bytes;
}

/** The picture as heat maps lie on it: grey, and darker. @param {HTMLImageElement} image */
export function dimmed(image) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d");
  if (!context) return null;
  context.drawImage(image, 0, 0);
  const picture = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = picture;
  for (let i = 0; i < data.length; i += 4) {
    data[i] = data[i + 1] = data[i + 2] = 20 + 0.6 * (0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** Everything the viewer draws with, or null where the maps are gone. @param {Data} data @param {(file: File) => string} addressOf */
export async function contentOf(data, addressOf) {
  const [atlas, ...pictures] = await Promise.all([data.atlas, ...data.pictures].map((file) => load(addressOf(file))));
  const bytes = atlas && bytesOf(atlas);
  return bytes && { bytes, pictures: pictures.map((plain) => ({ plain, dim: plain && dimmed(plain) })) };
}
