"""Runs that are stopped inside the network, and what stays in memory after them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


@contextmanager
def stopped_at(model: Any, call: int) -> Iterator[None]:
    """Inside, the host's interrupt flag is raised at the call-th block that the network computes."""
    import comfy.model_management as management

    network, seen = model.model.diffusion_model, [0]
    blocks = [*network.input_blocks, network.middle_block, *network.output_blocks]

    def stop(*_: Any) -> None:
        seen[0] += 1
        if seen[0] == call:
            management.interrupt_current_processing(True)
            management.throw_exception_if_processing_interrupted()

    hooks = [block[0].register_forward_pre_hook(stop) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        management.interrupt_current_processing(False)


@contextmanager
def stopped_going_backward(model: Any) -> Iterator[None]:
    """Inside, the host's interrupt comes when a gradient has gone half of the way back."""
    import comfy.model_management as management

    def stop(_: torch.Tensor) -> None:
        raise management.InterruptProcessingException()

    def watch(_module: Any, _args: Any, out: torch.Tensor) -> None:
        if out.requires_grad:
            out.register_hook(stop)

    hook = model.model.diffusion_model.input_blocks[5][0].register_forward_hook(watch)
    try:
        yield
    finally:
        hook.remove()


def interrupted(run: Callable[[], Any], stopped: AbstractContextManager[None]) -> None:
    """One run that must end in the host's interrupt."""
    import comfy.model_management as management
    import pytest

    with stopped, pytest.raises(management.InterruptProcessingException):
        run()


def held() -> tuple[int, int]:
    """(live tensors, their bytes), after Python has let go of what it can."""
    gc.collect()
    tensors = [value for value in gc.get_objects() if issubclass(type(value), torch.Tensor)]
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in tensors
                if not value.is_meta}
    return len(tensors), sum(storages.values())
