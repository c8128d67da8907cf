"""What a method may do beside attention, as far as no host is needed. A method has a hook by having its functions.

Hooks that see the host's run are in bridge/run/hooks.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from .call import RowSpan, Scratch
from .method import AttentionMethod, Method, ModelCall
from .network import LayerAddress
from .text import Phrase


@runtime_checkable
class ChecksRun(Protocol):
    """Raises ValueError, before the first step, for a run it cannot act in."""

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None: ...


@runtime_checkable
class NamesPhrases(Protocol):
    """Offers the words it acts on, for a record whose user named no words."""

    @property
    def phrases(self) -> tuple[Phrase, ...]: ...


@runtime_checkable
class LeavesRecords(Protocol):
    """Has something to show after the run. Asked only where the chain records."""

    def records(self, scratch: Scratch) -> Mapping[str, Any]: ...


@runtime_checkable
class SumsUp(Protocol):
    """Says in a few words what it did in a run, for the line on the node."""

    def sum_up(self, scratch: Scratch) -> str: ...


@runtime_checkable
class Warns(Protocol):
    """Says what of its inputs it could not use, for the line on the node; "" for nothing."""

    def warn(self) -> str: ...


@runtime_checkable
class NamesItsPart(Protocol):
    """Is a part of what a node does that has a sentence of its own after the run, such as "inversion"."""

    @property
    def part(self) -> str: ...


def part_of(method: Method) -> tuple[str, str]:
    """(key, part): methods of one sentence after a run; part is "" for what the node itself does."""
    return method.key, method.part if isinstance(method, NamesItsPart) else ""


@runtime_checkable
class KnowsPlaces(Protocol):
    """Says whether places in the picture matter to it. A method without this hook needs them.

    needs_places: False for one that acts alike in a part of a picture and in the whole.
    """

    @property
    def needs_places(self) -> bool: ...


def needs_places(method: Method) -> bool:
    return not isinstance(method, KnowsPlaces) or method.needs_places


@runtime_checkable
class RefusesArea(Protocol):
    """Cannot follow a positive that is limited to an area. why_no_area: the sentence's reason.

    A method that needs places and does not have this hook is refused with a general reason.
    """

    @property
    def why_no_area(self) -> str: ...


@runtime_checkable
class NeedsEveryStep(Protocol):
    """Gathers something over all steps on one device. why_every_step: the sentence's reason; "" where it does not.

    way_out: what to do on the node itself, such as "empty blend_words"; "" where there is nothing.
    """

    @property
    def why_every_step(self) -> str: ...

    @property
    def way_out(self) -> str: ...


@runtime_checkable
class BeginsCall(Protocol):
    """Prepares for a call of the model in which it acts, before any of its layers."""

    def begin_call(self, call: ModelCall) -> None: ...


@runtime_checkable
class AddsForwards(Protocol):
    """Needs extra forwards of the model on the same input first.

    Each method returned takes the place of all methods of this one's key for one forward, whose output is dropped.
    """

    def forwards(self, call: ModelCall) -> Sequence[AttentionMethod]: ...


@runtime_checkable
class ReadsInputs(Protocol):
    """Sees what attention layers are about to read: hidden [B, N, C], before q, k and v are made of it."""

    def reads_inputs(self, layer: LayerAddress) -> bool: ...

    def read_inputs(self, layer: LayerAddress, hidden: torch.Tensor, call: ModelCall) -> None: ...


@runtime_checkable
class EditsOutputs(Protocol):
    """Changes what attention layers give: hidden [B, N, C], before it is added to the stream."""

    def edits_outputs(self, layer: LayerAddress) -> bool: ...

    def edit_outputs(self, layer: LayerAddress, hidden: torch.Tensor, call: ModelCall) -> torch.Tensor: ...


@runtime_checkable
class ReadsFeatures(Protocol):
    """Sees the feature map [B, C, h, w] that passes a place of the network; "" where it wants none in this call.

    The family's ``SubjectLayers`` names the place.
    """

    def features_wanted(self, call: ModelCall) -> str: ...

    def read_features(self, features: torch.Tensor, call: ModelCall) -> None: ...


@runtime_checkable
class ActsInJointLayers(Protocol):
    """Can act where text and image share one attention."""

    @property
    def acts_in_joint_layers(self) -> bool: ...
