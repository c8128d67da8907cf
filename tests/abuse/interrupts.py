"""Runs that are stopped inside the network, and what stays in memory after them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


def parts_of(model: Any) -> list[torch.nn.Module]:
    """What is computed first in each block of a network, also where the block is computed again."""
    from attention_director.bridge.families import family_of_network

    network = model.model.diffusion_model
    blocks = family_of_network(network).recomputed(network)
    return [next(part for part in block.modules() if not any(part.children())) for block in blocks]


@contextmanager
def stopped_at(model: Any, forwards: float) -> Iterator[None]:
    """Inside, the host's interrupt flag is raised when so many forwards' blocks have been computed."""
    import comfy.model_management as management

    parts, seen = parts_of(model), [0]
    call = round(forwards * len(parts))

    def stop(*_: Any) -> None:
        seen[0] += 1
        if seen[0] == call:
            management.interrupt_current_processing(True)
            management.throw_exception_if_processing_interrupted()

    hooks = [part.register_forward_pre_hook(stop) for part in parts]
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

    hooks = [part.register_forward_hook(watch) for part in parts_of(model)[1:3]]
    try:
        yield
    finally:
        for hook in hooks:
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
