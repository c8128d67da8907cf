"""Maps on their way to the editor: bytes in one grey picture, at most so many, whatever the run was."""

from __future__ import annotations

import math
import uuid
from typing import Any

import torch
from comfy_api.latest import io, ui

from ...core.heat import fit_grid, resized
from .sheet import photo

ROW = 1024  # bytes in a line of the picture that carries the maps
PICTURE_PX = 512
MOST_PICTURE_PIXELS = 2 * 1024 * 1024
# The host cuts 255 v down to a whole number; so much above one survives the way there in float32.
_NUDGE = 0.25

Block = dict[str, Any]  # {"at": first byte, "shape": [..., h, w]}


class MapAtlas:
    """Maps one after another, a byte a cell. The editor finds each by where it begins and by its shape."""

    def __init__(self) -> None:
        self._parts: list[torch.Tensor] = []
        self.nbytes = 0

    def add(self, maps: torch.Tensor) -> Block:
        """Append maps [..., h, w] of values 0..1; tells where they lie."""
        values = maps.detach().to("cpu", torch.float32).nan_to_num().clamp(0, 1).mul(255).round().flatten()
        block = {"at": self.nbytes, "shape": list(maps.shape)}
        self._parts.append(values)
        self.nbytes += values.numel()
        return block

    def saved(self) -> dict[str, str]:
        """Write them to the host's temporary folder; tells the file as the host names it."""
        rows = max(1, math.ceil(self.nbytes / ROW))
        flat = torch.cat((*self._parts, torch.zeros(rows * ROW - self.nbytes)))
        return _saved(flat.reshape(1, rows, ROW))[0]


def within(maps: torch.Tensor, most_bytes: int, most_cells: int) -> torch.Tensor:
    """Maps [..., h, w] on so coarse a grid that all of them together take at most so many bytes."""
    count = maps[..., 0, 0].numel()
    grid = (maps.shape[-2], maps.shape[-1])
    size = fit_grid(grid, max(1, min(most_cells, most_bytes // max(1, count))))
    return resized(maps.reshape(-1, 1, *grid).float(), size).reshape(*maps.shape[:-2], *size)


def evenly(numbers: list[int], most: int) -> list[int]:
    """At most so many of them, the first and the last among them; none where two are too many."""
    if len(numbers) <= most:
        return numbers
    if most < 2:
        return []
    return [numbers[round(i * (len(numbers) - 1) / (most - 1))] for i in range(most)]


def saved_pictures(pictures: list[torch.Tensor]) -> list[dict[str, str]]:
    """Pictures [H, W, 3] in the temporary folder, small enough that all of them stay within the bound."""
    if not pictures:
        return []
    height, width = pictures[0].shape[:2]
    room = (MOST_PICTURE_PIXELS / (len(pictures) * height * width)) ** 0.5
    scale = min(1.0, PICTURE_PX / max(height, width), room)
    size = max(1, int(height * scale)), max(1, int(width * scale))
    return _saved(torch.stack([torch.from_numpy(photo(picture, size).copy()) for picture in pictures]))


def _saved(values: torch.Tensor) -> list[dict[str, str]]:
    """Bytes [n, H, W] or [n, H, W, 3] as files of the host's temporary folder; no workflow is written in them."""
    images = (values.to(torch.float32) + _NUDGE) / 255
    prefix = f"attention_director_{uuid.uuid4().hex[:12]}"
    saved = ui.ImageSaveHelper.save_images(images, prefix, io.FolderType.temp, None, compress_level=1)
    return [dict(file) for file in saved]
