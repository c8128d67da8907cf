"""Make the atlas of the storybook world from Microsoft's Fluent Emoji in 3D (MIT licence).

``npm pack @lobehub/fluent-emoji-3d@1.1.0`` fetches the pictures, here or beforehand (``--package FILE``); whoever
uses the atlas fetches nothing. ``python lab/storybook/build_atlas.py`` writes atlas.npz beside this file.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from storybook.cast import COLOURED, COLOURS, HUES, PEOPLE, PLAIN, TURNED, people_codes
from storybook.tint import COLOUR_HUES, PAINTS, tinted

PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"
SPRITE_PX = 128
ALIKE = 0.01  # root mean square; two looks nearer than this are one look under two names


class Pictures:
    """The package's pictures by code point."""

    def __init__(self, archive: Path) -> None:
        self.tar = tarfile.open(archive)  # noqa: SIM115  (open as long as the builder runs)
        self.names = set(self.tar.getnames())

    def has(self, code: str) -> bool:
        return f"package/assets/{code}.webp" in self.names

    def sprite(self, code: str) -> np.ndarray:
        """Float [SPRITE_PX, SPRITE_PX, 4], RGB times alpha."""
        file = self.tar.extractfile(f"package/assets/{code}.webp")
        assert file is not None
        whole = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGBA")).astype(np.float32) / 255
        whole[..., :3] *= whole[..., 3:]
        planes = [Image.fromarray(whole[..., i]).resize((SPRITE_PX, SPRITE_PX), Image.Resampling.LANCZOS)
                  for i in range(4)]
        small = np.stack([np.asarray(plane) for plane in planes], -1).clip(0, 1)
        return np.minimum(small, small[..., 3:])  # the filter overshoots; no channel may be brighter than its alpha


def sprites(pictures: Pictures) -> Iterator[tuple[str, str, np.ndarray]]:
    """(phrase, look, sprite) of everything; the look tells apart what one phrase names."""
    for word, code in PLAIN.items():
        yield word, "", pictures.sprite(code)
    for word, code in COLOURED.items():
        for colour in COLOURS:
            yield f"{colour} {word}", "", tinted(pictures.sprite(code), PAINTS[word], *COLOUR_HUES[colour])
    for word, code in TURNED.items():
        for number in range(HUES):
            yield word, f"hue{number}", tinted(pictures.sprite(code), PAINTS[word], number / HUES)
    for word in PEOPLE:
        seen: list[np.ndarray] = []
        for code in people_codes(word):
            sprite = pictures.sprite(code) if pictures.has(code) else None
            if sprite is None or any(np.square(sprite - other).mean() ** 0.5 < ALIKE for other in seen):
                continue
            seen.append(sprite)
            yield word, code, sprite


def fetch(folder: Path) -> Path:
    """The package's archive in ``folder``, by npm."""
    subprocess.run(["npm", "pack", "--silent", "--pack-destination", str(folder), PACKAGE], check=True,
                   stdout=subprocess.DEVNULL)
    return next(folder.glob("*.tgz"))


def build(archive: Path, out: Path) -> None:
    """Write sprites uint8 [n, 128, 128, 4] (RGB times alpha), phrases [n] and looks [n]."""
    phrases, looks, pixels = zip(*sprites(Pictures(archive)), strict=True)
    whole = (np.stack(pixels) * 255).round().clip(0, 255).astype(np.uint8)
    np.savez_compressed(out, sprites=whole, phrases=np.array(phrases), looks=np.array(looks))
    print(f"wrote {len(phrases)} sprites, {out.stat().st_size / 1e6:.2f} MB: {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, help=f"the archive that `npm pack {PACKAGE}` fetched")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("atlas.npz"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build(arguments.package or fetch(Path(folder)), arguments.out)


if __name__ == "__main__":
    main()
