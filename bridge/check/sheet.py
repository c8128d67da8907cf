"""A report as one picture, for the node: a row a part of the check that drew."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from ..record.sheet import Tile, sheet
from .page import image_of
from .report import Report, Shot

TILE_PX, MOST_TILES, MOST_ROWS = 256, 6, 24


def sheet_of(report: Report) -> torch.Tensor:
    """IMAGE [1, H, W, 3]: the first pictures of every case, captions below; one grey tile where none was drawn."""
    rows = [[Tile(_square(shot), shot.caption, f"{row.check}, {row.case}" if row.case else row.check)
             for shot in row.shots[:MOST_TILES]] for row in islice((r for r in report.rows if r.shots), MOST_ROWS)]
    return sheet(rows or [[Tile(np.full((TILE_PX, TILE_PX, 3), 64, np.uint8), "no picture was drawn")]])


def _square(shot: Shot) -> np.ndarray:
    """The picture in the middle of a tile."""
    picture = np.asarray(image_of(shot, TILE_PX))
    tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    top, left = (TILE_PX - picture.shape[0]) // 2, (TILE_PX - picture.shape[1]) // 2
    tile[top:top + picture.shape[0], left:left + picture.shape[1]] = picture
    return tile
