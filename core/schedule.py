"""When in a run a method acts, and how its strength falls with the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# How far, relatively, a noise level may be from one of the schedule and still be that one.
SAME_LEVEL = 1e-4


def step_number(sigmas: Sequence[float], sigma: float) -> int:
    """The number, from 1, of the step in which a sampler evaluates at this noise level.

    sigmas: the n + 1 falling levels of the run. A level between two belongs to the step that began above it.
    """
    return max(1, sum(level >= sigma * (1 - SAME_LEVEL) for level in sigmas[:-1]))


def next_sigma(sigmas: Sequence[float], sigma: float) -> float:
    """The next smaller noise level of a schedule; 0 after the last. Samplers also evaluate in between."""
    return max((level for level in sigmas if level < sigma * (1 - SAME_LEVEL)), default=0.0)


@dataclass(frozen=True)
class Schedule:
    """A window of the run with a power law inside it.

    start, end: progress 0..1, where 0 is the noisiest timestep and 1 the last.
    decay_power: strength falls as (1 - progress) ** decay_power; the (t/1000)^p of the papers.
    Raises ValueError for numbers outside their range.
    """

    start: float = 0.0
    end: float = 1.0
    decay_power: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.start <= 1.0 and 0.0 <= self.end <= 1.0):
            raise ValueError(f"a window runs within 0..1, this one from {self.start} to {self.end}")
        if not math.isfinite(self.decay_power) or self.decay_power < 0.0:
            raise ValueError(f"decay power must be 0 or more, it is {self.decay_power}")

    @property
    def empty(self) -> bool:
        """True when the window has no width: the method never acts."""
        return self.end <= self.start

    def active(self, progress: float) -> bool:
        """True inside the window. Its start belongs to it, its end only when that is the run's."""
        return self.start <= progress < self.end or (self.end == 1.0 and progress >= self.start)

    def weight(self, progress: float) -> float:
        """(1 - progress) ** decay_power inside the window, 0 outside it."""
        if self.empty or not self.active(progress):
            return 0.0
        return max(0.0, 1.0 - progress) ** self.decay_power


def window(start: float, end: float, names: tuple[str, str] = ("start_percent", "end_percent"),
           decay_power: float = 0.0) -> Schedule:
    """The window between two numbers of a user, who knows them by these names.

    Raises ValueError, with a sentence for the user, for a number that is not in 0..1 and a window that runs backwards.
    """
    for name, share in zip(names, (start, end), strict=True):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"{name} is {share}; give a number from 0 to 1.")
    if start > end:
        raise ValueError(f"{names[0]} {start:g} lies after {names[1]} {end:g}; swap them.")
    return Schedule(start, end, decay_power)
