"""Batches made ahead by other processes where cores are to spare: a GPU is not to wait for OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import engine
from torch.utils.data import DataLoader, Dataset

MOST_WORKERS, AHEAD = 12, 4


@dataclass(frozen=True, eq=False)
class _Made(Dataset):
    """Item i is ``make(numbers[i])``."""

    make: Callable[[int], Any]
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> Any:
        return self.make(self.numbers[i])


def _as_it_is(made: Any) -> Any:
    return made


def ahead(make: Callable[[int], Any], numbers: range) -> Iterator[Any]:
    """``make(n)`` for every number in turn, in this process where there are fewer than four cores.

    ``make`` must give the same for the same number in any process: chance comes from seeds of its own.
    """
    cores = engine.cores()
    workers = min(MOST_WORKERS, cores - 2) if cores >= 4 else 0
    return iter(DataLoader(_Made(make, numbers), batch_size=None, num_workers=workers, collate_fn=_as_it_is,
                           prefetch_factor=AHEAD if workers else None))
