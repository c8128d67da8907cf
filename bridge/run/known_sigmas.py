"""Noise levels that say which they are: reading one back from a GPU waits for all that it still has to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_WRITE = ("__setitem__", *(f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "pow", "mod")))


class KnownSigmas(torch.Tensor):
    """Noise levels [n], one level, or one for each row [B], whose numbers are known.

    A level is known where a sampler takes one of the run's and gives each row the same, as ``sigmas[i] * s_in``. All
    else that is computed of it is an ordinary tensor, and what writes into it makes it unknown. ones: what was found
    to hold ones alone, of all levels of a schedule.
    """

    numbers: tuple[float, ...]
    ones: list[torch.Tensor]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            made = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if _writes(name) or "out" in kwargs:
            for written in (*args, *kwargs.values()):
                if isinstance(written, KnownSigmas):
                    written.numbers = ()
        elif name == "__getitem__" and type(args[1]) is int and args[0].numbers:
            return known(made, (args[0].numbers[args[1]],), args[0].ones)
        elif name in ("mul", "__mul__", "__rmul__") and len(args) == 2:
            return _for_each_row(made, *args)
        return made


def known(sigmas: torch.Tensor, numbers: Sequence[float], ones: list[torch.Tensor] | None = None) -> KnownSigmas:
    """The tensor itself, knowing its numbers."""
    made = sigmas.as_subclass(KnownSigmas)
    made.numbers, made.ones = tuple(numbers), [] if ones is None else ones
    return made


def sigma_of(timestep: torch.Tensor) -> float:
    """The noise level of the rows of a model call, [B]; read back where it is not known."""
    numbers = timestep.numbers if isinstance(timestep, KnownSigmas) else ()
    return numbers[0] if numbers else float(timestep.flatten()[0])


def ordinary(timestep: torch.Tensor) -> torch.Tensor:
    """The tensor itself, for the host and other packs."""
    return timestep.as_subclass(torch.Tensor) if isinstance(timestep, KnownSigmas) else timestep


def _writes(name: str) -> bool:
    """True for functions that change their first argument: fill_, __setitem__, __imul__."""
    return name in _WRITE or (name.endswith("_") and not name.startswith("_"))


def _for_each_row(made: torch.Tensor, first: Any, second: Any) -> torch.Tensor:
    """The product of a level and a one for each row, or a one of Python's, knowing the level."""
    level, ones = (first, second) if isinstance(first, KnownSigmas) else (second, first)
    if level.ndim or not level.numbers or made.dtype != level.dtype:  # or rounded
        return made
    return known(made, level.numbers, level.ones) if _is_one(ones, level.ones) else made


def _is_one(factor: Any, seen: list[torch.Tensor]) -> bool:
    """seen: what was looked at before; a run's samplers have one such tensor."""
    if not isinstance(factor, torch.Tensor):
        return factor == 1
    if factor.ndim != 1 or any(factor is ones for ones in seen):
        return factor.ndim == 1
    if bool((factor == 1).all()):
        seen[:] = [factor]
    return bool(seen) and seen[0] is factor
