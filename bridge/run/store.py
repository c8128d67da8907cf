"""What runs leave to look at or to save, found again by the samples that came out.

A later node knows a run only by the latent on its wire. So what a run left is kept under a fingerprint of the
result as the host will deliver it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import comfy.model_management
import torch

Kept = TypeVar("Kept")


class RunStore(Generic[Kept]):
    """What the last runs left, oldest dropped first."""

    def __init__(self, runs: int) -> None:
        self._runs: deque[tuple[frozenset[str], Kept]] = deque(maxlen=runs)

    def keep(self, samples: torch.Tensor, value: Kept) -> None:
        self._runs.append((as_delivered(samples), value))

    def find(self, samples: Any, fits: Callable[[Kept], bool] = lambda _: True) -> Kept | None:
        """The newest that fits of what a run left that ended in exactly these samples."""
        wanted = fingerprint(samples)
        return next((value for prints, value in reversed(self._runs) if wanted in prints and fits(value)), None)

    def __iter__(self) -> Iterator[Kept]:
        return iter([value for _, value in self._runs])

    def __len__(self) -> int:
        return len(self._runs)


def fingerprint(samples: Any) -> str:
    """A hash of shape, precision and every value; "" for what is no single tensor."""
    if not isinstance(samples, torch.Tensor) or getattr(samples, "is_nested", False):
        return ""
    plain = samples.detach().to("cpu").contiguous()
    head = f"{tuple(plain.shape)} {plain.dtype} ".encode()
    return hashlib.sha256(head + plain.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()


def as_delivered(samples: torch.Tensor) -> frozenset[str]:
    """Fingerprints of the result in the forms that samplers hand on: cast to the host's dtype, or not."""
    cast = samples.to(comfy.model_management.intermediate_dtype())
    return frozenset((fingerprint(samples), fingerprint(cast)))
