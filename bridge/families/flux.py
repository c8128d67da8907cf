"""Flux: Flux.1, Flux.2, Klein, Chroma and LongCat, whose text and image share one sequence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from comfy.ldm.chroma.model import Chroma
from comfy.ldm.flux.model import Flux

from ...core.method import ModelCall
from ...core.network import LayerAddress
from ...core.rotary import Rotary
from ...core.sequence import Axis
from .family import Inputs
from .joint import JointNetwork, Place, joint_axis, joint_layers, stretched, with_override
from .joint_taps import blocks_of, capturing_tokens, in_training, joint_taps, keeping_inputs
from .taps import Found, Taps
from .unequal import Unequal


@dataclass(frozen=True)
class FluxFamily:
    """Networks of the host's classes Flux and Chroma, and of those made of them."""

    models: tuple[str, ...] = ("Flux", "Chroma")
    joint: bool = True
    reference_models: tuple[str, ...] = ("Flux.1 Kontext", "Flux.2", "Flux.2 Klein")

    def owns(self, network: Any) -> bool:
        return isinstance(network, (Flux, Chroma))

    def takes_references(self, network: Any) -> bool:
        """Chroma takes none, and models of other inputs (Fill, Canny, Depth) have more channels than latents."""
        return isinstance(network, Flux) and network.params.in_channels == network.params.out_channels

    def network(self, network: Any, latent_grid: tuple[int, int]) -> JointNetwork:
        """Words are read, shapes copied and subjects shared in the single-stream blocks, where text and image are mixed
        by then."""
        layers = _layers(network)
        single = frozenset(layer for layer in layers if layer.stage == "single") or frozenset(layers)
        return JointNetwork(latent_grid, layers, single, single, single, network.params.patch_size,
                            network.hidden_size)

    def install(self, network: Any, options: dict[str, Any], call: ModelCall, inputs: Inputs) -> dict[str, Any]:
        axis = _axis(network, inputs)
        places: dict[Any, Place] = {(layer.stage, layer.block): Place(layer, axis) for layer in _layers(network)}

        def where(options: dict[str, Any], count: int) -> Place | None:
            return places.get((options.get("block_type"), options.get("block_index")))

        unequal = Unequal(inputs.own, inputs.own) if inputs.filled and not inputs.front else None
        return with_override(options, inputs.latent, where, call, unequal, partial(_turned, network))

    @contextmanager
    def padding(self, network: Any, inputs: Inputs) -> Iterator[None]:
        """Flux.2 attends to zeros before a prompt: each row's text moves back to where it would stand alone.

        In the others it stands where it stands, however much follows.
        """
        if inputs.filled is None or not inputs.front:
            yield
            return
        filled = inputs.filled

        def move(_module: Any, _args: Any, text: torch.Tensor) -> torch.Tensor:
            return torch.stack([row.roll(count, 0) for row, count in zip(text, filled, strict=True)])

        hook = network.txt_in.register_forward_hook(move)
        try:
            yield
        finally:
            hook.remove()

    def unguided(self, network: Any) -> dict[str, Any]:
        """Chroma was distilled too, but is always given 0."""
        return {"guidance": 1.0} if isinstance(network, Flux) and network.params.guidance_embed else {}

    def recomputed(self, network: Any) -> list[torch.nn.Module]:
        return [*network.double_blocks, *network.single_blocks]

    @contextmanager
    def differentiable(self, network: Any) -> Iterator[None]:
        """Its blocks add in place to what their norms have read."""
        norms = [part for block in self.recomputed(network) for part in block.modules()
                 if isinstance(part, torch.nn.LayerNorm)]
        with in_training(), keeping_inputs(norms):
            yield

    def taps(self, network: Any, node: str) -> Taps:
        return joint_taps(_layers(network), network.hidden_size, network.params.patch_size)

    def capturing(self, network: Any, taps: Taps, options: dict[str, Any], inputs: Inputs,
                  cut: bool) -> AbstractContextManager[tuple[dict[str, Any], Found]]:
        return capturing_tokens(blocks_of(_layers(network), self.recomputed(network)), taps, _axis(network, inputs),
                                options, cut)


def _axis(network: Flux | Chroma, inputs: Inputs) -> Axis:
    patch = network.params.patch_size

    def tokens(size: tuple[int, int]) -> tuple[int, int]:
        return -(-size[0] // patch), -(-size[1] // patch)

    references = inputs.references if isinstance(network, Flux) else ()  # Chroma takes none
    return joint_axis(inputs.text, tokens(inputs.latent), tuple(map(tokens, references)))


def _turned(network: Flux | Chroma, options: dict[str, Any]) -> Rotary:
    rotary = Rotary(tuple(network.params.axes_dim), network.params.theta)
    return stretched(rotary, options) if isinstance(network, Flux) else rotary  # Chroma's images stay where they are


def _layers(network: Flux | Chroma) -> tuple[LayerAddress, ...]:
    return joint_layers((("double", len(network.double_blocks)), ("single", len(network.single_blocks))))
