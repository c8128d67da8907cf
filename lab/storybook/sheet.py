"""Contact sheets: ``python3 lab/run.py train storybook --sheet FILE.png`` shows what the world looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw

from .atlas import read_atlas
from .caption import training_caption
from .oracle import Seen
from .render import Renderer, to_bytes
from .scene import CANVAS_PX, Scenes

LINE_PX = 14


def sheet(pictures: np.ndarray, captions: list[str], columns: int) -> Image.Image:
    """Pictures uint8 [n, H, W, 3] with a line of text under each."""
    n, height, width, _ = pictures.shape
    out = Image.new("RGB", (columns * width, -(-n // columns) * (height + LINE_PX)), "white")
    write = ImageDraw.Draw(out)
    for i, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
        x, y = i % columns * width, i // columns * (height + LINE_PX)
        out.paste(Image.fromarray(picture), (x, y))
        write.text((x + 2, y + height + 1), text[:width // 6], fill="black")
    return out


def seen_sheet(pictures: np.ndarray, captions: list[str], seen: Sequence[Seen], columns: int) -> Image.Image:
    """A sheet with what the oracle found, to be checked by eye: boxes and names, grey where it is unsure."""
    out = sheet(pictures, captions, columns)
    write = ImageDraw.Draw(out)
    scale = pictures.shape[1] / CANVAS_PX
    for i, picture in enumerate(seen):
        x, y = i % columns * pictures.shape[2], i // columns * (pictures.shape[1] + LINE_PX)
        write.text((x + 2, y + 2), picture.place, fill="black", stroke_width=1, stroke_fill="white")
        for thing in picture.found:
            left, top, right, bottom = (scale * edge for edge in thing.box)
            tone = "magenta" if thing.sure else "grey"
            write.rectangle((x + left, y + top, x + max(left, right), y + max(top, bottom)), outline=tone)
            write.text((x + left + 2, y + top + 1), f"{thing.phrase} {thing.confidence:.2f}", fill=tone)
    return out


def world_sheet(path: Path, count: int = 24, seed: int = 0) -> Path:
    """Rendered scenes with one of their captions."""
    scenes = Scenes(read_atlas(), seed, "sheet").some(0, count)
    pictures = to_bytes(Renderer(read_atlas(), torch.device("cpu"))(scenes).pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet(pictures, [training_caption(scene, Random(i)).text for i, scene in enumerate(scenes)], 6).save(path)
    return path
