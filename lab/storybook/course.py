"""A resumable training with a clock: steps, learning rate, moving average, saved state, log.

A course ends after its steps or its seconds, whichever comes first, and its learning rate follows the nearer end.
What was interrupted goes on where it was, with the seconds it is given then.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

WARM_UP = 250  # steps, or a tenth of the course where that is shorter
SAVE_EVERY_S = 90.0
AVERAGE_EVERY = 4
MUON_FASTER = 2.0  # than AdamW: tried on a small transformer, 160 steps of 32 pictures
AVERAGE_DECAY = 0.998


class Clock:
    """The time that a whole command may take, ``seconds`` from now (None: as long as it likes)."""

    def __init__(self, seconds: float | None = None) -> None:
        self.started = time.monotonic()
        self.seconds = math.inf if seconds is None else seconds

    @property
    def spent(self) -> float:
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        return max(0.0, self.seconds - self.spent)


class Log:
    """Lines for a person, with the seconds since the start, on the terminal and in a file."""

    def __init__(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.clock = path, clock

    def say(self, text: str, **numbers: float) -> None:
        line = f"[{self.clock.spent:7.1f} s] {text}" + "".join(f"  {k} {v:.4g}" for k, v in numbers.items())
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


@dataclass(frozen=True)
class Budget:
    """At most so many steps in all, and so many seconds from now on. flat: the share before the rate falls."""

    steps: int
    seconds: float = math.inf
    peak: float = 8e-4
    flat: float = 0.3

    def rate(self, step: int, done: float) -> float:
        """Learning rate at ``step`` when the share ``done`` of the course is over."""
        warm = min(1.0, (step + 1) / min(WARM_UP, max(1, self.steps // 10)))
        fall = 0.0 if done < self.flat else (done - self.flat) / max(1e-9, 1 - self.flat)
        return self.peak * warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, fall))) + 1e-6


class Course:
    """Train ``net`` in ``folder`` under ``name``. Iterate over its steps and call ``learn`` in each."""

    def __init__(self, folder: Path, name: str, net: nn.Module, budget: Budget, log: Log, seed: int = 0,
                 decay: float = 0.02, betas: tuple[float, float] = (0.9, 0.98),
                 hidden: Sequence[nn.Parameter] = ()) -> None:
        """hidden: matrices that Muon trains (Jordan et al. 2024); everything else is AdamW's."""
        self.net, self.budget, self.log, self.name, self.seed = net, budget, log, name, seed
        self.state_file, self.file = folder / f"{name}.state", folder / f"{name}.safetensors"
        self.parameters = [p for p in net.parameters() if p.requires_grad]
        apart = {id(p) for p in hidden}
        rest = [p for p in self.parameters if id(p) not in apart]
        groups = [{"params": [p for p in rest if (p.ndim > 1) == matrix], "weight_decay": decay if matrix else 0.0}
                  for matrix in (True, False)]
        on_gpu = next(net.parameters()).device.type == "cuda"
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=budget.peak, betas=betas, fused=on_gpu)]
        if hidden:
            self.optimisers.append(torch.optim.Muon(hidden, lr=budget.peak, weight_decay=decay,
                                                    adjust_lr_fn="match_rms_adamw"))
        self.average = [p.detach().clone() for p in self.parameters]
        self.step, self.spent, self.gradient = 0, 0.0, torch.zeros(())
        self.resume()
        self.seconds = self.spent + budget.seconds

    @property
    def done(self) -> float:
        """The share of the course that is over."""
        return max(self.step / max(1, self.budget.steps), self.spent / max(1e-9, self.seconds))

    def __iter__(self) -> Iterator[int]:
        last = saved = time.monotonic()
        while self.done < 1:
            torch.manual_seed(self.seed * 1_000_003 + self.step)  # what a step draws is its own
            rate = self.budget.rate(self.step, self.done)
            for optimiser in self.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate * (MUON_FASTER if isinstance(optimiser, torch.optim.Muon) else 1)
            yield self.step
            self.step += 1
            now = time.monotonic()
            self.spent, last = self.spent + now - last, now
            if now - saved > SAVE_EVERY_S:
                self.save()
                saved = time.monotonic()

    def learn(self, loss: torch.Tensor) -> None:
        """One step of the optimisers, and every few of the moving average."""
        self.net.zero_grad(set_to_none=True)
        loss.backward()
        self.gradient = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        if self.step % AVERAGE_EVERY == 0:
            decay = min(AVERAGE_DECAY ** AVERAGE_EVERY, 1 - 8 / (self.step + 10))
            with torch.no_grad():
                now = [p.detach() for p in self.parameters]
                torch._foreach_lerp_(self.average, now, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    def tell(self, every: int = 100, **losses: torch.Tensor) -> None:
        """Log the losses now and then; reading them waits for the device."""
        if self.step % every == 0 or self.step + 1 == self.budget.steps:
            values = {key: float(value.detach()) for key, value in losses.items()}
            self.log.say(f"{self.name} {self.step}", **values, grad=float(self.gradient),
                         per_step=self.spent / max(1, self.step))

    def save(self) -> None:
        """Everything that going on needs, beside the last and then in its place."""
        beside = self.state_file.with_suffix(".partial")
        torch.save({"net": self.net.state_dict(), "average": self.average, "step": self.step, "spent": self.spent,
                    "optimisers": [optimiser.state_dict() for optimiser in self.optimisers]}, beside)
        os.replace(beside, self.state_file)

    def resume(self) -> None:
        if not self.state_file.exists():
            return
        state = torch.load(self.state_file, weights_only=True, map_location="cpu")
        self.net.load_state_dict(state["net"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        for own, value in zip(self.average, state["average"], strict=True):
            own.copy_(value)
        self.step, self.spent = state["step"], state["spent"]
        self.log.say(f"{self.name} goes on at step {self.step}")

    def settle(self) -> None:
        """The averaged weights into the network."""
        for own, value in zip(self.parameters, self.average, strict=True):
            own.data.copy_(value)

    def finish(self) -> dict[str, torch.Tensor]:
        """The averaged weights, written for whoever comes after; the state is no longer needed."""
        self.settle()
        weights = {key: value.detach().cpu().contiguous() for key, value in self.net.state_dict().items()}
        save_whole(self.file, weights)
        self.state_file.unlink(missing_ok=True)
        self.log.say(f"{self.name} done: {self.step} steps in {self.spent:.1f} s")
        return weights


def save_whole(path: Path, weights: dict[str, torch.Tensor], facts: dict[str, str] | None = None) -> None:
    """A safetensors file that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".partial")
    save_file(weights, str(beside), facts)
    os.replace(beside, path)


def load(path: Path, net: nn.Module) -> nn.Module:
    """A finished course's weights into a network."""
    net.load_state_dict(load_file(str(path)))
    return net.eval()


def autocast(device: torch.device) -> Any:
    """bfloat16 where the machine computes in it; a CPU without such units is slower with it than without."""
    able = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=able)


def fast_matmuls(device: torch.device) -> None:
    """What a GPU is given for free."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


def compile_blocks(blocks: list[nn.Module], device: torch.device) -> None:
    """Compile block by block, on a GPU: most of the gain of compiling the whole, in a fraction of the wait."""
    if device.type == "cuda":
        import torch._dynamo

        torch._dynamo.config.cache_size_limit = 64  # blocks share code; each width and each supervision is a variant
        for block in blocks:
            block.compile(dynamic=False)
