"""What both trainers share: schedule of the learning rate, moving average, resumable state."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to 1% of ``peak``."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where the machine computes in it; a CPU without such units is slower with it than without."""
    able = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=able)


def seed_step(seed: int, step: int) -> None:
    """Give each step noise of its own, so that a resumed training draws what an unbroken one would."""
    torch.manual_seed(seed * 1_000_003 + step)


class MovingAverage:
    """Exponential moving average of a module's parameters, with the usual early correction."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        now = {key: value for key, value in net.state_dict().items() if value.dtype.is_floating_point}
        get_ema_multi_avg_fn(decay)([self.values[key] for key in now], list(now.values()), None)


def save_state(path: Path, state: Any) -> None:
    """Write beside, then rename, so that an interruption leaves the previous state whole."""
    beside = path.with_suffix(".partial")
    torch.save(state, beside)
    os.replace(beside, path)


def save_training(path: Path, net: nn.Module, optimiser: torch.optim.Optimizer, average: MovingAverage,
                  step: int) -> None:
    """Everything that going on after ``step`` steps needs."""
    save_state(path, {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "average": average.values,
                      "step": step})


def resume(path: Path, net: nn.Module, optimiser: torch.optim.Optimizer, average: MovingAverage) -> int:
    """Take up a saved training, if there is one; returns the steps it has done."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    for key, value in average.values.items():
        value.copy_(state["average"][key])
    return state["step"]


class Log:
    """A progress line on the terminal and a tab-separated training log beside the state."""

    def __init__(self, path: Path, title: str, steps: int) -> None:
        self.path, self.title, self.steps = path, title, steps
        self.started = time.monotonic()

    def show(self, step: int, **values: float) -> None:
        share = step / self.steps
        bar = "#" * int(24 * share)
        numbers = "  ".join(f"{k} {v:.4g}" for k, v in values.items())
        elapsed = time.monotonic() - self.started
        text = f"{self.title} [{bar:<24}] {step}/{self.steps}  {elapsed:.1f} s  {numbers}"
        print("\r" + text if sys.stdout.isatty() else text, end="" if sys.stdout.isatty() else "\n", flush=True)
        fields = [self.title, str(step), f"{elapsed:.1f}", *(f"{k}={v:.5g}" for k, v in values.items())]
        with self.path.open("a", encoding="utf-8") as f:
            f.write("\t".join(fields) + "\n")
