"""IdentityInject around the model; its attention is core's LocaliseSubjects.

Method: FastComposer, arXiv 2305.10431. Written from the paper; no code copied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from ...core.call import RowSpan, Scratch, Step
from ...core.method import spans_of
from ...core.schedule import Schedule, step_number
from ..run.hooks import CondCall, Evaluate
from ..run.run import Run

PHASE_KEY = "attention_director_identity"
TEXT, FUSED = "text", "fused"


@dataclass(frozen=True, eq=False)
class IdentityRun:
    """What IdentityInject does around the model: the steps of the published rule, and the line after a run.

    Stands beside the LocaliseSubjects of the same key, where words are confined. schedule: when the fused words
    act. published_start: the share of steps of the paper's rule, or None where the host's own timestep ranges
    part the entries. unused_masks: subjects have masks and nothing is confined.
    """

    key: str
    label: str
    subjects: int
    schedule: Schedule
    published_start: float | None = None
    unused_masks: bool = False

    needs_places: ClassVar[bool] = False
    why_no_area: ClassVar[str] = "this node cannot follow it there"

    def sum_up(self, scratch: Scratch) -> str:
        several = "s" * (self.subjects != 1)
        unused = "; their masks do nothing while localise is 0" if self.unused_masks else ""
        return f"{self.subjects} subject{several}{unused}"

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def around_conds(self, run: Run, call: CondCall, step: Step, evaluate: Evaluate) -> list[torch.Tensor]:
        """The published rule: text-only entries for the first steps, fused ones after."""
        if self.published_start is None:
            return evaluate(call)
        text_only = text_only_steps(self.published_start, len(run.sigmas) - 1)
        phase = TEXT if step_number(run.sigmas, step.sigma) <= text_only else FUSED
        return evaluate(replace(call, conds=[of_phase(entries, self.key, phase) for entries in call.conds]))


def text_only_steps(start: float, steps: int) -> int:
    """FastComposer's off-by-one: step i is text only while i <= (1 - alpha) n, floor((1 - alpha) n) + 1 steps.

    start is 1 - alpha.
    """
    return math.floor(start * steps + 1e-9) + 1


def of_phase(entries: Any, key: str, phase: str) -> Any:
    """The entries of a list that are not ours, and ours of this phase, whose ranges no longer matter."""
    kept = []
    for cond in entries or ():
        mark = cond.get(PHASE_KEY)
        if mark is None or mark[0] != key:
            kept.append(cond)
        elif mark[1] == phase:
            kept.append({k: v for k, v in cond.items() if k not in mark[2]})
    return kept if entries is not None else None
