"""What a method may do around a run of the host. A method has a hook by having its functions.

Hooks that need no host are in core/hooks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from ...core.call import Step

if TYPE_CHECKING:
    from .run import Run


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
# Keeps something under the samples that a run ended in, as the host hands them on.
File = Callable[[torch.Tensor], None]


@runtime_checkable
class BeforeRun(Protocol):
    """Changes the run's arguments, such as noise shared by rows."""

    def before_run(self, arguments: RunArguments) -> RunArguments: ...


@runtime_checkable
class BeginsRun(Protocol):
    """Prepares its state when a run begins."""

    def begin_run(self, run: Run, call: SamplerCall) -> None: ...


@runtime_checkable
class EndsRun(Protocol):
    """Takes what is left of a run that came to its end. What it returns is called with the result."""

    def end_run(self, run: Run) -> File | None: ...


@runtime_checkable
class AroundSampler(Protocol):
    """Calls the sampler with other arguments, or more than once. Call ``sample``; return its samples."""

    def around_sampler(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor: ...


@runtime_checkable
class AroundConds(Protocol):
    """Evaluates the conditionings of a step in its own way: other ones, or under autograd."""

    def around_conds(self, run: Run, call: CondCall, step: Step, evaluate: Evaluate) -> list[torch.Tensor]: ...


@runtime_checkable
class EditsDenoised(Protocol):
    """Changes the denoised prediction [B, C, h, w] of a step; x itself is never edited."""

    def edit_denoised(self, run: Run, x: torch.Tensor, denoised: torch.Tensor, step: Step) -> torch.Tensor: ...


@runtime_checkable
class AsksForRecords(Protocol):
    """Its presence in a chain makes the other methods keep what a readout shows."""

    @property
    def recording(self) -> bool: ...


@runtime_checkable
class NamesItsPrompt(Protocol):
    """Says which prompt it waits for, for the line after a run in which that prompt never came."""

    @property
    def unseen(self) -> str: ...
