"""What a step asks of a device apart from arithmetic, found on a CPU: operations launched, and time in Python.

A fast GPU waits for both. Operations that only look at memory in another way (views) or set it aside launch nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from time import process_time
from typing import Any

import torch

# Operations that a GPU never sees: views, memory set aside, questions the processor answers.
_QUIET = frozenset(f"aten::{name}" for name in (
    "alias", "as_strided_", "as_strided", "broadcast_to", "can_cast", "chunk", "contiguous", "detach", "detach_",
    "diagonal", "dropout", "empty", "empty_like", "empty_strided", "expand", "expand_as", "flatten", "is_nonzero",
    "item", "lift_fresh", "_local_scalar_dense", "movedim", "narrow", "new_empty", "new_empty_strided",
    "_nnpack_available", "numpy_T", "permute", "promote_types", "real", "reshape", "_reshape_alias", "resize_",
    "resolve_conj", "resolve_neg", "result_type", "scalar_tensor", "select", "set_", "slice", "split",
    "split_with_sizes", "squeeze", "swapaxes", "t", "to", "transpose", "unbind", "unflatten", "unfold",
    "unsafe_chunk", "unsafe_split", "_unsafe_view", "unsqueeze", "view", "view_as"))
# What a processor does in several steps and a GPU in one.
_ONE = frozenset(("aten::mean", "aten::upsample_bilinear2d", "aten::_upsample_bilinear2d_aa"))
_READS = "aten::_local_scalar_dense"
_PROCESSORS = "worked out by the processor"


def launches(work: Callable[[], Any]) -> tuple[int, int]:
    """(operations launched, numbers read back) while ``work`` runs on a CPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as record:
        work()
    events = list(record.events() or ())
    return (sum(_launched(event) for event in events if event.cpu_parent is None),
            sum(event.name == _READS for event in events))


def _launched(event: Any) -> int:
    """An operation is one launch, or what the operations that it is made of are."""
    if event.name == _PROCESSORS:
        return 0
    if event.name in _ONE:
        return 1
    within = sum(map(_launched, event.cpu_children))
    return within or int(event.name.startswith("aten::") and event.name not in _QUIET)


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
    """On a CPU: rules and biases ask of the device what they ask of a GPU that has the kernel, one launch; a noise
    level's progress is known; and what the processor works out for itself on a GPU too, masks and who shares, is not
    counted."""
    from attention_director.bridge.run import run
    from attention_director.bridge.subject import level_start
    from attention_director.core import ruled

    def in_one_launch(call: Any, *_rest: Any) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(call.q, call.k, call.v)

    beside = {name: _beside(getattr(level_start, name)) for name in ("level_masks", "anchor_groups", "bank_group")}
    with ExitStack() as stack:
        for module, name, instead in ((ruled, "_on_a_processor", in_one_launch),
                                      (ruled, "_in_one_launch", in_one_launch),
                                      (run, "progress_at", lambda _sampling, _sigma: 0.2),  # inside every window
                                      *((level_start, *item) for item in beside.items())):
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, instead)
        yield


def _beside(function: Callable[..., Any]) -> Callable[..., Any]:
    def counted_for_nothing(*args: Any, **kwargs: Any) -> Any:
        with torch.profiler.record_function(_PROCESSORS):
            return function(*args, **kwargs)

    return counted_for_nothing


def busy(work: Callable[[], Any]) -> tuple[float, int]:
    """(seconds in which a GPU computes, operations launched) while ``work`` runs."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as record:
        work()
        torch.cuda.synchronize()
    events = [event for event in record.events() or () if event.device_type.name == "CUDA"]
    return sum(event.time_range.elapsed_us() for event in events) / 1e6, len(events)
