"""Pictures of a check: the host's own samplers on the user's model, timed, with their memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

import comfy.model_management
import comfy.sample
import torch

from ..text.prompt import Conditioning, encode, encode_lines
from .budget import Budget, Pace
from .sampling import LATENT_PX, Sampling

NODE = "AttnDirSelfCheck"
SEED = 7
MEGABYTE = 2**20


@dataclass(frozen=True, eq=False)
class Drawing:
    """Result of a run. samples: latent of B pictures. a_step: seconds of the median step, 0 of a single one.

    peak_mb: the most memory that the card held during the run, weights and all; 0 where nobody counts it.
    """

    samples: torch.Tensor
    a_step: float
    peak_mb: float

    def same(self, other: Drawing) -> bool:
        """True for the same bits."""
        return torch.equal(self.samples, other.samples)


@dataclass(frozen=True, eq=False)
class Studio:
    """A model with what belongs to it. plain_step: seconds a step of one plain picture, 0 before it was measured."""

    model: Any
    clip: Any
    vae: Any
    sampling: Sampling
    budget: Budget
    plain_step: float = 0.0
    negative: Conditioning = field(default_factory=list)
    pace: Pace = field(default_factory=lambda: Pace(0.0))

    def within(self, budget: Budget) -> Studio:
        """The same with other time to spend."""
        return replace(self, budget=budget)

    def fits(self, pictures: float) -> bool:
        """True where so many directed pictures still fit into the time."""
        return self.budget.allows(pictures * self.pace.seconds)

    def encode(self, *lines: str) -> Conditioning:
        """One prompt, or several as rows of one conditioning."""
        return encode(self.clip, lines[0], NODE) if len(lines) == 1 else encode_lines(self.clip, list(lines), NODE)

    def latent(self, images: int = 1, side: int | None = None, same_noise: bool = False) -> dict[str, Any]:
        """An empty LATENT of the model's own shape. same_noise: all start from the noise of the first."""
        cells = (side or self.sampling.side) // LATENT_PX
        empty = torch.zeros(images, 4, cells, cells, device=comfy.model_management.intermediate_device())
        samples = comfy.sample.fix_empty_latent_channels(self.model, empty, LATENT_PX)
        return {"samples": samples, **({"batch_index": [0] * images} if same_noise else {})}

    def draw(self, model: Any, positive: Conditioning, seed: int = SEED, latent: dict[str, Any] | None = None,
             steps: int | None = None, negative: Conditioning | None = None, interrupt_at: int = 0) -> Drawing:
        """One run of the host's sampler. interrupt_at: the step in which somebody presses the button, 0 for none."""
        latent, ends = latent or self.latent(), [time.perf_counter()]
        samples = latent["samples"]

        def tell(step: int, *_: Any) -> None:
            ends.append(time.perf_counter())
            if interrupt_at and step + 1 >= interrupt_at:
                raise comfy.model_management.InterruptProcessingException

        noise = comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
        _forget_peak()
        out = comfy.sample.sample(
            model, noise, steps or self.sampling.steps, self.sampling.cfg, self.sampling.sampler,
            self.sampling.scheduler, positive, negative or self.negative, samples, disable_pbar=True, seed=seed,
            callback=tell)
        spans = [after - before for before, after in pairwise(ends[1:])]
        return Drawing(out, median(spans) if spans else 0.0, _peak_mb())

    def pictures(self, samples: torch.Tensor) -> torch.Tensor:
        """IMAGE [B, H, W, 3] in 0..1."""
        decoded = self.vae.decode(samples)
        return decoded.reshape(-1, *decoded.shape[-3:])[..., :3].float().cpu().clamp(0, 1)


def costs(plain: Sequence[Drawing], directed: Sequence[Drawing]) -> dict[str, float]:
    """What a step costs and a run needs, beside plain runs of the same batch."""
    found = {"seconds_a_step": median(d.a_step for d in directed), "plain_seconds_a_step": median(d.a_step
                                                                                                  for d in plain)}
    peaks = {"peak_mb": max(d.peak_mb for d in directed), "plain_peak_mb": max(d.peak_mb for d in plain)}
    return {**found, **(peaks if peaks["plain_peak_mb"] else {})}


def _counts_memory() -> bool:
    return comfy.model_management.get_torch_device().type == "cuda" and torch.cuda.is_available()


def _forget_peak() -> None:
    if _counts_memory():
        torch.cuda.reset_peak_memory_stats()


def _peak_mb() -> float:
    return torch.cuda.max_memory_allocated() / MEGABYTE if _counts_memory() else 0.0
