// Line drawings for the buttons, 16 by 16, in the colour of the text beside them.

const SPACE = "http://www.w3.org/2000/svg";

/** @type {Record<string, string>} */
const PATHS = {
  select: "M4 2.5v10l2.8-2.6 1.8 3.9 1.7-.8-1.8-3.8h3.8z",
  box: "M2.5 3.5h11v9h-11z",
  lasso: "M8 3C4.7 3 2.5 4.6 2.5 6.6S4.7 10 8 10s5.500-1.400 5.500-3.400S11.300 3 8 3zM5 9.600c-1.200.900-1.200 2.400.200 2.900.900.300 1.400 1 1 1.700",
  brush: "M13.500 2.500L7 9M6.800 8.600c-1.600-.500-2.900.400-3.200 2-.200 1.200-.800 1.800-1.600 2.200 2.200 1.200 5.300.700 6-1.700.200-.900-.200-2-1.200-2.500z",
  erase: "M6 13.500h7.500M9.200 3l4 4-6 6H5l-2.600-2.600zM6.200 6l4 4",
  snap: "M2.500 6h11M2.500 10h11M6 2.500v11M10 2.500v11",
  mask: "M2.5 3.5h11v9h-11zM5 10.5c0-3 1.300-4.500 3-4.500s3 1.500 3 4.500z",
  undo: "M5.500 3L2.500 6l3 3M2.500 6h6.800a3.700 3.700 0 010 7.400H6",
  redo: "M10.500 3l3 3-3 3M13.500 6H6.700a3.700 3.700 0 000 7.400H10",
  paste: "M5.500 3.500h-2v10h9v-10h-2M5.500 2.500h5v2.500h-5z",
  clear: "M2.500 4.500h11M6 4.500v-2h4v2M4 4.500l.7 9h6.600l.7-9M6.700 7v4M9.300 7v4",
  forward: "M8 13V3.500M4 7l4-4 4 4",
  backward: "M8 3v9.500M4 9l4 4 4-4",
  duplicate: "M2.500 5.500h7v8h-7zM6.500 5.500v-3h7v8h-4",
  eye: "M1.500 8s2.500-4.500 6.500-4.500S14.500 8 14.500 8s-2.500 4.500-6.500 4.500S1.500 8 1.500 8zM8 6a2 2 0 100 4 2 2 0 000-4z",
  lock: "M4 7.500h8v6H4zM5.500 7.500V5a2.500 2.500 0 015 0v2.500",
  larger: "M9.500 2.500h4v4M13.500 2.500L9 7M6.500 13.500h-4v-4M2.500 13.500L7 9",
  power: "M8 2.500v5M5 4.300a5 5 0 106 0",
  delete: "M4 4l8 8M12 4l-8 8",
};

/** A drawing by its name. @param {string} name @returns {SVGElement} */
export function icon(name) {
  const svg = document.createElementNS(SPACE, "svg");
  for (const [key, value] of Object.entries({
    viewBox: "0 0 16 16", width: "15", height: "15", fill: "none", stroke: "currentColor", "stroke-width": "1.4",
    "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true",
  })) svg.setAttribute(key, value);
  const path = document.createElementNS(SPACE, "path");
  path.setAttribute("d", PATHS[name] ?? "");
  svg.append(path);
  return svg;
}
