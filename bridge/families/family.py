"""What the pack must know of one architecture, and nothing else of the pack may know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ...core.method import ModelCall
from ...core.network import LayerAddress, Network, SubjectLayers

CALL_KEY = "attention_director_call"


@dataclass(frozen=True)
class Inputs:
    """Shapes of what the network is given in one call.

    latent: (h, w) of x; text: tokens of the encoded prompt; references: (h, w) of each reference latent.
    """

    latent: tuple[int, int]
    text: int = 0
    references: tuple[tuple[int, int], ...] = ()


def inputs_of(x: torch.Tensor, context: torch.Tensor | None, references: Any) -> Inputs:
    """What a call of the network is given, as shapes."""
    sizes = tuple((int(r.shape[-2]), int(r.shape[-1])) for r in references or ())
    return Inputs((int(x.shape[-2]), int(x.shape[-1])), 0 if context is None else int(context.shape[1]), sizes)


class FamilyNetwork(Network, Protocol):
    """A loaded network and latents of one size, for those who also run it."""

    @property
    def subject(self) -> SubjectLayers | None:
        """Which layers share a subject, and where its features are read; None where none can yet."""
        ...

    def projections(self, layer: LayerAddress) -> tuple[torch.nn.Module, torch.nn.Module]:
        """The layer's own projections of its input to keys and values."""
        ...


class Family(Protocol):
    """One architecture. Frozen, without state; nothing of a network is changed."""

    @property
    def name(self) -> str:
        """As a message says it."""
        ...

    def owns(self, network: Any) -> bool:
        """True for a network whose attention layers are known here."""
        ...

    def network(self, network: Any, latent_grid: tuple[int, int]) -> FamilyNetwork:
        """What the layers of a loaded network do for latents of (h, w)."""
        ...

    def install(self, network: Any, options: dict[str, Any], call: ModelCall, inputs: Inputs) -> dict[str, Any]:
        """A copy of one model call's options in which the call's methods act."""
        ...

    def recomputed(self, network: Any) -> list[torch.nn.Module]:
        """The parts worth computing twice where memory is short: many activations, one input."""
        ...
