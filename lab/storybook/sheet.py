"""Contact sheets: ``python3 lab/run.py train world --sheet FILE.png`` shows what the world looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from .atlas import read_atlas
from .caption import training_caption
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


def world_sheet(path: Path, count: int = 24, seed: int = 0, boxes: bool = False) -> Path:
    """Rendered scenes with one of their captions, and the boxes of their things where asked for."""
    from random import Random

    scenes = Scenes(read_atlas(), seed, "sheet").some(0, count)
    rendered = Renderer(read_atlas(), torch.device("cpu"))(scenes)
    image = sheet(to_bytes(rendered.pictures), [training_caption(s, Random(i)).text for i, s in enumerate(scenes)], 6)
    if boxes:
        write = ImageDraw.Draw(image)
        for i, own in enumerate(rendered.boxes.tolist()):
            x, y = i % 6 * CANVAS_PX, i // 6 * (CANVAS_PX + LINE_PX)
            for left, top, right, bottom in own:
                write.rectangle((x + left, y + top, x + right, y + bottom), outline="magenta")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path
