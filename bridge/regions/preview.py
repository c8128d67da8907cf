"""A picture of the regions with their phrases, for the node's preview."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..errors import shortened

PREVIEW_PX = 512
MOST_LETTERS = 80
TEXT_PX = 24


def region_preview(masks: torch.Tensor, phrases: list[str], numbers: Sequence[int], width: int, height: int,
                   left_out: Sequence[str] = ()) -> torch.Tensor:
    """Masks [R, H, W] as tints of one colour per region with its phrase at its centre: IMAGE [1, h, w, 3].

    numbers: of the regions, from 1; they give the colours, the same as in the editor. left_out: what is left out and
    why, a line each, written at the bottom.
    """
    scale = PREVIEW_PX / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.full((size[1], size[0], 3), 32, np.float32)
    resized = torch.nn.functional.interpolate(masks[:, None].float(), size=(size[1], size[0]), mode="nearest")[:, 0]
    tints = [255 * np.array(colorsys.hsv_to_rgb((n - 1) * 0.618034 % 1.0, 0.6, 0.9), np.float32) for n in numbers]
    for mask, tint in reversed(list(zip(resized.numpy(), tints, strict=True))):
        canvas += (mask[..., None] > 0.5) * 0.75 * (tint - canvas)
    image = Image.fromarray(canvas.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for mask, phrase in zip(resized.numpy(), phrases, strict=True):
        ys, xs = np.nonzero(mask > 0.5)
        if len(xs):
            words = shortened(phrase, MOST_LETTERS) or "(shape)"
            draw.text((float(xs.mean()), float(ys.mean())), words, anchor="mm", fill=(255, 255, 255),
                      font=ImageFont.load_default(TEXT_PX), stroke_width=2, stroke_fill=(0, 0, 0))
    if left_out:
        lines = "\n".join(f"{shortened(line, MOST_LETTERS)}, left out" for line in left_out)
        draw.text((size[0] / 2, size[1] - 4), lines, anchor="md", fill=(255, 255, 255),
                  font=ImageFont.load_default(TEXT_PX / 2), stroke_width=1, stroke_fill=(0, 0, 0))
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)[None]
