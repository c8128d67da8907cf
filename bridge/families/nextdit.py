"""NextDiT: Lumina 2 and Z-Image, whose text stands before the image in one sequence, padded by learned tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from comfy.ldm.lumina.model import NextDiT

from ...core.method import ModelCall
from ...core.network import LayerAddress, Layers, SubjectLayers
from ...core.sequence import Axis, Segment
from .family import Inputs
from .joint import with_override


@dataclass(frozen=True, eq=False)
class NextDiTNetwork:
    """A loaded NextDiT and latents of one size; ``Network`` says what its answers mean.

    All layers have one grid; words are read and shapes copied in the middle half of its depth.
    """

    nextdit: NextDiT
    latent_grid: tuple[int, int]

    @property
    def layers(self) -> tuple[LayerAddress, ...]:
        return self._layers

    @cached_property
    def _layers(self) -> tuple[LayerAddress, ...]:
        last = max(1, len(self.nextdit.layers) - 1)
        return tuple(LayerAddress("joint", n, 0, "joint", n / last) for n in range(last + 1))

    @cached_property
    def _middle(self) -> Layers:
        return frozenset(layer for layer in self.layers if 0.25 <= layer.fraction <= 0.75) or frozenset(self.layers)

    def words(self, cells: int) -> Layers:
        return self._middle

    def copied(self, cells: int) -> Layers:
        return frozenset(self.layers)

    def blend(self, side: float) -> Layers:
        return self._middle

    @property
    def subject(self) -> SubjectLayers:
        raise LookupError("joint layers do not share subjects yet")

    def projections(self, layer: LayerAddress) -> tuple[torch.nn.Module, torch.nn.Module]:
        raise LookupError(f"{layer} makes keys and values with its queries")


@dataclass(frozen=True)
class NextDiTFamily:
    """Networks of the host's class NextDiT."""

    name: str = "Lumina 2 and Z-Image"
    joint: bool = True

    def owns(self, network: Any) -> bool:
        return isinstance(network, NextDiT)

    def network(self, network: Any, latent_grid: tuple[int, int]) -> NextDiTNetwork:
        return NextDiTNetwork(network, latent_grid)

    def install(self, network: Any, options: dict[str, Any], call: ModelCall, inputs: Inputs) -> dict[str, Any]:
        layers = NextDiTNetwork(network, inputs.latent).layers
        refiners = len(network.context_refiner) + len(network.noise_refiner)

        def address(options: dict[str, Any], count: int) -> LayerAddress | None:
            """By call order alone: refiners come first, and their lengths may be those of the whole sequence."""
            number = count - refiners
            return layers[number] if 0 <= number < len(layers) else None

        return with_override(options, self._axis(network, inputs), inputs.latent, address, call)

    @staticmethod
    def _axis(network: NextDiT, inputs: Inputs) -> Axis:
        """Text and image, each padded to a multiple by learned tokens, which belong to nobody."""
        together, patch = network.pad_tokens_multiple or 1, network.patch_size
        grid = -(-inputs.latent[0] // patch), -(-inputs.latent[1] // patch)
        begin = -(-inputs.text // together) * together
        image = grid[0] * grid[1]
        return Axis((Segment("text", 0, inputs.text), Segment("image", begin, begin + image, grid)),
                    begin + -(-image // together) * together)

    def recomputed(self, network: Any) -> list[torch.nn.Module]:
        return list(network.layers)
