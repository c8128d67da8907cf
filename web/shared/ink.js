// Strokes, the brush's ring, hints and backgrounds, as both editors draw them. All words go by fillText.

/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {{ width: number, points: Point[], fill?: boolean }} Line width: a share of the canvas width */

/** Cut at the middle, as a picture of another shape would be. @type {(to: CanvasRenderingContext2D, w: number, h: number, image: HTMLImageElement, alpha: number) => void} */
export function paintBackground(to, w, h, image, alpha) {
  const scale = Math.max(w / image.naturalWidth, h / image.naturalHeight);
  const [iw, ih] = [image.naturalWidth * scale, image.naturalHeight * scale];
  to.globalAlpha = alpha;
  to.drawImage(image, (w - iw) / 2, (h - ih) / 2, iw, ih);
  to.globalAlpha = 1;
}

/** @type {(to: CanvasRenderingContext2D, points: Point[], w: number, h: number, close?: boolean) => void} */
export function trace(to, points, w, h, close = true) {
  to.beginPath();
  points.forEach(([x, y], i) => (i ? to.lineTo(x * w, y * h) : to.moveTo(x * w, y * h)));
  if (close) to.closePath();
  else if (points.length === 1) to.lineTo(points[0][0] * w, points[0][1] * h);
}

/** @type {(own: CanvasRenderingContext2D, w: number, h: number, stroke: Line) => void} */
export function paintStroke(own, w, h, stroke) {
  trace(own, stroke.points, w, h, stroke.fill);
  if (stroke.fill) return own.fill();
  own.lineWidth = Math.max(1, stroke.width * w);
  own.stroke();
}

/** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number, at: Point, width: number) => void} */
export function paintBrush(to, w, h, unit, [x, y], width) {
  to.beginPath();
  to.arc(x * w, y * h, Math.max(1, (width * w) / 2), 0, 2 * Math.PI);
  to.lineWidth = 3 * unit;
  to.strokeStyle = "rgba(0, 0, 0, 0.6)";
  to.stroke();
  to.lineWidth = unit;
  to.strokeStyle = "#ffffff";
  to.stroke();
}

/** @type {(to: CanvasRenderingContext2D, w: number, h: number, unit: number, hint: string) => void} */
export function paintHint(to, w, h, unit, hint) {
  const size = 14 * unit;
  to.font = `${size}px system-ui, sans-serif`;
  to.textAlign = "center";
  to.textBaseline = "middle";
  const lines = hint.split("\n");
  lines.forEach((words, i) => {
    to.fillStyle = `rgba(255, 255, 255, ${i ? 0.6 : 0.85})`;
    to.fillText(words, w / 2, h / 2 + (i - (lines.length - 1) / 2) * size * 1.6, w * 0.94);
  });
}
