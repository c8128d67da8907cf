"""The numbers of Shared Subject."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ...core.call import Step
from ...core.schedule import Schedule

# The paper's share of plain queries falls by this much over its window, from 0.9 to 0.818.
BLEND_FALL = 1.0 - 0.81836735 / 0.9


@dataclass(frozen=True)
class SubjectOptions:
    """The node's numbers. The defaults are the paper's, its step counts as shares of the timesteps.

    variety: the paper's mask dropout. share, inject: when keys are shared and features injected;
    blend_end: until when queries are blended. separate: keys of a subject only where that subject is. placed: by what
    keys that carry positions find theirs in another picture; "own" leaves them where they are, as naive sharing does.
    """

    anchors: int = 2
    strength: float = 1.0
    two_pass: bool = True
    injection: float = 0.8
    variety: float = 0.5
    share: Schedule = field(default_factory=Schedule)
    inject: Schedule = field(default_factory=lambda: Schedule(0.1, 0.32))
    query_blend: float = 0.9
    blend_end: float = 0.12
    separate: bool = False
    same_noise: bool = False
    keep_bank: bool = False
    placed: Literal["matches", "boxes", "own"] = "matches"

    @property
    def sharing(self) -> bool:
        return self.strength > 0.0 and not self.share.empty

    @property
    def injecting(self) -> bool:
        return self.injection > 0.0 and not self.inject.empty

    def shares_at(self, step: Step) -> bool:
        """True where keys are shared at a step."""
        return self.sharing and self.share.active(step.progress)

    def injected(self, step: Step, fades: bool = False) -> float:
        """How much is injected at a step; where it fades, a half cosine from the window's end to the run's."""
        if self.injecting and self.inject.active(step.progress):
            return self.injection
        behind = step.progress - self.inject.end
        if not (fades and self.injecting) or behind < 0.0 or self.inject.end >= 1.0:
            return 0.0
        return 0.5 * self.injection * (1.0 + math.cos(math.pi * behind / (1.0 - self.inject.end)))

    def plain_queries(self, step: Step) -> float:
        """The share of the plain forward's queries at a step, 0 after the window."""
        if self.blend_end <= 0.0 or step.progress >= self.blend_end:
            return 0.0
        return self.query_blend * (1.0 - BLEND_FALL * step.progress / self.blend_end)
