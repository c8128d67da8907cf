"""Which layers of a loaded UNet ConsiStory uses, from the model itself and the size of the picture.

The paper names grids of SDXL at 1024 pixels, a latent of 128: maps from 32 x 32, sharing in the
decoder's 32 x 32 and 64 x 64, features and injection at 64 x 64. Counted in latent pixels a cell that is
map scale 4 and link scale 2. Stable Diffusion 1.5 at 512 has the same scales at 16 and 32 (and shares at
64 as well). A picture so small that these grids would say nothing takes the next finer one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, UNetModel, Upsample

from ...core.network import LayerAddress

MAP_SCALE, LINK_SCALE = 4, 2
SMALLEST_GRID, SMALLEST_SHARED = 16, 8


@dataclass(frozen=True)
class SubjectPlan:
    """latent_grid: (h, w); scales: latent pixels a cell of each layer; tap: the output block whose input
    are the features for correspondence."""

    latent_grid: tuple[int, int]
    scales: Mapping[LayerAddress, int]
    map_scale: int
    link_scale: int
    tap: int

    def grid(self, scale: int) -> tuple[int, int]:
        """(h, w) at a scale; each halving rounds up, as the model's do."""
        height, width = self.latent_grid
        while scale > 1:
            height, width, scale = -(-height // 2), -(-width // 2), scale // 2
        return height, width

    def maps(self, layer: LayerAddress) -> bool:
        """Cross-attention that says where the subjects are."""
        return layer.kind == "cross" and self.scales.get(layer) == self.map_scale

    def shares(self, layer: LayerAddress) -> bool:
        """Self-attention of the decoder, down to the scale of the paper's maps."""
        scale = self.scales.get(layer, 1)
        small = scale > self.map_scale and (scale > MAP_SCALE or min(self.grid(scale)) < SMALLEST_SHARED)
        return layer.kind == "self" and layer.stage == "output" and not small

    def injects(self, layer: LayerAddress) -> bool:
        """Self-attention of encoder and decoder on the grid of the correspondence."""
        return layer.kind == "self" and layer.stage != "middle" and self.scales.get(layer) == self.link_scale

    @property
    def shared_scales(self) -> tuple[int, ...]:
        return tuple(sorted({scale for layer, scale in self.scales.items() if self.shares(layer)}))


def make_plan(network: UNetModel, latent_grid: tuple[int, int]) -> SubjectPlan:
    """The plan for a loaded model and the latent's (h, w)."""
    scales, after = _walk(network)
    plan = SubjectPlan(latent_grid, scales, 1, 1, 0)
    cross = {scale for layer, scale in scales.items() if layer.kind == "cross"}
    usable = [s for s in cross if s <= MAP_SCALE and min(plan.grid(s)) >= SMALLEST_GRID]
    decoder = {scale for layer, scale in scales.items() if layer.kind == "self" and layer.stage == "output"}
    link = LINK_SCALE if LINK_SCALE in decoder and min(plan.grid(LINK_SCALE)) >= SMALLEST_GRID else min(decoder)
    tap = next((block + 1 for block, scale in enumerate(after) if scale == link), 0)
    return SubjectPlan(latent_grid, scales, max(usable, default=min(cross)), link, tap)


def _walk(network: UNetModel) -> tuple[dict[LayerAddress, int], list[int]]:
    """The scale of every attention layer, and that of what each output block gives."""
    scales: dict[LayerAddress, int] = {}
    after: list[int] = []
    scale = 1
    stages = (("input", network.input_blocks), ("middle", [network.middle_block]), ("output", network.output_blocks))
    for stage, blocks in stages:
        for number, block in enumerate(blocks):
            for module in block.children() if block is not None else ():
                if isinstance(module, Downsample):
                    scale *= 2
                elif isinstance(module, Upsample):
                    scale //= 2
                elif isinstance(module, SpatialTransformer):
                    for depth, _ in enumerate(module.transformer_blocks):
                        for kind in ("self", "cross"):
                            scales[LayerAddress(stage, number, depth, kind)] = scale  # type: ignore[arg-type]
            if stage == "output":
                after.append(scale)
    return scales, after
