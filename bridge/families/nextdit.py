"""NextDiT: Lumina 2 and Z-Image, whose text stands before the image in one sequence, padded by learned tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.lumina.model import NextDiT

from ...core.method import ModelCall
from ...core.network import LayerAddress
from ...core.sequence import Axis, Segment
from .family import Inputs
from .joint import JointNetwork, joint_layers, with_override


@dataclass(frozen=True)
class NextDiTFamily:
    """Networks of the host's class NextDiT."""

    name: str = "Lumina 2 and Z-Image"
    joint: bool = True

    def owns(self, network: Any) -> bool:
        return isinstance(network, NextDiT)

    def network(self, network: Any, latent_grid: tuple[int, int]) -> JointNetwork:
        """Words are read in the middle half of the depth, shapes copied in all of it."""
        layers = _layers(network)
        middle = frozenset(layer for layer in layers if 0.25 <= layer.fraction <= 0.75) or frozenset(layers)
        return JointNetwork(latent_grid, layers, middle, frozenset(layers))

    def install(self, network: Any, options: dict[str, Any], call: ModelCall, inputs: Inputs) -> dict[str, Any]:
        layers = _layers(network)
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


def _layers(network: NextDiT) -> tuple[LayerAddress, ...]:
    return joint_layers((("joint", len(network.layers)),))
