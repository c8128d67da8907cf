"""How far a noise level is into the run, as the host counts it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch

CLOSE = 1e-7  # share of a run; the host's levels are float32
DIGITS = 5  # of a percent that somebody may have set
SMALLEST = 1e-30  # in the place of a level of 0, which has no logarithm


def on_cpu(sampling: Any) -> Any:
    """A model's ``model_sampling`` where asking it waits for no GPU; a copy if it must be."""
    return copy.deepcopy(sampling).cpu() if any(t.device.type != "cpu" for t in sampling.buffers()) else sampling


def progress_at(sampling: Any, sigma: float) -> float:
    """The greatest percent (0 noisiest .. 1) whose noise level is not below sigma, to CLOSE.

    sampling: a model's model_sampling. It is the inverse of its ``percent_to_sigma``, the one measure that every
    kind of sampling has: timesteps run 0..999, 0..1 or over logarithms. At percents of DIGITS digits it is exact: a
    window from ``start`` opens where a ControlNet's does, at the first sigma <= percent_to_sigma(start).
    """
    if sigma <= 0.0:
        return 1.0
    found = _root(lambda percent: _log(_level(sampling, percent)) - _log(sigma))
    nearest = round(found, DIGITS)
    if abs(nearest - found) > 2 * CLOSE:
        return found
    return max(found, nearest) if _level(sampling, nearest) >= sigma else max(0.0, min(found, nearest - CLOSE))


def _root(f: Callable[[float], float]) -> float:
    """Where f, which falls from 0 to 1, is 0, to CLOSE: T. R. Chandrupatla, Advances in Engineering Software 28(3),
    1997. It halves the bracket, or interpolates with a parabola where three points lie well; a dozen calls."""
    newest, other = 0.0, 1.0
    at_newest, at_other = f(newest), f(other)
    if at_other >= 0.0:
        return 1.0
    share = 0.5
    while True:
        x = newest + share * (other - newest)
        at_x = f(x)
        if (at_x >= 0.0) == (at_newest >= 0.0):
            third, at_third = newest, at_newest
        else:
            third, at_third, other, at_other = other, at_other, newest, at_newest
        newest, at_newest = x, at_x
        least = CLOSE / abs(other - newest)
        if least > 0.5 or at_newest == 0.0:
            return newest
        share = min(1.0 - least, max(least, _share((newest, at_newest), (other, at_other), (third, at_third))))


def _share(newest: tuple[float, float], other: tuple[float, float], third: tuple[float, float]) -> float:
    """How far from the newest point towards the other end of the bracket to ask next."""
    (x, fx), (y, fy), (z, fz) = newest, other, third
    if len({fx, fy, fz}) < 3:
        return 0.5
    part, rise = (x - y) / (z - y), (fx - fy) / (fz - fy)
    if not (rise ** 2 < part and (1.0 - rise) ** 2 < 1.0 - part):
        return 0.5
    return fx / (fy - fx) * fz / (fy - fz) + (z - x) / (y - x) * fx / (fz - fx) * fy / (fz - fy)


def _log(level: float) -> float:
    return math.log(max(level, SMALLEST))


def _level(sampling: Any, percent: float) -> float:
    """In float32, as the host compares it with its own levels."""
    return float(torch.as_tensor(sampling.percent_to_sigma(percent), dtype=torch.float32))
