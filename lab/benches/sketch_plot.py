"""Fidelity against time: one picture of all variants of the sketch bench."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .results import Row
from .sketch_methods import END, ENDS, STRENGTH, STRENGTHS

WIDTH_PX, HEIGHT_PX, MARGIN_PX = 760, 560, 70
INK, FAINT, FONT = (40, 40, 40), (225, 225, 225), cv2.FONT_HERSHEY_SIMPLEX
STRENGTH_RED, END_BLUE, OTHER_GREY = (196, 64, 54), (40, 90, 200), (110, 110, 110)
TICK = 0.2
# What a reader calls the ways that are no sweep; of the sweeps each dot says its number.
NAMES = {"unpatched": "words only", "sdedit-60": "image-to-image, denoise 0.6", "sdedit-75": "0.75", "sdedit-90": "0.9",
         "ours-longer": "to 80%, strength 1.2", "ours-every-second": "every second step"}


class Axes:
    """Where a pair of values lies on the paper. low, high: (x, y) of the corners, whole ticks round all points."""

    def __init__(self, points: np.ndarray) -> None:
        self.low = np.floor((points.min(0) - TICK / 4) / TICK) * TICK
        self.high = np.ceil((points.max(0) + TICK / 4) / TICK) * TICK

    def ticks(self, axis: int) -> np.ndarray:
        """Of x or y, low and high among them."""
        return np.linspace(self.low[axis], self.high[axis], round((self.high - self.low)[axis] / TICK) + 1)

    def at(self, point: Sequence[float]) -> tuple[int, int]:
        x, y = (np.asarray(point) - self.low) / (self.high - self.low)
        return (round(MARGIN_PX + x * (WIDTH_PX - 2 * MARGIN_PX)),
                round(HEIGHT_PX - MARGIN_PX - y * (HEIGHT_PX - 2 * MARGIN_PX)))


def plot(rows: Sequence[Row]) -> np.ndarray:
    """Time of a run to the right, edge F1 upwards: uint8 [H, W, 3] RGB. Rows of all kinds together are drawn."""
    points = {str(row["variant"]): (float(row["time_ratio"]), float(row["edge_f1"]))
              for row in rows if row.get("drawing") == "all" and "time_ratio" in row}
    paper = np.full((HEIGHT_PX, WIDTH_PX, 3), 255, np.uint8)
    labels = Labels()
    axes = Axes(np.array(list(points.values())))
    _grid(paper, axes)
    ends = {_name("end", e, END): "" if e == END else f"to {e:.0%}" for e in ENDS}
    strengths = {_name("strength", s, STRENGTH): f"strength {s:g}" for s in STRENGTHS}
    _line(paper, axes, points, ends, END_BLUE, labels)
    ours = {"ours": f"Sketch Guidance: strength {STRENGTH:g}, to {END:.0%}"}
    _line(paper, axes, points, strengths | ours, STRENGTH_RED, labels)
    others = [name for name in points if not name.startswith(("ours-strength", "ours-end")) and name != "ours"]
    for name in others:
        _dot(paper, axes.at(points[name]), NAMES.get(name, name), OTHER_GREY, labels)
    labels.write(paper)
    return paper


def _name(what: str, value: float, default: float) -> str:
    return "ours" if value == default else f"ours-{what}-{value}"


def _grid(paper: np.ndarray, axes: Axes) -> None:
    """Ticks, and what the axes show."""
    for x in axes.ticks(0):
        cv2.line(paper, axes.at((x, axes.low[1])), axes.at((x, axes.high[1])), FAINT, 1)
        left, bottom = axes.at((x, axes.low[1]))
        cv2.putText(paper, f"{abs(x):.1f}x", (left - 14, bottom + 18), FONT, 0.4, INK, 1, cv2.LINE_AA)
    for y in axes.ticks(1):
        cv2.line(paper, axes.at((axes.low[0], y)), axes.at((axes.high[0], y)), FAINT, 1)
        left, bottom = axes.at((axes.low[0], y))
        cv2.putText(paper, f"{abs(y):.1f}", (left - 30, bottom + 4), FONT, 0.4, INK, 1, cv2.LINE_AA)
    cv2.putText(paper, "time of a run (1.0x: words only)", (MARGIN_PX, HEIGHT_PX - 22), FONT, 0.45, INK, 1, cv2.LINE_AA)
    cv2.putText(paper, "edge F1 within 2 px of the drawing", (MARGIN_PX, 34), FONT, 0.45, INK, 1, cv2.LINE_AA)


def _line(paper: np.ndarray, axes: Axes, points: dict[str, tuple[float, float]], names: dict[str, str],
          tone: tuple[int, int, int], labels: Labels) -> None:
    """A sweep: its dots in order, joined."""
    found = [(points[name], label) for name, label in names.items() if name in points]
    for (a, _), (b, _) in zip(found[:-1], found[1:], strict=True):
        cv2.line(paper, axes.at(a), axes.at(b), tone, 1, cv2.LINE_AA)
    for point, label in found:
        _dot(paper, axes.at(point), label, tone, labels)


def _dot(paper: np.ndarray, at: tuple[int, int], label: str, tone: tuple[int, int, int], labels: Labels) -> None:
    cv2.circle(paper, at, 5, tone, cv2.FILLED, cv2.LINE_AA)
    if label:
        labels.wanted.append((at, label, tone))


class Labels:
    """What stands beside the dots; written when all dots are known, each in the nearest free place."""

    def __init__(self) -> None:
        self.wanted: list[tuple[tuple[int, int], str, tuple[int, int, int]]] = []

    def write(self, paper: np.ndarray) -> None:
        taken = np.zeros(paper.shape[:2], bool)
        for (x, y), _, _ in self.wanted:
            taken[y - 5:y + 6, x - 5:x + 6] = True
        for (x, y), label, tone in self.wanted:
            width = cv2.getTextSize(label, FONT, 0.42, 1)[0][0]
            places = [(left, y + 4 + down) for down in sorted(range(-90, 91, 3), key=abs)
                      for left in (x + 10, x - 10 - width) if 0 <= left < WIDTH_PX - width]
            left, base = next((at for at in places if not taken[at[1] - 10:at[1] + 3, at[0]:at[0] + width].any()),
                              places[0])
            taken[base - 10:base + 3, left:left + width] = True
            cv2.putText(paper, label, (left, base), FONT, 0.42, tone, 1, cv2.LINE_AA)
