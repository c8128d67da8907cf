"""Flux: Flux.1, Flux.2, Klein, Chroma and LongCat, whose text and image share one sequence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from comfy.ldm.flux.model import Flux

from ...core.method import ModelCall
from ...core.network import LayerAddress, Layers, SubjectLayers
from .family import Inputs
from .joint import joint_axis, with_override


@dataclass(frozen=True, eq=False)
class FluxNetwork:
    """A loaded Flux and latents of one size; ``Network`` says what its answers mean.

    All layers have one grid, so where words are read and shapes copied is a matter of depth: the single-stream
    blocks, in which text and image are mixed by then.
    """

    flux: Flux
    latent_grid: tuple[int, int]

    @property
    def layers(self) -> tuple[LayerAddress, ...]:
        return self._layers

    @cached_property
    def _layers(self) -> tuple[LayerAddress, ...]:
        blocks = [("double", n) for n in range(len(self.flux.double_blocks))]
        blocks += [("single", n) for n in range(len(self.flux.single_blocks))]
        last = max(1, len(blocks) - 1)
        return tuple(LayerAddress(stage, n, 0, "joint", i / last) for i, (stage, n) in enumerate(blocks))

    @cached_property
    def _single(self) -> Layers:
        return frozenset(layer for layer in self.layers if layer.stage == "single") or frozenset(self.layers)

    def words(self, cells: int) -> Layers:
        return self._single

    def copied(self, cells: int) -> Layers:
        return self._single

    def blend(self, side: float) -> Layers:
        return self._single

    @property
    def subject(self) -> SubjectLayers:
        raise LookupError("joint layers do not share subjects yet")

    def projections(self, layer: LayerAddress) -> tuple[torch.nn.Module, torch.nn.Module]:
        raise LookupError(f"{layer} makes keys and values with its queries")


@dataclass(frozen=True)
class FluxFamily:
    """Networks of the host's class Flux, and of those made of it."""

    name: str = "Flux"
    joint: bool = True

    def owns(self, network: Any) -> bool:
        return isinstance(network, Flux)

    def network(self, network: Any, latent_grid: tuple[int, int]) -> FluxNetwork:
        return FluxNetwork(network, latent_grid)

    def install(self, network: Any, options: dict[str, Any], call: ModelCall, inputs: Inputs) -> dict[str, Any]:
        patch = network.patch_size

        def tokens(size: tuple[int, int]) -> tuple[int, int]:
            return -(-size[0] // patch), -(-size[1] // patch)

        axis = joint_axis(inputs.text, tokens(inputs.latent), tuple(map(tokens, inputs.references)))
        own = FluxNetwork(network, inputs.latent).layers
        layers: dict[Any, LayerAddress] = {(layer.stage, layer.block): layer for layer in own}

        def address(options: dict[str, Any], count: int) -> LayerAddress | None:
            return layers.get((options.get("block_type"), options.get("block_index")))

        return with_override(options, axis, inputs.latent, address, call)

    def recomputed(self, network: Any) -> list[torch.nn.Module]:
        return [*network.double_blocks, *network.single_blocks]
