"""One sampling run: what it knows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ...core.call import RowSpan, Scratch, Step
from ...core.hooks import part_of
from ...core.method import Chain
from ...core.network import LayerAddress
from ...core.schedule import step_number
from ...core.text import PromptTag
from ..families.family import Family, FamilyNetwork
from ..text.prompt import TAG_KEY
from .progress import progress_at

CHAIN_KEY = "attention_director_chain"


@dataclass(eq=False)
class Run:
    """State of one run; made when its sampler starts, dropped when it ends.

    images: in the batch. areas: uuids of conditionings that the host evaluates on a part of the picture.
    calls: (time, number of the step, the parts at work) of each call of the model.
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

    @cached_property
    def layers(self) -> tuple[LayerAddress, ...]:
        """The attention layers of the model, in the order they are called."""
        return self.network.layers

    def owns(self, model: Any) -> bool:
        """Another guider may send our options to a second model; that one is not ours to change."""
        return model is self.model or any(model is clone for clone in self.clones)

    def step_at(self, sigma: float, model: Any) -> Step:
        """Progress by the noise level itself, so that second-order samplers come out right."""
        return Step(sigma, self.scratch.once(("progress", sigma), lambda: progress_at(model.model_sampling, sigma)))

    def record(self, step: Step, rows: Sequence[RowSpan], active: Chain) -> None:
        """Note which methods acted in this call, for the line after the run."""
        if self.first_progress is None:
            self.first_progress = step.progress
        number = step_number(self.sigmas, step.sigma)
        self.calls.append((time.perf_counter(), number, frozenset(map(part_of, active.methods))))
        self.seen_keys.update(m.key for m in self.chain.methods if m.acts_on(rows))


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
