"""What the pack must know of one architecture, and nothing else of the pack may know."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from ...core.call import RowSpan
from ...core.method import ModelCall
from ...core.network import LayerAddress, Network, SubjectLayers
from .taps import Found, Taps

CALL_KEY = "attention_director_call"

log = logging.getLogger("attention_director")


@dataclass(frozen=True)
class Inputs:
    """Shapes of what the network is given in one call.

    latent: (h, w) of x; text: tokens of the encoded prompt; references: (h, w) of each reference latent. filled:
    with how many tokens the end of each row's text was filled up to the longest of a batch, None where no row's was.
    front: the model itself fills every text up from the front.
    """

    latent: tuple[int, int]
    text: int = 0
    references: tuple[tuple[int, int], ...] = ()
    filled: tuple[int, ...] | None = None
    front: bool = False

    @property
    def own(self) -> tuple[int, ...]:
        """How many text tokens are each row's own."""
        return tuple(self.text - count for count in self.filled or ())


def inputs_of(x: torch.Tensor, context: torch.Tensor | None, references: Any,
              rows: Sequence[RowSpan] = ()) -> Inputs:
    """What a call of the network is given, as shapes."""
    sizes = tuple((int(r.shape[-2]), int(r.shape[-1])) for r in references or ())
    text = 0 if context is None else int(context.shape[1])
    return Inputs((int(x.shape[-2]), int(x.shape[-1])), text, sizes, _filled(rows),
                  any(span.tag and span.tag.before for span in rows))


def _filled(rows: Sequence[RowSpan]) -> tuple[int, ...] | None:
    if not any(span.tag and span.tag.padded for span in rows):
        return None
    return tuple(span.tag.filled(image % len(span.tag.rows)) if span.tag else 0
                 for span in rows for image in span.images)


@dataclass(eq=False)
class LayersMet:
    """The layers that the methods of one key met in a run: where they acted, and where they had to stand aside.

    evicted: where they acted and another pack's attention had to stand aside.
    """

    acted: set[LayerAddress] = field(default_factory=set)
    left_out: set[LayerAddress] = field(default_factory=set)
    evicted: set[LayerAddress] = field(default_factory=set)


def note(call: ModelCall, layer: LayerAddress, acted: bool) -> None:
    """Count the layer for every method that wants it, and warn once of each that has to stand aside."""
    call.scratch.once_of(("met", acted), (call.chain, layer), lambda: _note(call, layer, acted))


def _note(call: ModelCall, layer: LayerAddress, acted: bool) -> None:
    for method in call.chain.wanting(layer):
        met = call.scratch.of(method.key, LayersMet)
        if not acted and not met.left_out:
            log.warning("%s: another node rearranges the pixels at %s; it does nothing there.", method.label, layer)
        (met.acted if acted else met.left_out).add(layer)


def note_evicted(call: ModelCall, layer: LayerAddress) -> None:
    """The same of another pack's attention that cannot stand beneath theirs."""
    for method in call.chain.wanting(layer):
        met = call.scratch.of(method.key, LayersMet)
        if not met.evicted:
            log.warning("%s: the attention that another node put on the model cannot follow this one; ComfyUI's own "
                        "takes its place where this node acts.", method.label)
        met.evicted.add(layer)


class FamilyNetwork(Network, Protocol):
    """A loaded network and latents of one size, for those who also run it."""

    @property
    def subject(self) -> SubjectLayers:
        """Which layers share a subject, and where its features are read. Raises LookupError where none can yet."""
        ...

    def width(self, layer: LayerAddress) -> int | None:
        """Channels of what the layer reads and gives, None where it does not say."""
        ...

    def projections(self, layer: LayerAddress) -> tuple[torch.nn.Module, torch.nn.Module]:
        """The layer's own projections of its input to keys and values."""
        ...


class Family(Protocol):
    """One architecture. Frozen, without state; nothing of a network is changed."""

    @property
    def models(self) -> tuple[str, ...]:
        """What people call them, as a message says it."""
        ...

    @property
    def joint(self) -> bool:
        """True where text and image share one attention, in which only some methods can act."""
        ...

    @property
    def reference_models(self) -> tuple[str, ...]:
        """Those of them that were trained with reference pictures, as a message says it."""
        ...

    def owns(self, network: Any) -> bool:
        """True for a network whose attention layers are known here."""
        ...

    def takes_references(self, network: Any) -> bool:
        """True where reference latents become tokens. Whether it was trained with any a network does not tell."""
        ...

    def network(self, network: Any, latent_grid: tuple[int, int]) -> FamilyNetwork:
        """What the layers of a loaded network do for latents of (h, w)."""
        ...

    def install(self, network: Any, options: dict[str, Any], call: ModelCall, inputs: Inputs) -> dict[str, Any]:
        """A copy of one model call's options in which the call's methods act."""
        ...

    def padding(self, network: Any, inputs: Inputs) -> AbstractContextManager[Any]:
        """What must hold around a forward whose rows have texts of unequal length."""
        ...

    def unguided(self, network: Any) -> dict[str, Any]:
        """What a conditioning says so that a network with a guidance put into it runs without any."""
        ...

    def recomputed(self, network: Any) -> list[torch.nn.Module]:
        """The parts worth computing twice where memory is short: many activations, one input."""
        ...

    def differentiable(self, network: Any) -> AbstractContextManager[Any]:
        """What must hold around a forward and its backward pass, so that gradients pass through the network."""
        ...

    def taps(self, network: Any, node: str) -> Taps:
        """The blocks that a guidance predictor reads. Raises DirectorError, naming the node, where there are none."""
        ...

    def capturing(self, network: Any, taps: Taps, options: dict[str, Any], inputs: Inputs,
                  cut: bool) -> AbstractContextManager[tuple[dict[str, Any], Found]]:
        """(options to call the network with, where the block outputs will be found after one call).

        cut: end the autograd graph behind the last tap; the forward itself goes on to the same prediction. Other
        nodes may leave blocks out, which then are not found.
        """
        ...
