"""One sampling run: what it knows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from ...core.call import RowSpan, Scratch, Step
from ...core.hooks import part_of
from ...core.method import Chain
from ...core.network import LayerAddress
from ...core.schedule import step_number
from ...core.text import PromptTag
from ..families.family import Family, FamilyNetwork
from ..text.prompt import TAG_KEY
from .known_sigmas import ordinary, sigma_of
from .progress import on_cpu, progress_at

CHAIN_KEY = "attention_director_chain"
WRAPPER_KEY = "attention_director"
_WRAPPERS = {WRAPPER_KEY, "torch.compile"}  # that leave the noise level of a model call as it is


@dataclass(eq=False)
class Run:
    """State of one run; made when its sampler starts, dropped when it ends.

    images: in the batch. areas: uuids of conditionings that the host evaluates on a part of the picture.
    calls: (time, number of the step, the parts at work) of each call of the model. asked: the noise level and the
    tensor that the sampler asks a prediction at. wrapped: another pack's function is around each call of the model.
    """

    chain: Chain
    model: Any
    clones: tuple[Any, ...]
    family: Family
    network: FamilyNetwork
    tags: dict[tuple[bool, Any], PromptTag]
    sigmas: tuple[float, ...]
    scratch: Scratch = field(default_factory=Scratch)
    images: int = 1
    areas: frozenset[Any] = frozenset()
    calls: list[tuple[float, int, frozenset[tuple[str, str]]]] = field(default_factory=list)
    first_progress: float | None = None
    seen_keys: set[str] = field(default_factory=set)
    asked: tuple[float, torch.Tensor] | None = None
    wrapped: bool = False

    @cached_property
    def layers(self) -> tuple[LayerAddress, ...]:
        """The attention layers of the model, in the order they are called."""
        return self.network.layers

    def owns(self, model: Any) -> bool:
        """Another guider may send our options to a second model; that one is not ours to change."""
        return model is self.model or any(model is clone for clone in self.clones)

    def step_at(self, sigma: float, model: Any) -> Step:
        """Progress by the noise level itself, so that second-order samplers come out right."""
        def make() -> Step:
            sampling = self.scratch.once_of("sampling", (model,), lambda: on_cpu(model.model_sampling))
            return Step(sigma, progress_at(sampling, sigma))

        return self.scratch.once(("step", sigma), make)

    @contextmanager
    def at(self, timestep: torch.Tensor) -> Iterator[tuple[float, torch.Tensor]]:
        """(noise level, timestep) while a sampler asks for a prediction at levels [B]; read back once at most."""
        before, self.asked = self.asked, (sigma_of(timestep), ordinary(timestep))
        try:
            yield self.asked
        finally:
            self.asked = before

    def sigma_of(self, timestep: Any) -> float:
        """The noise level of a tensor that may be the one which the sampler asked at."""
        return self.asked[0] if self.asked and timestep is self.asked[1] else sigma_of(timestep)

    def sigma_of_call(self, t: torch.Tensor, options: dict[str, Any]) -> float:
        """The noise level of a model call [B]: the one asked for, unless another pack may have changed it."""
        others = options.get("wrappers", {}).get("apply_model", {}).keys() - _WRAPPERS
        untouched = self.asked and options.get("sigmas") is self.asked[1] and not others and not self.wrapped
        return self.asked[0] if self.asked and untouched else sigma_of(t)

    def rows(self, options: dict[str, Any], batch_rows: int) -> tuple[RowSpan, ...]:
        """Who the rows of a model call are; the same object for the same rows, all through the run."""
        key = "rows", batch_rows, *(options.get("uuids") or ()), *(options.get("cond_or_uncond") or ())
        return self.scratch.once(key, lambda: rows_of(options, batch_rows, self.tags))

    def active(self, step: Step, rows: tuple[RowSpan, ...]) -> Chain:
        """The methods that act in a model call; the same object for the same methods, so that what is known of
        a chain is found out once."""
        methods = self.chain.acting(step.progress, rows)
        return self.scratch.once_of("active", methods, lambda: Chain(methods))

    def record(self, step: Step, rows: tuple[RowSpan, ...], active: Chain) -> None:
        """Note which methods acted in this call, for the line after the run."""
        if self.first_progress is None:
            self.first_progress = step.progress
        parts = self.scratch.once_of("parts", (active,), lambda: frozenset(map(part_of, active.methods)))
        self.calls.append((time.perf_counter(), step_number(self.sigmas, step.sigma), parts))
        self.seen_keys |= self.scratch.once_of("seen", (self.chain, rows), lambda: frozenset(
            m.key for m in self.chain.methods if m.acts_on(rows)))


def rows_of(options: dict[str, Any], batch_rows: int, tags: dict[tuple[bool, Any], Any]) -> tuple[RowSpan, ...]:
    """Who the rows of a model call are, by the uuid of each chunk.

    tags: (from the first list of the call, uuid) -> tag. A conditioning copied into the negative
    list keeps its uuid, so the list index decides there.
    """
    uuids: Sequence[Any] = options.get("uuids") or ()
    lists: Sequence[int] = options.get("cond_or_uncond") or ()
    if not uuids or len(uuids) != len(lists):
        return (RowSpan(0, batch_rows, None),)
    size = batch_rows // len(uuids)
    return tuple(RowSpan(i * size, (i + 1) * size, tags.get((lists[i] == 0, uuid)))
                 for i, uuid in enumerate(uuids))


def chain_of(model_options: dict[str, Any]) -> Chain | None:
    return model_options.get("transformer_options", {}).get(CHAIN_KEY)


def tags_of(conds: dict[str, list[dict[str, Any]]]) -> dict[tuple[bool, Any], PromptTag]:
    """(first list of a call?, uuid) -> tag, from a guider's processed conditionings."""
    negative = {cond["uuid"] for name, entries in conds.items() if "negative" in name for cond in entries}
    tags: dict[tuple[bool, Any], PromptTag] = {}
    for name, entries in conds.items():
        for cond in entries if "negative" not in name else ():
            if TAG_KEY in cond:
                tag = _as_given(cond[TAG_KEY], cond)
                tags[True, cond["uuid"]] = tag
                if cond["uuid"] not in negative:
                    tags[False, cond["uuid"]] = tag
    return tags


def areas_of(conds: dict[str, list[dict[str, Any]]]) -> frozenset[Any]:
    """The uuids of a guider's conditionings that are limited to an area."""
    return frozenset(cond["uuid"] for entries in conds.values() for cond in entries if cond.get("area") is not None)


def _as_given(tag: PromptTag, cond: dict[str, Any]) -> PromptTag:
    """The tag, knowing what stands around its own tokens.

    A node such as ConditioningConcat puts tokens behind them; Flux.2 itself fills a prompt up from the front.
    """
    tokens = cond["cross_attn"].shape[1]
    given = getattr(cond.get("model_conds", {}).get("c_crossattn"), "cond", cond["cross_attn"]).shape[1]
    return replace(tag, appended=max(0, tokens - tag.width), before=max(0, given - tokens))
