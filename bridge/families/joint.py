"""What all families with joint attention share: one override of the host's attention for one model call.

The host asks ``transformer_options["optimized_attention_override"]`` at every attention, with q and k after their
rotary positions. There is one such slot: what stands in it already becomes our innermost kernel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import torch

from ...core.attention import Kernel, fits_kernel
from ...core.call import AttentionCall
from ...core.method import ModelCall
from ...core.network import LayerAddress, Layers, SubjectLayers
from ...core.padding import without_padding
from ...core.rotary import Rotary
from ...core.ruled import attend, by_columns, with_fixed_rules
from ...core.sequence import Axis, Segment
from ..errors import DirectorError
from .family import CALL_KEY, note, note_evicted
from .kernel import OVERRIDE, exact, join_heads, split_heads, takes_bias
from .unequal import Unequal

# Every second step of a run of twenty, and all steps of a shorter one.
BANKED_APART = 0.09
NOBODYS = LayerAddress("refiner", 0, 0, "joint")  # of an attention in which no method acts


class Place(NamedTuple):
    """Where an attention is. layer: None for one that methods do not act in, as a refiner; axis: what stands there."""

    layer: LayerAddress | None
    axis: Axis


# (options of the call, how many attentions were called before it) -> where that is, None for one that is not known
Where = Callable[[dict[str, Any], int], Place | None]
# options of the call -> how its queries and keys are turned
Turned = Callable[[dict[str, Any]], Rotary]


@dataclass(frozen=True)
class JointNetwork:
    """A loaded network of joint layers and latents of one size; ``Network`` says what its answers mean.

    All layers have one grid, of cells ``patch`` latent pixels a side, and are ``channels`` wide. So where words are
    read, attention is copied and a subject is shared is a matter of depth: read, copied_in, shared_in.
    """

    latent_grid: tuple[int, int]
    layers: tuple[LayerAddress, ...]
    read: Layers
    copied_in: Layers
    shared_in: Layers
    patch: int
    channels: int

    def words(self, cells: int) -> Layers:
        return self.read

    def copied(self, cells: int) -> Layers:
        return self.copied_in

    def blend(self, side: float) -> Layers:
        return self.read

    @property
    def subject(self) -> SubjectLayers:
        """A bank of every layer and noise level would be of gigabytes: it keeps every second layer."""
        height, width = (-(-side // self.patch) for side in self.latent_grid)
        grid, shared = (height, width), [layer for layer in self.layers if layer in self.shared_in]
        return SubjectLayers(self.latent_grid, self.read, grid, dict.fromkeys(shared, grid), self.shared_in, grid, "",
                             self.shared_in, frozenset(shared[::2]), BANKED_APART)

    def width(self, layer: LayerAddress) -> int:
        return self.channels

    def projections(self, layer: LayerAddress) -> tuple[torch.nn.Module, torch.nn.Module]:
        raise LookupError(f"{layer} makes keys and values with its queries")


def joint_layers(stages: Sequence[tuple[str, int]]) -> tuple[LayerAddress, ...]:
    """The layers of blocks in the order they run: (stage, how many), one joint attention in each."""
    blocks = [(stage, number) for stage, count in stages for number in range(count)]
    last = max(1, len(blocks) - 1)
    return tuple(LayerAddress(stage, number, 0, "joint", i / last) for i, (stage, number) in enumerate(blocks))


def joint_axis(text: int, grid: tuple[int, int], references: tuple[tuple[int, int], ...] = ()) -> Axis:
    """Text, then the image, then reference images, each with its grid of tokens."""
    segments = [Segment("text", 0, text), Segment("image", text, text + grid[0] * grid[1], grid)]
    for number, own in enumerate(references):
        start = segments[-1].stop
        segments.append(Segment("reference", start, start + own[0] * own[1], own, number))
    return Axis(tuple(segments), segments[-1].stop)


def stretched(rotary: Rotary, options: dict[str, Any]) -> Rotary:
    """Positions as the host shifts and stretches an image's when another node, or the model itself, asks it to."""
    asked = options.get("rope_options") or {}
    if not asked:
        return rotary
    shifts = (asked.get(f"shift_{axis}", 0.0) for axis in "tyx")
    origin = tuple(at + shift for at, shift in zip(rotary.origin, shifts, strict=True))
    return replace(rotary, origin=origin, spacing=(asked.get("scale_y", 1.0), asked.get("scale_x", 1.0)))


def with_override(options: dict[str, Any], latent_grid: tuple[int, int], where: Where, call: ModelCall,
                  unequal: Unequal | None = None, turned: Turned | None = None) -> dict[str, Any]:
    """A shallow copy of one model call's options in which the call's methods act."""
    override = Override(latent_grid, where, call, unequal, options.get(OVERRIDE), turned)
    return {**options, OVERRIDE: override, CALL_KEY: call}


def restarted(options: dict[str, Any]) -> dict[str, Any]:
    """A shallow copy of one model call's options for a forward of its own: attentions are counted from the first."""
    found = options.get(OVERRIDE)
    again = {OVERRIDE: replace(found, calls=itertools.count())} if isinstance(found, Override) else {}
    return {**options, **again}


