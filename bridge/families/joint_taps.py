"""Image tokens that leave the blocks of a transformer, and a graph through these blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import torch

from ...core.network import LayerAddress
from ...core.sequence import Axis
from ..errors import DirectorError
from .joint import restarted
from .taps import Found, Tap, Taps

Blocks = dict[tuple[str, int], torch.nn.Module]  # by stage and number
FRACTIONS = (0.15, 0.25, 0.35, 0.45, 0.55, 0.65)  # of the depth; the picture's layout is settled there


def joint_taps(layers: Sequence[LayerAddress], channels: int, patch: int) -> Taps:
    """Six blocks, or as many as a small network has at those depths."""
    numbers = dict.fromkeys(round(fraction * (len(layers) - 1)) for fraction in FRACTIONS)
    return Taps(tuple(Tap(layers[n].stage, layers[n].block, channels) for n in numbers), patch)


def blocks_of(layers: Sequence[LayerAddress], modules: Sequence[torch.nn.Module]) -> Blocks:
    """The modules of the layers, which are as many and stand in the same order."""
    return {(layer.stage, layer.block): module for layer, module in zip(layers, modules, strict=True)}


@contextmanager
def capturing_tokens(blocks: Blocks, taps: Taps, axis: Axis, options: dict[str, Any],
                     cut: bool) -> Iterator[tuple[dict[str, Any], Found]]:
    """See ``Family.capturing``. axis: of the whole sequence.

    A block gives the whole sequence, or (image and references, text).
    """
    found: Found = {}
    image, = axis.of("image")
    assert image.grid is not None

    def keep(tap: Tap, output: Any) -> Any:
        stream, start = (output[0], 0) if isinstance(output, tuple) else (output, image.start)
        if stream.shape[1] != axis.length - image.start + start:
            raise DirectorError("Attention Director", f"another node puts tokens of its own beside the image in "
                                                      f"{tap}, so a drawing cannot be followed; bypass that node.")
        tokens = stream[:, start:start + image.length].transpose(1, 2).unflatten(2, image.grid)
        found[tap] = tokens.clone(memory_format=torch.contiguous_format)  # later blocks add to this very tensor
        return _detached(output) if cut and tap == taps.blocks[-1] else None

    hooks = [blocks[tap.stage, tap.block].register_forward_hook(lambda _module, _args, output, tap=tap:
                                                                keep(tap, output)) for tap in taps.blocks]
    try:
        yield restarted(options), found
    finally:
        for hook in hooks:
            hook.remove()


def _detached(output: Any) -> Any:
    return tuple(map(_detached, output)) if isinstance(output, tuple) else output.detach()


@contextmanager
def in_training() -> Iterator[None]:
    """The host's own switch off its fast rotary kernels, which have no backward pass."""
    before = comfy.model_management.in_training
    comfy.model_management.in_training = True
    try:
        yield
    finally:
        comfy.model_management.in_training = before


@contextmanager
def keeping_inputs(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """The modules read copies: what autograd keeps of them stays as it was where a block adds to it in place.

    torch's own way, ``allow_mutation_on_saved_tensors``, does not reach what a recomputed block keeps.
    """
    hooks = [module.register_forward_pre_hook(lambda _module, args: (args[0].clone(), *args[1:])) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
