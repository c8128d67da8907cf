"""When in a run a method acts, and how its strength falls with the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