@dataclass(frozen=True, eq=False)
class Override:
    """Stands in the host's slot; ``foreign`` is what stood there before."""

    latent_grid: tuple[int, int]
    where: Where
    call: ModelCall
    unequal: Unequal | None = None
    foreign: Any = None
    turned: Turned | None = None
    calls: Iterator[int] = field(default_factory=itertools.count)

    def __call__(self, func: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args: Any,
                 **kwargs: Any) -> torch.Tensor:
        place, chain = self.where(kwargs.get("transformer_options") or {}, next(self.calls)), self.call.chain
        wanted = place and place.layer and (chain.selects(place.layer) or chain.observers(place.layer))
        if place is None or not (wanted or self.unequal):
            return self._host(func)(q, k, v, heads, *args, **kwargs)
        fits = _lengths(q, k, kwargs) == (place.axis.length, place.axis.length)
        if wanted and place.layer:
            note(self.call, place.layer, fits)
        if not fits:
            return self._host(func)(q, k, v, heads, *args, **kwargs)
        return self._attend(place, func, q, k, v, heads, args, kwargs)

    def _host(self, func: Any) -> Any:
        return func if self.foreign is None else lambda *args, **kwargs: self.foreign(func, *args, **kwargs)

    def _attend(self, place: Place, func: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int,
                args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        """Through the chain; the host's mask, precision and back end stay the innermost kernel's."""
        packed = not kwargs.get("skip_reshape", False)
        if packed:
            q, k, v = (split_heads(x, x.shape[-1] * heads // q.shape[-1]) for x in (q, k, v))
        if k.shape[1] != q.shape[1]:  # grouped queries
            k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
        own = {**kwargs, "skip_reshape": True, "skip_output_reshape": True, "enable_gqa": False}
        scale = own.pop("scale", None)
        if scale is not None:  # ours is D ** -0.5, also when columns make the heads wider
            q = q * (scale * q.shape[-1] ** 0.5)
        padding = None
        if self.unequal:
            q, k, padding = (*(self.unequal.turned(x, place.axis) for x in (q, k)), self.unequal.padding(place.axis))
        call = AttentionCall(q, k, v, place.layer or NOBODYS, place.axis, place.axis, self.latent_grid, self.call.rows,
                             self.call.step, self.call.scratch, padding=padding,
                             rotary=self.turned and self.turned(kwargs.get("transformer_options") or {}))
        innermost = partial(self._innermost, func, args, own)
        out = self.call.chain.attend(call, innermost) if place.layer else innermost(call)
        return out if kwargs.get("skip_output_reshape", False) else join_heads(out)

    def _innermost(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], call: AttentionCall) -> torch.Tensor:
        """The host's attention, or another pack's around it; where there is a bias, one that keeps it."""
        mask = _mask_of(args, kwargs)
        if call.asked is not None and mask is not None:
            raise DirectorError("Attention Director", "pictures cannot read each other's keys where another node masks "
                                                      "the attention; bypass that node.")
        if call.padding is not None:
            return self._unpadded(func, args, kwargs, call)
        _check_mask(mask, call)

        def kernel(of: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return of(q, k, v, q.shape[1], *args, **kwargs)

        if call.bias is None and not call.rules:
            return kernel(self._host(func), call.q, call.k, call.v)
        own, mask = partial(kernel, self._host(exact(func))), _as_scores(mask)
        if self.foreign is None:
            return attend(call, own, mask)
        call = with_fixed_rules(call)
        if not (fits_kernel(call.q, call.bias) and self._keeps_bias(own, call)):
            note_evicted(self.call, call.layer)
            own = partial(kernel, exact(func))
        return by_columns(call, own, mask)

    def _unpadded(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], call: AttentionCall) -> torch.Tensor:
        """Each row without the keys that are padding. The models that need it give their attention no mask."""
        if _mask_of(args, kwargs) is not None:
            raise DirectorError("Attention Director", "prompts of unequal length cannot be in one batch where another "
                                                      "node masks the attention; encode one prompt at a time.")
        return without_padding(call, lambda part: self._innermost(func, args, kwargs, replace(part, padding=None)))

    def _keeps_bias(self, kernel: Kernel, call: AttentionCall) -> bool:
        """Asked once a run of another pack's attention, which may be of any precision."""
        return call.scratch.once(("keeps bias", id(self.foreign)), lambda: takes_bias(kernel, call))


def _check_mask(mask: torch.Tensor | None, call: AttentionCall) -> None:
    """A mask is of the rows and queries that the host gave; a method may attend to some of them apart."""
    if mask is not None and any(count not in (1, size) for count, size in zip(
            reversed(mask.shape[:-1]), reversed((*call.q.shape[:1], *call.q.shape[1:3])), strict=False)):
        raise DirectorError("Attention Director", "another node masks this model's attention, where words cannot be "
                                                  "weighed or mixed; bypass that node.")


def _as_scores(mask: torch.Tensor | None) -> torch.Tensor | None:
    """A mask of the host, [Nq, Nk], [B, Nq, Nk] or [B, H or 1, Nq, Nk], beside [B, H, Nq, Nk] scores."""
    return mask if mask is None or mask.ndim == 4 else mask[:, None] if mask.ndim == 3 else mask[None, None]


def _mask_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The host gives its mask by position or by name."""
    return args[0] if args and args[0] is not None else kwargs.get("mask")


def _lengths(q: torch.Tensor, k: torch.Tensor, kwargs: dict[str, Any]) -> tuple[int, int]:
    at = 2 if kwargs.get("skip_reshape", False) else 1
    return q.shape[at], k.shape[at]
