"""The small pictures that ship with the pack."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from ..errors import DirectorError
from ..files import ASSETS

FOLDER = ASSETS / "examples"
SUFFIX = ".png"


def example_names() -> list[str]:
    """Names of the bundled pictures; each says what it shows."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def load_example(node: str, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(IMAGE [1, H, W, 3], MASK [1, H, W]): the mask is the alpha channel, all ones where there is none.

    Raises DirectorError for a name that is not on the list; the name never becomes a path by itself.
    """
    if name not in example_names():
        raise DirectorError(node, f'there is no picture "{name}" in the pack; choose one from the list.')
    with Image.open(FOLDER / f"{name}{SUFFIX}") as opened:
        picture = torch.from_numpy(np.asarray(opened.convert("RGBA"), dtype=np.float32) / 255)[None]
    return picture[..., :3].contiguous(), picture[..., 3].contiguous()
