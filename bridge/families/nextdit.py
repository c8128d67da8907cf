"""NextDiT: Lumina 2 and Z-Image, whose text stands before the image in one sequence, padded by learned tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from comfy.ldm.lumina.model import NextDiT

from ...core.method import ModelCall
from ...core.network import LayerAddress
from ...core.rotary import Rotary
from ...core.sequence import Axis, Segment
from .family import Inputs
from .joint import JointNetwork, Place, joint_layers, stretched, with_override
from .joint_taps import blocks_of, capturing_tokens, in_training, joint_taps
from .taps import Found, Taps
from .unequal import Unequal


@dataclass(frozen=True)
class NextDiTFamily:
    """Networks of the host's class NextDiT."""

    models: tuple[str, ...] = ("Lumina 2", "Z-Image")
    joint: bool = True
    reference_models: tuple[str, ...] = ()

    def owns(self, network: Any) -> bool:
        return isinstance(network, NextDiT)

    def takes_references(self, network: Any) -> bool:
        return False

    def network(self, network: Any, latent_grid: tuple[int, int]) -> JointNetwork:
        """Words are read in the middle half of the depth, shapes copied and subjects shared in all of it."""
        layers = _layers(network)
        middle = frozenset(layer for layer in layers if 0.25 <= layer.fraction <= 0.75) or frozenset(layers)
        return JointNetwork(latent_grid, layers, middle, frozenset(layers), frozenset(layers), network.patch_size,
                            network.dim)

    def install(self, network: Any, options: dict[str, Any], call: ModelCall, inputs: Inputs) -> dict[str, Any]:
        axis = self._axis(network, inputs)
        refiners = [*[Place(None, _text_of(axis))] * len(network.context_refiner),
                    *[Place(None, _image_of(axis))] * len(network.noise_refiner)]
        layers = [Place(layer, axis) for layer in _layers(network)]

        def where(options: dict[str, Any], count: int) -> Place | None:
            """Refiners come first and say nothing, and their lengths may be those of the whole sequence."""
            number = options.get("block_index")
            return layers[number] if number is not None else refiners[count] if count < len(refiners) else None

        def turned(options: dict[str, Any]) -> Rotary:
            """The image stands behind the text and its padding, along the text's axis."""
            image, = axis.of("image")
            at = stretched(_rotary(network), options)
            return replace(at, origin=(image.start + 1.0, *at.origin[1:]))

        return with_override(options, inputs.latent, where, call, self._unequal(network, inputs), turned)

    @staticmethod
    def _axis(network: NextDiT, inputs: Inputs) -> Axis:
        """Text and image, each padded to a multiple by learned tokens, which belong to nobody."""
        patch = network.patch_size
        grid = -(-inputs.latent[0] // patch), -(-inputs.latent[1] // patch)
        begin, image = _filled(network, inputs.text), grid[0] * grid[1]
        return Axis((Segment("text", 0, inputs.text), Segment("image", begin, begin + image, grid)),
                    begin + _filled(network, image))

    @staticmethod
    def _unequal(network: NextDiT, inputs: Inputs) -> Unequal | None:
        """A row's image stands one behind its own text, as far as learned tokens fill that up."""
        if inputs.filled is None:
            return None
        read = tuple(_filled(network, own) for own in inputs.own)
        turns = tuple(own - _filled(network, inputs.text) for own in read)
        return Unequal(inputs.own, read, _rotary(network), turns)

    @contextmanager
    def padding(self, network: Any, inputs: Inputs) -> Iterator[None]:
        """Behind each row's own text stands the learned token, as if the text ended there."""
        if inputs.filled is None or network.pad_tokens_multiple is None:
            yield
            return

        def fill(_module: Any, _args: Any, text: torch.Tensor) -> torch.Tensor:
            text = text.clone()
            for row, own in enumerate(inputs.own):
                text[row, own:] = network.cap_pad_token.to(text)
            return text

        hook = network.cap_embedder.register_forward_hook(fill)
        try:
            yield
        finally:
            hook.remove()

    def unguided(self, network: Any) -> dict[str, Any]:
        return {}

    def recomputed(self, network: Any) -> list[torch.nn.Module]:
        return list(network.layers)

    def differentiable(self, network: Any) -> AbstractContextManager[Any]:
        return in_training()

    def taps(self, network: Any, node: str) -> Taps:
        return joint_taps(_layers(network), network.dim, network.patch_size)

    def capturing(self, network: Any, taps: Taps, options: dict[str, Any], inputs: Inputs,
                  cut: bool) -> AbstractContextManager[tuple[dict[str, Any], Found]]:
        return capturing_tokens(blocks_of(_layers(network), network.layers), taps, self._axis(network, inputs), options,
                                cut)


def _rotary(network: NextDiT) -> Rotary:
    return Rotary(tuple(network.rope_embedder.axes_dim), network.rope_embedder.theta)


def _layers(network: NextDiT) -> tuple[LayerAddress, ...]:
    return joint_layers((("joint", len(network.layers)),))


def _filled(network: NextDiT, tokens: int) -> int:
    """Tokens with the learned ones that fill them up to a multiple."""
    together = network.pad_tokens_multiple or 1
    return -(-tokens // together) * together


def _text_of(axis: Axis) -> Axis:
    """The part before the image."""
    image, = axis.of("image")
    return Axis(axis.of("text"), image.start)


def _image_of(axis: Axis) -> Axis:
    """The part from the image on."""
    image, = axis.of("image")
    return Axis((Segment("image", 0, image.length, image.grid),), axis.length - image.start)
