"""How much memory a piece of work needs at its worst, in tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def peak_bytes(work: Callable[[], Any]) -> int:
    """The most bytes of tensors alive at once during ``work``, beyond those alive before it.

    On the CPU torch's profiler reports every allocation and release of the allocator, which tracemalloc
    never sees; what is alive is their running sum. On a GPU the allocator counts itself. Weights that
    lie there already are not in it.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    results: Any = getattr(record.profiler, "kineto_results", None)  # no public way to single allocations
    changes = [(e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]"]
    alive = most = 0
    for _, change in sorted(changes, key=lambda c: c[0]):
        alive += change
        most = max(most, alive)
    return most
