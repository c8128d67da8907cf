"""Which layers of a loaded UNet ConsiStory uses, from the network itself and the size of the picture.

The paper names grids of SDXL at 1024 pixels, a latent of 128: maps from 32 x 32, sharing in the
decoder's 32 x 32 and 64 x 64, features and injection at 64 x 64. Counted in latent pixels a cell that is
map stride 4 and link stride 2. Stable Diffusion 1.5 at 512 has the same strides at 16 and 32 (and shares at
64 as well). A picture so small that these grids would say nothing takes the next finer one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ...core.network import LayerAddress, SubjectLayers

MAP_STRIDE, LINK_STRIDE = 4, 2
SMALLEST_GRID, SMALLEST_SHARED = 16, 8


class Strides(Protocol):
    """What is read of a UNet: see UNetNetwork."""

    @property
    def latent_grid(self) -> tuple[int, int]: ...

    @property
    def strides(self) -> Mapping[LayerAddress, int]: ...

    @property
    def after(self) -> tuple[int, ...]: ...

    def grid(self, stride: int) -> tuple[int, int]: ...


def subject_layers(unet: Strides) -> SubjectLayers:
    """The layers for one UNet and size of latents."""
    cross = {stride for layer, stride in unet.strides.items() if layer.kind == "cross"}
    usable = [s for s in cross if s <= MAP_STRIDE and min(unet.grid(s)) >= SMALLEST_GRID]
    maps = max(usable, default=min(cross))
    decoder = {layer: stride for layer, stride in unet.strides.items()
               if layer.kind == "self" and layer.stage == "output"}
    at_two = LINK_STRIDE in decoder.values() and min(unet.grid(LINK_STRIDE)) >= SMALLEST_GRID
    link = LINK_STRIDE if at_two else min(decoder.values())
    return SubjectLayers(
        unet.latent_grid,
        frozenset(layer for layer, stride in unet.strides.items() if layer.kind == "cross" and stride == maps),
        unet.grid(maps),
        {layer: unet.grid(stride) for layer, stride in decoder.items() if not _too_small(unet, stride, maps)},
        frozenset(layer for layer, stride in unet.strides.items()
                  if layer.kind == "self" and layer.stage != "middle" and stride == link),
        unet.grid(link),
        f"before output {next((block + 1 for block, stride in enumerate(unet.after) if stride == link), 0)}")


def _too_small(unet: Strides, stride: int, maps: int) -> bool:
    """Coarser than the maps, and coarser than the paper's or too small to say anything."""
    return stride > maps and (stride > MAP_STRIDE or min(unet.grid(stride)) < SMALLEST_SHARED)
