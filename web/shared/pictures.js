// Pictures that nodes of the graph show, as backgrounds: LoadImage, previews, results of the last run.
import { outputOf } from "./host.js";

/** @typedef {import("./comfyui").App} App */
/** @typedef {import("./comfyui").GraphNode} GraphNode */

const NODE = "node:";
const FILE = "file:";

/** Where a node's picture is, or "": as a run has told it, since the classic renderer renews what a node shows only
 * when it paints the node. @param {App} app @param {GraphNode} node */
export function pictureOf(app, node) {
  return picturesOf(app, node)[0] ?? "";
}

/** Where all pictures of a node are. @param {App} app @param {GraphNode} node @returns {string[]} */
export function picturesOf(app, node) {
  const told = (outputOf(app, node)?.images ?? []).map((/** @type {Record<string, string>} */ image) => app.api.apiURL(`/view?${new URLSearchParams(image)}`));
  return told.length ? told : (node.imgs ?? []).map((image) => image.src);
}

/** Choices of pictures: [value, label] of each node that has a picture, but the node itself. @param {App} app @param {GraphNode} self @returns {[string, string][]} */
export function choices(app, self) {
  const nodes = self.graph?.nodes ?? [];
  return nodes.filter((node) => node !== self && pictureOf(app, node))
    .map((node) => [`${NODE}${node.id}`, `#${node.id} ${node.title || node.type}`]);
}

/** The node that a choice names, or null. @param {GraphNode} self @param {string} choice */
export function nodeOf(self, choice) {
  const wanted = choice.startsWith(NODE) ? choice.slice(NODE.length) : null;
  return self.graph?.nodes?.find((node) => String(node.id) === wanted) ?? null;
}

/** The address of a chosen background, or "". @param {App} app @param {GraphNode} self @param {string} choice */
export function addressOf(app, self, choice) {
  const node = nodeOf(self, choice);
  if (node) return pictureOf(app, node);
  if (!choice.startsWith(FILE)) return "";
  return app.api.apiURL(`/view?${new URLSearchParams({ filename: choice.slice(FILE.length), type: "input", subfolder: "" })}`);
}

/** Load a picture. Resolves to null where there is none. @param {string} address @returns {Promise<HTMLImageElement | null>} */
export function load(address) {
  if (!address) return Promise.resolve(null);
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => resolve(null);
    image.src = address;
  });
}

/** Put a file into ComfyUI's input folder; returns the choice that names it, or "". @param {App} app @param {File} file */
export async function upload(app, file) {
  const body = new FormData();
  body.append("image", file);
  const answer = await app.api.fetchApi("/upload/image", { method: "POST", body });
  return answer.ok ? `${FILE}${(await answer.json()).name}` : "";
}

/**
 * A picture's pixels, made smaller where a side is longer than asked; null where there is none.
 * @param {HTMLImageElement | null} image @param {number} longest @returns {ImageData | null}
 */
export function pixelsOf(image, longest) {
  if (!image?.naturalWidth) return null;
  const scale = Math.min(1, longest / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return context?.getImageData(0, 0, canvas.width, canvas.height) ?? null;
}

/** A picture of this machine's own, without the server. @param {File} file */
export async function loadFile(file) {
  const address = URL.createObjectURL(file);
  try {
    return await load(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}
