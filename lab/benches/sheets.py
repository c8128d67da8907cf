"""Pictures for people: what the demo model draws, and the same seeds with and without Region Prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import cv2
import numpy as np
from world.caption import plain_caption
from world.draw import World, draw, draw_captions, load_world
from world.scene import sample_scene

from . import storybook_layout
from .layout import Layout, sample_layout
from .layout_methods import VARIANTS
from .results import PICTURES, RESULTS, Row
from .storybook_layout_methods import VARIANTS as STORYBOOK_VARIANTS

SIDE_PX = 256  # of a picture on a sheet
SCALE = 2
PAPER_WHITE = 255
TEXT_PX = 26


def _upscaled(picture: np.ndarray) -> np.ndarray:
    scale = max(1, SIDE_PX // picture.shape[0])
    return np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1)


def outlined(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The picture with thin outlines of bool masks [R, H, W]."""
    out = picture.copy()
    for box in boxes:
        contours, _ = cv2.findContours(box.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(out, contours, -1, (255, 0, 255), 1)
    return out


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """A picture with a line of text under it, cut to fit."""
    big = _upscaled(picture)
    strip = np.full((TEXT_PX, big.shape[1], 3), PAPER_WHITE, np.uint8)
    cv2.putText(strip, text[:48], (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40), 1, cv2.LINE_AA)
    return np.concatenate((big, strip))


def drawn_layout(layout: Layout) -> np.ndarray:
    """What a person drew: a box a phrase, on grey."""
    side = layout.boxes.shape[1] * SCALE
    page = np.full((side, side, 3), 60, np.uint8)
    for box, phrase in zip(layout.boxes, layout.phrases, strict=True):
        ys, xs = np.nonzero(box)
        x0, x1, y0, y1 = (int(v) * SCALE for v in (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1))
        cv2.rectangle(page, (x0, y0), (x1 - 1, y1 - 1), (255, 255, 255), 1)
        for i, word in enumerate(phrase.split()):
            cv2.putText(page, word, (x0 + 4, y0 + 15 + 13 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1,
                        cv2.LINE_AA)
    strip = np.full((TEXT_PX, side, 3), PAPER_WHITE, np.uint8)
    return np.concatenate((page, strip))


def grid(cells: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Cells of one size in rows, thin white lines between them; the last row is filled with white."""
    framed = [cv2.copyMakeBorder(cell, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(PAPER_WHITE,) * 3) for cell in cells]
    framed += [np.full_like(framed[0], PAPER_WHITE)] * (-len(framed) % columns)
    rows = [np.concatenate(framed[i:i + columns], axis=1) for i in range(0, len(framed), columns)]
    return np.concatenate(rows)


def save(name: str, picture: np.ndarray, folder: Path = RESULTS) -> None:
    """A picture that is published lies in docs/, not with the numbers; a trial's lies with its numbers."""
    folder = PICTURES if folder == RESULTS else folder
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), picture[..., ::-1])
    print(f"wrote {name}", flush=True)


def samples(world: World, count: int) -> np.ndarray:
    """Unpatched pictures of the first held-out scenes, seed after seed: none is picked."""
    scenes = [scene for i in range(4 * count) if (scene := sample_scene(Random(f"sheet/{i}"))).things][:count]
    jobs = [(plain_caption(scene), seed) for seed, scene in enumerate(scenes)]
    pictures = [p for drawing in draw_captions(world, jobs) for p in drawing.pictures]
    return grid([captioned(p, text) for p, (text, _) in zip(pictures, jobs, strict=True)], columns=6)


def pair(world: World, number: int) -> tuple[Layout, np.ndarray, np.ndarray]:
    """A layout, and the same prompt and seed plain and directed."""
    layout = sample_layout(number)
    pictures = []
    for variant in ("unpatched", "ours"):
        model, positive = VARIANTS[variant](world, layout)
        pictures.append(draw(world, model, positive, [number]).pictures[0])
    return layout, pictures[0], pictures[1]


def strip(world: World, numbers: Sequence[int]) -> np.ndarray:
    """Layouts of the storybook world: plain, and the same seed with the boxes that were drawn."""
    cells = []
    for number in numbers:
        layout = storybook_layout.sample_layout(number)
        asked = [STORYBOOK_VARIANTS[variant](world, layout) for variant in ("unpatched", "ours")]
        plain, directed = (draw(world, one.model, one.positive, [number]).pictures[0] for one in asked)
        text = f"{len(layout.boxes)} boxes drawn"
        cells += [captioned(plain, "plain"), captioned(outlined(directed, layout.masks), text)]
    return grid(cells, columns=2 * len(numbers))


def run(limit: int | None = None) -> list[Row]:
    """Three sheets in docs; no numbers."""
    world = load_world()
    save("samples.png", samples(world, limit or 24))
    pairs = [pair(world, number) for number in range(limit or 8)]
    save("layouts.png", grid([cell for layout, plain, directed in pairs for cell in (
        drawn_layout(layout), captioned(plain, "plain"), captioned(directed, "directed"))], columns=6))
    save("strip.png", strip(load_world("transformer"), (1, 2, 3)))
    return []
