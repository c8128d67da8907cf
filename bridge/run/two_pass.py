"""The sampler called twice in one run, the second time as if the first had not been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from .hooks import Sample, SamplerCall


def sample_twice(call: SamplerCall, sample: Sample, between: Callable[[], None]) -> torch.Tensor:
    """The samples of the second of two equal passes; ``between`` is called before it.

    Each pass has its own copy of the arguments that samplers change, the global random states stand
    before the second where they stood before the first, and the conditionings' hooks start anew (their
    keyframes only move forward). Progress counts both passes.
    """
    with _random_states_kept(call.noise.device):
        sample(_pass(call, 0))
    _start_hooks_anew(call.guider)
    between()
    return sample(_pass(call, 1))


def _pass(call: SamplerCall, number: int) -> SamplerCall:
    return replace(call, extra_args=dict(call.extra_args), noise=call.noise.clone(),
                   callback=_counting(call.callback, number) if call.callback else None)


def _counting(callback: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The callback for pass 0 or 1 of two. An adaptive sampler counts past its total; it stays in its half."""
    def both(i: int, denoised: torch.Tensor, x: torch.Tensor, total: int) -> Any:
        return callback(number * total + min(i, total - 1), denoised, x, 2 * total)

    return both


@contextmanager
def _random_states_kept(device: torch.device) -> Iterator[None]:
    if device.type in ("cpu", "mps", "meta"):
        with torch.random.fork_rng(devices=[]):
            yield
    else:
        with torch.random.fork_rng(devices=[device], device_type=device.type):
            yield


def _start_hooks_anew(guider: Any) -> None:
    """Keyframes at their first, and weights without them: the host keeps weights patched at the last keyframe's
    strength until another keyframe comes, and going back to the first is no such change to it."""
    hooks = _hooks(guider)
    for hook in hooks:
        hook.initialize_timesteps(guider.inner_model)
    if hooks:
        guider.inner_model.current_patcher.clear_cached_hook_weights()


def _hooks(guider: Any) -> list[Any]:
    """Every hook of the guider's conditionings, once."""
    groups = [cond["hooks"] for entries in guider.conds.values() for cond in entries if cond.get("hooks") is not None]
    found = {id(hook): hook for group in groups for hook in group.hooks}
    return list(found.values())
