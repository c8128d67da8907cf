"""What a step asks of a device apart from arithmetic, found on a CPU: operations launched, and time in Python.

A fast GPU waits for both. Operations that only look at memory in another way (views) or set it aside launch nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import process_time
from typing import Any

import torch

# Leaves of the profiler's tree that a GPU never sees.
_VIEWS = frozenset(f"aten::{name}" for name in (
    "alias", "as_strided", "detach", "detach_", "diagonal", "expand", "expand_as", "lift_fresh", "narrow", "permute",
    "reshape", "resolve_conj", "resolve_neg", "select", "slice", "split", "split_with_sizes", "squeeze", "t",
    "transpose", "unbind", "unflatten", "unsafe_chunk", "unsafe_split", "unsqueeze", "view", "view_as", "_unsafe_view",
    "_reshape_alias", "chunk", "movedim", "swapaxes", "numpy_T", "flatten", "contiguous", "to", "broadcast_to",
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "set_", "result_type",
    "is_nonzero", "item", "_local_scalar_dense", "dropout", "scaled_dot_product_attention"))
_READS = "aten::_local_scalar_dense"


def launches(work: Callable[[], Any]) -> tuple[int, int]:
    """(operations launched, numbers read back) while ``work`` runs on a CPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as record:
        work()
    leaves = [event.name for event in record.events() or () if not event.cpu_children and event.name.startswith("aten")]
    return sum(name not in _VIEWS for name in leaves), leaves.count(_READS)


def interleaved(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median processor seconds of each piece of work; one after the other in each round, so that all meet the same
    machine."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            started = process_time()
            work()
            if turn:  # the first warms up
                found[name].append(process_time() - started)
    return {name: median(times) for name, times in found.items()}


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """On a CPU: region rules ask of the device what they ask of a GPU that has the kernel, and do nothing; and what the
    processor works out for itself on a GPU too, a noise level's progress, is known."""
    from attention_director.bridge.run import run
    from attention_director.core import ruled

    before = ruled._beside_the_logits, run.progress_at
    ruled._beside_the_logits = lambda call, kernel, _mask: kernel(call.q, call.k, call.v)
    run.progress_at = lambda _sampling, _sigma: 0.2  # inside every window
    try:
        yield
    finally:
        ruled._beside_the_logits, run.progress_at = before


def busy(work: Callable[[], Any]) -> tuple[float, int]:
    """(seconds in which a GPU computes, operations launched) while ``work`` runs."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as record:
        work()
        torch.cuda.synchronize()
    events = [event for event in record.events() or () if event.device_type.name == "CUDA"]
    return sum(event.time_range.elapsed_us() for event in events) / 1e6, len(events)
