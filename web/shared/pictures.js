// Pictures that nodes of the graph show, as backgrounds: LoadImage, previews, results of the last run.

/** @typedef {import("../../tests/web/host").App} App */
/** @typedef {import("../../tests/web/host").GraphNode} GraphNode */

const NODE = "node:";
const FILE = "file:";

/** Where a node's picture is, or "". @param {App} app @param {GraphNode} node */
export function pictureOf(app, node) {
  const shown = node.imgs?.[0]?.src;
  if (shown) return shown;
  const output = app.nodeOutputs?.[String(node.id)]?.images?.[0];
  return output ? app.api.apiURL(`/view?${new URLSearchParams(output)}`) : "";
}

/** Choices for a background: [value, label] of each node that has a picture, but the node itself. @param {App} app @param {GraphNode} self @returns {[string, string][]} */
export function choices(app, self) {
  const nodes = self.graph?.nodes ?? [];
  return nodes.filter((node) => node !== self && pictureOf(app, node))
    .map((node) => [`${NODE}${node.id}`, `#${node.id} ${node.title || node.type}`]);
}

/** The address of a chosen background, or "". @param {App} app @param {GraphNode} self @param {string} choice */
export function addressOf(app, self, choice) {
  if (choice.startsWith(NODE)) {
    const node = self.graph?.nodes?.find((n) => String(n.id) === choice.slice(NODE.length));
    return node ? pictureOf(app, node) : "";
  }
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
