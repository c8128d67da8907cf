"""The pictures of a report as one, for the node."""

from __future__ import annotations

import numpy as np
import torch

from ..record.sheet import Tile, sheet
from .page import image_of
from .report import Report, Shot

TILE_PX, COLUMNS, MOST_TILES = 256, 6, 96


def sheet_of(report: Report) -> torch.Tensor:
    """IMAGE [1, H, W, 3]: the first pictures, what they show and what they are of below; a grey tile for none."""
    tiles = [Tile(_square(shot), shot.caption, f"{row.check}, {row.case}" if row.case else row.check)
             for row in report.rows for shot in row.shots][:MOST_TILES]
    tiles = tiles or [Tile(np.full((TILE_PX, TILE_PX, 3), 64, np.uint8), "no picture was drawn")]
    return sheet([tiles[start:start + COLUMNS] for start in range(0, len(tiles), COLUMNS)])


def _square(shot: Shot) -> np.ndarray:
    """The picture in the middle of a tile."""
    picture = np.asarray(image_of(shot, TILE_PX))
    tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    top, left = (TILE_PX - picture.shape[0]) // 2, (TILE_PX - picture.shape[1]) // 2
    tile[top:top + picture.shape[0], left:left + picture.shape[1]] = picture
    return tile
