"""Records of the last runs, for readouts.

Two branches may generate the same picture with different records, and one model may generate several; so a
record is found by the result and by the recorders that made it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..run.store import RunStore
from .recording import Heat

RUNS_KEPT = 8


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One run.

    recorders: keys of the chain's. heats: by that key, of those that saw their prompt. left: what the
    methods left, by its name, one entry a method.
    """

    recorders: frozenset[str]
    heats: Mapping[str, Heat]
    left: Mapping[str, tuple[Any, ...]]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(h.nbytes for h in self.heats.values()) + sum(t.nbytes for t in _tensors(tuple(self.left.values())))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)


class RecordStore(RunStore[RunRecord]):
    """The records of the last runs."""

    def __init__(self, runs: int = RUNS_KEPT) -> None:
        super().__init__(runs)

    def of(self, samples: Any, recorders: set[str]) -> RunRecord | None:
        """The newest record of one of these recorders for the run that ended in exactly these samples."""
        return self.find(samples, lambda record: bool(recorders & record.recorders))

    @property
    def nbytes(self) -> int:
        return sum(record.nbytes for record in self)


STORE = RecordStore()
