"""Where in the picture phrases have been read so far in a run. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch

from .call import AttentionCall, RowSpan, Scratch
from .heat import pixel_maps, resized
from .method import spans_of
from .network import LayerAddress, Layers, Network
from .schedule import Schedule
from .text import Phrase, columns

MEMORY = 0.8  # share of the earlier noise levels in the mean when a new one comes in


@dataclass(eq=False)
class PlacesFound:
    """Maps [n, S, h, w] by the number of a span's first image.

    now: of the noise level ``sigma``, summed over the layers. before: of the levels before it, each map's mean 1.
    """

    sigma: float | None = None
    now: dict[int, torch.Tensor] = field(default_factory=dict)
    before: dict[int, torch.Tensor] = field(default_factory=dict)

    def come_to(self, sigma: float) -> None:
        """At another noise level the maps of the last one are added to those before."""
        if sigma == self.sigma:
            return
        for first, maps in self.now.items():
            even = maps / maps.mean((-2, -1), keepdim=True).clamp(min=1e-8)
            known = self.before.get(first)
            self.before[first] = even if known is None or known.shape != even.shape else torch.lerp(even, known, MEMORY)
        self.sigma, self.now = sigma, {}


@dataclass(frozen=True, eq=False)
class WordPlaces:
    """Observes how much of the text that a pixel reads is each phrase, for the methods of its key.

    It sees the attention that is really used, so what it finds does not depend on the order of the methods.
    """

    key: str
    phrases: tuple[Phrase, ...]
    label: str
    schedule: Schedule = Schedule()
    layers: Layers | None = None

    acts_in_joint_layers: ClassVar[bool] = True

    def fitted(self, network: Network, latent_grid: tuple[int, int]) -> WordPlaces:
        """The observer of one network: the layers that it says show where words are read."""
        return replace(self, layers=network.words(latent_grid[0] * latent_grid[1]))

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def observes(self, layer: LayerAddress) -> bool:
        return layer.reads("image", "text") and (self.layers is None or layer in self.layers)

    def probe(self, call: AttentionCall) -> torch.Tensor:
        """Marks of each phrase's tokens."""
        return call.scratch.once(("word places", self, call.keys, call.row_ids, call.q.device),
                                 lambda: marks(call, self.key, self.phrases))

    @torch.no_grad()  # no graph keeps what is only looked at
    def observe(self, call: AttentionCall, probe: torch.Tensor) -> None:
        found = call.scratch.of(self.key, PlacesFound)
        found.come_to(call.step.sigma)
        for span in spans_of(self.key, call.rows):
            known = found.now.get(span.first)
            if known is not None and (len(known), *known.shape[-2:]) != (span.count, *call.grid):
                known = None
            found.now[span.first] = pixel_maps(call, probe, slice(span.start, span.stop), known)


def marks(call: AttentionCall, key: str, phrases: Sequence[Phrase]) -> torch.Tensor:
    """Which keys are each phrase's in the rows of a method's prompt: [B, 1, Nk, S] of 0 and 1, float32 or better."""
    out = torch.zeros(call.q.shape[0], 1, call.k.shape[2], len(phrases))
    for span in spans_of(key, call.rows):
        assert span.tag is not None
        for row, image in enumerate(span.images, span.start):
            for text in call.keys.of("text"):
                for s, phrase in enumerate(phrases):
                    out[row, 0, list(columns(span.tag, image % len(span.tag.rows), phrase, text)), s] = 1.0
    return out.to(call.q.device, torch.promote_types(call.q.dtype, torch.float32))


def places_so_far(scratch: Scratch, key: str, sigma: float, span: RowSpan, grid: tuple[int, int],
                  ) -> torch.Tensor | None:
    """Maps [n, S, h, w] for a span's images: of the noise levels before ``sigma``, in the first of its layers so far.

    None where nothing was seen yet.
    """
    found = scratch.has(key, PlacesFound)
    if found is None:
        return None
    found.come_to(sigma)
    maps = found.before.get(span.first, found.now.get(span.first))
    return None if maps is None or len(maps) != span.count else resized(maps, grid)


def settled(scratch: Scratch, key: str) -> bool:
    """True where places stay the same for the rest of a noise level: those of an earlier one are known."""
    found = scratch.has(key, PlacesFound)
    return found is not None and bool(found.before)
