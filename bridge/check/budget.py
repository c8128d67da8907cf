"""Time that a check may take. Work that would not fit is left out, and said to be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median_low


@dataclass(frozen=True)
class Budget:
    """Until when. stops: on the clock of ``time.monotonic``, in seconds."""

    stops: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds, at least 0."""
        return max(0.0, self.stops - time.monotonic())

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started

    def allows(self, seconds: float) -> bool:
        """True where work of so many seconds still fits."""
        return seconds <= self.left

    def share(self, part: float) -> Budget:
        """A share, 0..1, of what is left."""
        return Budget(time.monotonic() + part * self.left)


class Pace:
    """How long a directed picture takes on this card: the median of a guess and of what was met.

    Loading, and whatever else happens only once, does not stay in a median.
    """

    def __init__(self, guess: float) -> None:
        self._met = [guess]

    @property
    def seconds(self) -> float:
        return median_low(self._met)

    def met(self, pictures: float, seconds: float) -> None:
        """Learn from work of so many pictures."""
        self._met.append(seconds / pictures)


def budget_of(minutes: float) -> Budget:
    return Budget(time.monotonic() + 60.0 * minutes)
