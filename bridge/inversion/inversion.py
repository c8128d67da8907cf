"""An inverted picture, as it lies on a wire."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from ..text.prompt import Conditioning

METHODS = ("direct", "negative-prompt", "ddim", "null-text", "edit-friendly", "noise", "fireflow")
# Those that lay the source's path and hold its rows on it, whatever the sampler does.
HELD = ("direct", "noise", "fireflow")


@dataclass(frozen=True, eq=False)
class Inversion:
    """A picture as the start of a run. All tensors on the CPU, latents in the model's own scale.

    method: one of METHODS. model, family: of the checkpoint (fingerprint.py). sigmas: n + 1 falling noise
    levels, the last 0. states: [n + 1, C, h, w], the last one the picture's latent. positive, unconditional:
    the caption's and the empty text's encoding. text: the caption, "" where it came encoded. cfg: guidance
    that null-text and edit-friendly were made with. embeddings: [n, T, C] unconditional ones (null-text).
    predictions, noises: [n, C, h, w] (edit-friendly).
    """

    method: str
    model: str
    family: str
    sigmas: tuple[float, ...]
    states: torch.Tensor
    positive: Conditioning
    unconditional: Conditioning
    text: str
    steps: int
    scheduler: str
    cfg: float
    embeddings: torch.Tensor | None = None
    predictions: torch.Tensor | None = None
    noises: torch.Tensor | None = None

    @property
    def latent(self) -> torch.Tensor:
        """x0 [1, C, h, w]."""
        return self.states[-1:]

    @property
    def replaces_negative(self) -> bool:
        """True where the method chooses the unconditional side."""
        return self.method in ("negative-prompt", "null-text")

    @property
    def own_levels(self) -> bool:
        """True where the method knows the steps it was made with and no others."""
        return self.method in ("null-text", "edit-friendly")

    def digest(self) -> str:
        """Names this inversion by what it holds."""
        tensors = (self.states, self.positive[0][0], self.embeddings)
        held = b"".join(t.detach().to("cpu", torch.float32).numpy().tobytes() for t in tensors if t is not None)
        return hashlib.sha256(self.method.encode() + held).hexdigest()[:12]

    def step_of(self, sigma: float) -> int:
        """The number of the step that starts at this noise level, or nearest to it."""
        return min(range(len(self.sigmas) - 1), key=lambda k: abs(self.sigmas[k] - sigma))
