"""Which block outputs the predictor reads, and how to get them out of a forward of the host's UNet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, ResBlock, UNetModel, Upsample

from ..errors import DirectorError
from .taps import Found, Tap, Taps

# A four-level UNet (SD1.x, SD2.x) has the paper's table: input blocks 2, 4, 8, all of the middle, output
# blocks 2, 4, 8. The second of each is the middle of its level; the others end theirs.
_PAPERS_SECOND = 4
_LEVELS_READ = 3


def taps_of(network: UNetModel, node: str = "Attention Director") -> Taps:
    """The paper's nine blocks of a loaded UNet, found by walking it. Raises DirectorError for too small a one."""
    down = _level_ends(network.input_blocks, Downsample)
    up = _level_ends(network.output_blocks, Upsample)
    if len(down) < _LEVELS_READ or len(up) < _LEVELS_READ or network.middle_block is None:
        raise DirectorError(node, f"this UNet has {len(down)} levels, the predictor reads {_LEVELS_READ}; use Stable "
                                  "Diffusion 1.x, 2.x or SDXL.")
    found = []
    for stage, blocks, ends in (("input", network.input_blocks, down), ("output", network.output_blocks, up)):
        chosen = ends[:_LEVELS_READ]
        if len(ends) > _LEVELS_READ:
            chosen[1] = _PAPERS_SECOND
        found.append([Tap(stage, n, _channels(blocks[n])) for n in chosen])
    middle = [Tap("middle", n, _channels([part])) for n, part in enumerate(network.middle_block)]
    return Taps((*found[0], *middle, *found[1]))


def _level_ends(blocks: Any, between: type) -> list[int]:
    """The last block of each level: before a Downsample on the way down, with the Upsample on the way up."""
    last = len(blocks) - 1
    offset = 1 if between is Downsample else 0
    ends = [n - offset for n, block in enumerate(blocks) if any(_resizes(part, between) for part in block)]
    return ends if last in ends else [*ends, last]


def _resizes(part: torch.nn.Module, between: type) -> bool:
    return isinstance(part, between) or (isinstance(part, ResBlock) and part.updown
                                         and isinstance(part.h_upd, between))


def _channels(block: Any) -> int:
    """Channels of what leaves a block; a transformer keeps those that enter it."""
    part: Any = _parts(block)[-1]
    return part.in_channels if isinstance(part, SpatialTransformer) else part.out_channels


def _parts(block: Any) -> list[torch.nn.Module]:
    return list(block)


@contextmanager
def capturing(network: UNetModel, taps: Taps, options: dict[str, Any],
              cut: bool) -> Iterator[tuple[dict[str, Any], Found]]:
    """See ``Family.capturing``.

    Host patches see the outputs after control nets and other patches; two modules in the middle, and a block that
    nothing follows, have no patch and get torch hooks, removed with the block.
    """
    found: Found = {}
    handles = list(_hooks(network, taps.blocks, found, cut))
    patches = dict(options.get("patches", {}))
    for name, patch in _patches(network, taps.blocks, found, cut).items():
        patches[name] = [*patches.get(name, ()), patch]
    try:
        yield {**options, "patches": patches}, found
    finally:
        for handle in handles:
            handle.remove()


def _hooks(network: UNetModel, taps: tuple[Tap, ...], found: Found, cut: bool) -> Iterator[Any]:
    middle, last_output = list(network.middle_block or ()), _parts(network.output_blocks[-1])[-1]
    last = len(network.output_blocks) - 1
    for tap in taps:
        def keep(_module: Any, _args: Any, output: torch.Tensor, tap: Tap = tap) -> torch.Tensor | None:
            found[tap] = output
            return output.detach() if cut and tap.stage == "output" else None

        if tap.stage == "middle" and tap.block < len(middle) - 1:
            yield middle[tap.block].register_forward_hook(keep)
        elif tap.stage == "output" and tap.block == last:
            yield last_output.register_forward_hook(keep)


def _patches(network: UNetModel, taps: tuple[Tap, ...], found: Found, cut: bool) -> dict[str, Any]:
    wanted = {(tap.stage, tap.block): tap for tap in taps}
    last_tap = max(tap.block for tap in taps if tap.stage == "output")
    last_middle = len(network.middle_block or ()) - 1

    def after_input(h: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        if options["block"] in wanted:
            found[wanted[options["block"]]] = h.clone()  # control nets add to this very tensor on its way up
        return h

    def after_middle(values: dict[str, Any]) -> dict[str, Any]:
        if ("middle", last_middle) in wanted:
            found[wanted["middle", last_middle]] = values["h"]
        return values

    def before_output(h: torch.Tensor, skip: torch.Tensor, options: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        previous = options["block"][1] - 1
        if ("output", previous) in wanted:
            found[wanted["output", previous]] = h
        return (h.detach(), skip.detach()) if cut and previous >= last_tap else (h, skip)

    return {"input_block_patch": after_input, "middle_block_after_patch": after_middle,
            "output_block_patch": before_output}
