"""Time that a check may take. Work that would not fit is left out, and said to be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


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


@dataclass(eq=False)
class Pace:
    """How long a directed picture takes on this card. seconds: a guess that follows what was met."""

    seconds: float

    def met(self, pictures: float, seconds: float) -> None:
        """Learn from work of so many pictures."""
        self.seconds = (self.seconds + seconds / pictures) / 2


def budget_of(minutes: float) -> Budget:
    return Budget(time.monotonic() + 60.0 * minutes)
