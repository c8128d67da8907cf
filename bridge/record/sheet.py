"""Sheets of pictures: maps over images, a caption under each, a colour bar. Plain PIL and NumPy."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Picture = np.ndarray  # uint8 [h, w, 3]

TILE_PX = (256, 512)  # longer side of a tile: small pictures are enlarged, large ones reduced
MOST_PX = 8192  # longer side of a sheet
SMALLEST_TILE_PX = 64
MOST_LETTERS = 200
PAPER, INK, FAINT = (24, 24, 27), (244, 244, 245), (161, 161, 170)

# From cold to hot, evenly rising in lightness, so that it also reads in print and for the colour-blind.
_RAMP = np.array([(8, 8, 32), (60, 18, 98), (140, 30, 108), (212, 66, 64), (247, 140, 20), (252, 206, 50),
                  (255, 255, 200)], np.float32)


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture of a sheet with its caption, and a note in fainter letters below."""

    picture: Picture
    caption: str
    note: str = ""


@dataclass(frozen=True)
class Legend:
    """A colour bar: what its two ends mean, and what the sheet shows."""

    low: str
    high: str
    text: str


def ramp(values: np.ndarray) -> np.ndarray:
    """Colours of values 0..1, [..., 3] in 0..255."""
    place = np.clip(values, 0.0, 1.0) * (len(_RAMP) - 1)
    below = np.minimum(place.astype(int), len(_RAMP) - 2)
    share = (place - below)[..., None]
    return (1 - share) * _RAMP[below] + share * _RAMP[below + 1]


def tile_size(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """(h, w) in pixels of each tile of a sheet for pictures of this size."""
    longer = max(height, width)
    wanted = min(max(longer, TILE_PX[0]), TILE_PX[1])
    room = MOST_PX / (1.4 * max(rows * height, columns * width) / longer)
    scale = max(SMALLEST_TILE_PX, min(wanted, room)) / longer
    return max(1, round(height * scale)), max(1, round(width * scale))


def photo(image: torch.Tensor, size: tuple[int, int]) -> Picture:
    """An IMAGE [h, w, 3 or 4] at the size of a tile. Pixel pictures are enlarged smoothly."""
    values = image[..., :3].detach().to("cpu", torch.float32).nan_to_num().clamp(0, 1).mul(255).round()
    picture = Image.fromarray(values.numpy().astype(np.uint8))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.LANCZOS))


def enlarged(values: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Values [h, w] at the size of a tile, smooth between the cells: float32 in the same range."""
    picture = Image.fromarray(values.detach().to("cpu", torch.float32).numpy())
    out = np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return np.clip(out, float(values.min()), float(values.max()))


def over(base: Picture | None, heat: np.ndarray) -> Picture:
    """Heat 0..1 as colours over a picture turned grey; alone where there is none. Cold lets the picture through."""
    colours = ramp(heat)
    if base is None:
        return colours.round().astype(np.uint8)
    grey = base.astype(np.float32) @ np.array((0.299, 0.587, 0.114), np.float32)
    dim = (20 + 0.6 * grey)[..., None]
    alpha = (0.15 + 0.70 * np.clip(heat, 0, 1))[..., None]
    return (dim + alpha * (colours - dim)).clip(0, 255).round().astype(np.uint8)


def outlined(picture: Picture, inside: np.ndarray) -> Picture:
    """The picture with the border of ``inside`` (bool [h, w]) as a white line between two dark ones."""
    area = Image.fromarray(inside.astype(np.uint8) * 255)
    wide = 2 * max(1, round(max(inside.shape) / TILE_PX[0])) + 1
    line = area.filter(ImageFilter.MaxFilter(wide))
    around = area.filter(ImageFilter.MaxFilter(wide + 2))
    within = area.filter(ImageFilter.MinFilter(3))
    out = picture.copy()
    out[(np.asarray(around) > 0) & (np.asarray(within) == 0)] = (0, 0, 0)
    out[(np.asarray(line) > 0) & ~inside] = (255, 255, 255)
    return out


def tidy(text: str) -> str:
    """A user's words as one line: no control characters, no endless length."""
    kept = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text[:MOST_LETTERS])
    return " ".join(kept.split())


def fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than ``width`` pixels."""
    text = tidy(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def sheet(rows: Sequence[Sequence[Tile]], legend: Legend | None = None) -> torch.Tensor:
    """Tiles of one size in rows, captions below, the legend at the foot: IMAGE [1, H, W, 3]."""
    height, width = rows[0][0].picture.shape[:2]
    letters = max(11, round(min(max(height, width), 512) / 15))
    gap = max(4, letters // 2)
    cell = (height + 3 * letters, width + gap)
    columns = max(len(row) for row in rows)
    foot = (4 if columns > 1 else 5) * letters if legend else 0
    canvas = Image.new("RGB", (columns * cell[1] + gap, len(rows) * cell[0] + gap + foot), PAPER)
    draw = ImageDraw.Draw(canvas)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            corner = (gap + x * cell[1], gap + y * cell[0])
            canvas.paste(Image.fromarray(tile.picture), corner)
            _write(draw, (corner[0], corner[1] + height + letters // 4), width, tile, letters)
    if legend:
        _draw_legend(canvas, draw, legend, letters, gap, foot)
    return torch.from_numpy(np.asarray(canvas, dtype=np.float32) / 255)[None]


def _write(draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int, tile: Tile, letters: int) -> None:
    large, small = ImageFont.load_default(letters), ImageFont.load_default(max(10, round(letters * 0.8)))
    draw.text(corner, fitted(tile.caption, large, width), fill=INK, font=large)
    draw.text((corner[0], corner[1] + round(1.25 * letters)), fitted(tile.note, small, width), fill=FAINT, font=small)


def _draw_legend(canvas: Image.Image, draw: ImageDraw.ImageDraw, legend: Legend, letters: int, gap: int,
                 foot: int) -> None:
    """low [colour bar] high, and below it what is shown."""
    small = ImageFont.load_default(max(10, round(letters * 0.8)))
    room = canvas.width - 2 * gap
    top = canvas.height - foot + gap
    bar = (max(16, min(round(room - small.getlength(legend.low + legend.high) - 2 * gap), 12 * letters)), letters)
    left = gap + round(small.getlength(legend.low)) + gap
    colours = np.broadcast_to(ramp(np.linspace(0, 1, bar[0])), (bar[1], bar[0], 3)).round().astype(np.uint8)
    draw.text((gap, top), legend.low, fill=FAINT, font=small)
    canvas.paste(Image.fromarray(np.ascontiguousarray(colours)), (left, top))
    draw.text((left + bar[0] + gap, top), legend.high, fill=FAINT, font=small)
    draw.text((gap, top + round(1.5 * letters)), fitted(legend.text, small, room), fill=FAINT, font=small)
