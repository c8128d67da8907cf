"""Stable Diffusion's UNets (SD1.x, SD2.x, SDXL): where their attention layers are, and what each is good for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, ResBlock, UNetModel, Upsample

from ...core.method import ModelCall
from ...core.network import LayerAddress, Layers, SubjectLayers
from .family import Inputs
from .taps import Found, Taps
from .unet_slots import SlotAddress, with_slots
from .unet_subject import subject_layers
from .unet_taps import capturing, taps_of

_SLOTS = (("attn1", "self"), ("attn2", "cross"))


class Part(NamedTuple):
    """One module of a block. stride: latent pixels a side that one pixel of its output covers."""

    stage: str
    block: int
    module: torch.nn.Module
    stride: int


def walk(network: UNetModel) -> Iterator[Part]:
    """Every module of a UNet's blocks, in the order they run."""
    found: tuple[Any, ...] = network.input_blocks, [network.middle_block], network.output_blocks
    stages = zip(("input", "middle", "output"), found, strict=True)
    stride = 1
    for stage, blocks in stages:
        for number, block in enumerate(blocks):
            for module in block if block is not None else ():
                if resizes(module, Downsample):
                    stride *= 2
                elif resizes(module, Upsample):
                    stride //= 2
                yield Part(stage, number, module, stride)


def resizes(module: torch.nn.Module, kind: type) -> bool:
    """True for a Downsample or Upsample, and for a ResBlock that holds one."""
    return isinstance(module, kind) or (isinstance(module, ResBlock) and module.updown
                                        and isinstance(module.h_upd, kind))


class _Layer(NamedTuple):
    address: LayerAddress
    slot: SlotAddress
    stride: int
    module: Any


def _layers(network: UNetModel) -> tuple[_Layer, ...]:
    """Every attention layer, in the order they are called."""
    places = [(part, depth, block) for part in walk(network) if isinstance(part.module, SpatialTransformer)
              for depth, block in enumerate(part.module.transformer_blocks)]
    last = max(1, 2 * len(places) - 1)
    return tuple(
        _Layer(LayerAddress(part.stage, part.block, depth, kind, (2 * n + m) / last),  # type: ignore[arg-type]
               (which, (part.stage, part.block, depth)), part.stride, getattr(block, which))
        for n, (part, depth, block) in enumerate(places) for m, (which, kind) in enumerate(_SLOTS))


@dataclass(frozen=True, eq=False)
class UNetNetwork:
    """A loaded UNet and latents of one size; ``Network`` says what its answers mean."""

    unet: UNetModel
    latent_grid: tuple[int, int]

    @cached_property
    def _found(self) -> tuple[_Layer, ...]:
        return _layers(self.unet)

    @property
    def layers(self) -> tuple[LayerAddress, ...]:
        return tuple(layer.address for layer in self._found)

    @cached_property
    def slots(self) -> Mapping[SlotAddress, LayerAddress]:
        """Where the host replaces each layer's attention."""
        return {layer.slot: layer.address for layer in self._found}

    @cached_property
    def _strides(self) -> Mapping[LayerAddress, int]:
        return {layer.address: layer.stride for layer in self._found}

    @property
    def strides(self) -> Mapping[LayerAddress, int]:
        return self._strides

    @property
    def after(self) -> tuple[int, ...]:
        """The stride of what each output block gives."""
        found = {part.block: part.stride for part in walk(self.unet) if part.stage == "output"}
        return tuple(found.values())

    def grid(self, stride: int) -> tuple[int, int]:
        """(h, w) at a stride; each halving rounds up, as the network's do."""
        height, width = self.latent_grid
        while stride > 1:
            height, width, stride = -(-height // 2), -(-width // 2), stride // 2
        return height, width

    def words(self, cells: int) -> Layers:
        cross = [layer for layer in self.layers if layer.kind == "cross"]
        small = frozenset(layer for layer in cross if math.prod(self.grid(self.strides[layer])) <= cells)
        coarsest = max((self.strides[layer] for layer in cross), default=0)
        return small or frozenset(layer for layer in cross if self.strides[layer] == coarsest)

    def copied(self, cells: int) -> Layers:
        return frozenset(layer for layer in self.layers
                         if layer.kind == "self" and math.prod(self.grid(self.strides[layer])) <= cells)

    def blend(self, side: float) -> Layers:
        """Outside the middle block, the last layer of each block, on one grid.

        At the quarter of the latent these are five in Stable Diffusion 1.x, the published ones, and five in
        SDXL, whose blocks hold ten transformers each.
        """
        last = {(layer.stage, layer.block): layer for layer in sorted(self.layers, key=lambda layer: layer.depth)
                if layer.kind == "cross" and layer.stage != "middle"}
        own = math.sqrt(math.prod(self.latent_grid))
        strides = sorted({self.strides[layer] for layer in last.values()})
        nearest = min(strides, key=lambda stride: abs(math.log(own / stride / side)), default=0)
        return frozenset(layer for layer in last.values() if self.strides[layer] == nearest)

    @cached_property
    def _subject(self) -> SubjectLayers:
        return subject_layers(self)

    @property
    def subject(self) -> SubjectLayers:
        return self._subject

    def width(self, layer: LayerAddress) -> int | None:
        return getattr(self.module(layer).to_k, "in_features", None)

    def projections(self, layer: LayerAddress) -> tuple[torch.nn.Module, torch.nn.Module]:
        module = self.module(layer)
        return module.to_k, module.to_v

    def module(self, layer: LayerAddress) -> Any:
        """The host's module of a layer."""
        return next(found.module for found in self._found if found.address == layer)


@dataclass(frozen=True)
class UNetFamily:
    """The UNets of the host's class UNetModel that have attention layers."""

    models: tuple[str, ...] = ("Stable Diffusion 1.x", "2.x", "SDXL")
    joint: bool = False
    reference_models: tuple[str, ...] = ()

    def owns(self, network: Any) -> bool:
        return isinstance(network, UNetModel) and bool(_layers(network))

    def takes_references(self, network: Any) -> bool:
        return False

    def network(self, network: Any, latent_grid: tuple[int, int]) -> UNetNetwork:
        return UNetNetwork(network, latent_grid)

    def install(self, network: Any, options: dict[str, Any], call: ModelCall, inputs: Inputs) -> dict[str, Any]:
        slots = call.scratch.once(("slots", id(network)),
                                  lambda: {layer.slot: layer.address for layer in _layers(network)})
        return with_slots(options, slots, call)

    def padding(self, network: Any, inputs: Inputs) -> AbstractContextManager[Any]:
        return nullcontext()  # prompts are repeated

    def unguided(self, network: Any) -> dict[str, Any]:
        return {}

    def recomputed(self, network: Any) -> list[torch.nn.Module]:
        return [part for part in network.modules() if isinstance(part, (ResBlock, SpatialTransformer))]

    def differentiable(self, network: Any) -> AbstractContextManager[Any]:
        return nullcontext()

    def taps(self, network: Any, node: str) -> Taps:
        return taps_of(network, node)

    def capturing(self, network: Any, taps: Taps, options: dict[str, Any], inputs: Inputs,
                  cut: bool) -> AbstractContextManager[tuple[dict[str, Any], Found]]:
        return capturing(network, taps, options, cut)
