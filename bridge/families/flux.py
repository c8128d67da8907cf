"""Flux: Flux.1, Flux.2, Klein, Chroma and LongCat, whose text and image share one sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.flux.model import Flux

from ...core.method import ModelCall
from ...core.network import LayerAddress
from .family import Inputs
from .joint import JointNetwork, joint_axis, joint_layers, with_override


@dataclass(frozen=True)
class FluxFamily:
    """Networks of the host's class Flux, and of those made of it."""

    name: str = "Flux"
    joint: bool = True

    def owns(self, network: Any) -> bool:
        return isinstance(network, Flux)

    def network(self, network: Any, latent_grid: tuple[int, int]) -> JointNetwork:
        """Words are read and shapes copied in the single-stream blocks, where text and image are mixed by then."""
        layers = _layers(network)
        single = frozenset(layer for layer in layers if layer.stage == "single") or frozenset(layers)
        return JointNetwork(latent_grid, layers, single, single)

    def install(self, network: Any, options: dict[str, Any], call: ModelCall, inputs: Inputs) -> dict[str, Any]:
        patch = network.patch_size

        def tokens(size: tuple[int, int]) -> tuple[int, int]:
            return -(-size[0] // patch), -(-size[1] // patch)

        axis = joint_axis(inputs.text, tokens(inputs.latent), tuple(map(tokens, inputs.references)))
        layers: dict[Any, LayerAddress] = {(layer.stage, layer.block): layer for layer in _layers(network)}

        def address(options: dict[str, Any], count: int) -> LayerAddress | None:
            return layers.get((options.get("block_type"), options.get("block_index")))

        return with_override(options, axis, inputs.latent, address, call)

    def recomputed(self, network: Any) -> list[torch.nn.Module]:
        return [*network.double_blocks, *network.single_blocks]


def _layers(network: Flux) -> tuple[LayerAddress, ...]:
    return joint_layers((("double", len(network.double_blocks)), ("single", len(network.single_blocks))))
