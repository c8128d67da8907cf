"""What a method may do in a run beside attention. A method has a role by having its one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from ...core.call import RowSpan, Scratch, Step
from ...core.method import AttentionMethod
from ...core.text import Phrase

if TYPE_CHECKING:
    from .run import Run

# Lists of functions as the host keeps them in transformer_options["patches"].
HostPatches = Mapping[str, Sequence[Callable[..., Any]]]


@dataclass(frozen=True)
class RunArguments:
    """What a method may replace before a run starts. noise, latent: [B, C, h, w]; sigmas: [n + 1].

    conds: the guider's lists by name, to be read only: they tell whether the run is the method's.
    """

    noise: torch.Tensor
    latent: torch.Tensor
    sampler: Any
    sigmas: torch.Tensor
    seed: int | None
    conds: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class SamplerCall:
    """Arguments of one pass of the sampler, inside the run.

    guider: holds the processed conditionings. noise, latent_image: [B, C, h, w], in the model's own
    scale. denoise_mask: [B or 1, ...] or None. callback(i, denoised, x, total). sampler: the host's
    object that will run, to be read only.
    """

    guider: Any
    sigmas: torch.Tensor
    extra_args: dict[str, Any]
    callback: Callable[..., Any] | None
    noise: torch.Tensor
    latent_image: torch.Tensor | None = None
    denoise_mask: torch.Tensor | None = None
    disable_pbar: bool = False
    sampler: Any = None


@dataclass(frozen=True)
class CondCall:
    """Arguments of one evaluation of all conditionings at one noise level.

    conds: the guider's lists (None where one is left out); x: [B, C, h, w]; timestep: sigmas [B].
    """

    model: Any
    conds: Sequence[Any]
    x: torch.Tensor
    timestep: torch.Tensor
    options: dict[str, Any]


Sample = Callable[[SamplerCall], torch.Tensor]
Evaluate = Callable[[CondCall], list[torch.Tensor]]


@runtime_checkable
class ReplacesArguments(Protocol):
    """Changes the run's arguments, such as noise shared by rows."""

    def replace_arguments(self, arguments: RunArguments) -> RunArguments: ...


@runtime_checkable
class SurroundsSampling(Protocol):
    """Calls the sampler with other arguments, or more than once. Call ``sample``; return its samples."""

    def around_sampling(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor: ...


@runtime_checkable
class EditsPrediction(Protocol):
    """Changes the denoised prediction [B, C, h, w] of a step; x itself is never edited."""

    def edit_prediction(self, run: Run, x: torch.Tensor, denoised: torch.Tensor, step: Step) -> torch.Tensor: ...


@runtime_checkable
class SurroundsConds(Protocol):
    """Evaluates the conditionings of a step in its own way: other ones, or under autograd."""

    def around_conds(self, run: Run, call: CondCall, step: Step, evaluate: Evaluate) -> list[torch.Tensor]: ...


@runtime_checkable
class AddsForwards(Protocol):
    """Needs extra forwards of the model on the same input first.

    Each method returned takes this one's place in the chain for one forward, whose output is dropped.
    """

    def forwards(self, step: Step, rows: Sequence[RowSpan], scratch: Scratch) -> Sequence[AttentionMethod]: ...


@runtime_checkable
class AddsPatches(Protocol):
    """Adds patches of the host's own kinds to one model call, behind those that are there."""

    def patches(self, step: Step, rows: tuple[RowSpan, ...], scratch: Scratch) -> HostPatches: ...


@runtime_checkable
class LeavesRecords(Protocol):
    """Has something to show after the run. Asked only where the chain records."""

    def records(self, scratch: Scratch) -> Mapping[str, Any]: ...


@runtime_checkable
class SumsUp(Protocol):
    """Knows more at the end of a run than when its node ran, for the line on the node."""

    def sum_up(self, run: Run) -> str: ...


@runtime_checkable
class AsksForRecords(Protocol):
    """Its presence in a chain makes the other methods keep what a readout shows."""

    @property
    def recording(self) -> bool: ...


@runtime_checkable
class NamesPhrases(Protocol):
    """Offers the words it acts on, for a record that was not told which words to keep."""

    @property
    def phrases(self) -> tuple[Phrase, ...]: ...
