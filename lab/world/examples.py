"""The pictures in assets/examples: python lab/world/examples.py FOLDER writes them again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from world.caption import plain_caption  # noqa: E402
from world.render import depth_map, render  # noqa: E402
from world.scene import CREATURE, Coat, Scene, Thing  # noqa: E402

# Scenes, and whether the file's alpha channel says where the things are.
SCENES = (
    (Scene("white", (Thing("circle", "red", 66, 62, 31),)), True),
    (Scene("grey", (Thing("square", "blue", 38, 68, 25), Thing("star", "yellow", 92, 60, 27))), False),
    (Scene("beige", (Thing(CREATURE, "", 62, 66, 36, Coat("stripes", (250, 206, 120), (60, 84, 150), 45.0, 0.5)),)),
     True),
    (Scene("white", (Thing(CREATURE, "", 64, 62, 38, Coat("halves", (150, 240, 190), (120, 20, 90), 0.0, 0.5)),)),
     True),
)

# A scene as a depth map, under a name that is no caption.
MAPS = {"a depth map of a circle and a star":
        Scene("black", (Thing("circle", "red", 34, 70, 26), Thing("star", "yellow", 92, 56, 27)))}


def picture(scene: Scene, with_alpha: bool) -> np.ndarray:
    """uint8 [H, W, 3] RGB, or [H, W, 4] with the things' mask as alpha."""
    pixels, masks = render(scene)
    return np.dstack([pixels, masks.any(0).astype(np.uint8) * 255]) if with_alpha else pixels


def map_picture(scene: Scene) -> np.ndarray:
    """uint8 [H, W, 3] RGB, near is light."""
    near = np.round(depth_map(render(scene)[1]) * 255).astype(np.uint8)
    return np.dstack([near, near, near])


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scene, with_alpha in SCENES:
        Image.fromarray(picture(scene, with_alpha)).save(folder / f"{plain_caption(scene)}.png", optimize=True)
    for name, scene in MAPS.items():
        Image.fromarray(map_picture(scene)).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
