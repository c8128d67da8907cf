"""Method: Prompt-to-Prompt, arXiv 2208.01626, local editing. Written from the paper; no code copied.

The area of the blend words, found by their cross-attention, takes the target's prediction; all else takes
the source's: D'_row = D_src + m (D_row - D_src). As the last step of every sampler ends at D', the final
background is exactly the source's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from .call import AttentionCall, RowSpan, Scratch
from .heat import resized
from .network import LayerAddress, Layers, Network
from .sequence import Axis
from .text import Phrase, TextLayout, split_occurrence


@dataclass(eq=False)
class BlendMaps:
    """What a run has gathered. total: the words' and the kept words' maps, summed, [I, 2, h, w]."""

    total: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class LocalBlend:
    """Where targets may differ from their source.

    words, keep: phrases whose area may, and must not, change. threshold: share of a map's peak above
    which a pixel belongs to it. start: progress from which predictions are blended; maps are gathered
    from the beginning. layers: those whose maps of the words count, None for all. floor: see ``map_side``.
    """

    words: tuple[Phrase, ...]
    keep: tuple[Phrase, ...]
    threshold: float
    start: float
    layers: Layers | None = None
    floor: int = 16

    def fitted(self, network: Network, latent_grid: tuple[int, int]) -> LocalBlend:
        """The blend for one network and size of latents."""
        return replace(self, layers=network.blend(map_side(latent_grid, self.floor)))

    def reads(self, layer: LayerAddress) -> bool:
        """True where the words' maps of this layer count."""
        return self.layers is None or layer in self.layers

    def words_as_values(self, call: AttentionCall) -> torch.Tensor:
        """Values [B, H, Nk, D] that are 1 at the blend words in channel 0, at the kept words in channel 1.

        Attention to them is the words' columns of the probabilities, summed.
        """
        cache_key = (id(self), call.row_ids, call.v.shape, call.v.device, call.v.dtype)
        return call.scratch.once(cache_key, lambda: self._make_values(call))

    def _make_values(self, call: AttentionCall) -> torch.Tensor:
        rows, heads, keys, width = call.v.shape
        values = torch.zeros(rows, 1, keys, width)
        values[..., :2] = self.marks(call.rows, call.keys, rows)
        return values.to(call.v.device, call.v.dtype).expand(rows, heads, keys, width)

    def marks(self, spans: Sequence[RowSpan], keys: Axis, rows: int) -> torch.Tensor:
        """[rows, 1, Nk, 2]: 1 at the blend words of these spans' rows, and at the kept words."""
        marks, (text,) = torch.zeros(rows, 1, keys.length, 2), keys.of("text")
        for span in spans:
            assert span.tag is not None
            for row, image in enumerate(span.images, span.start):
                number = image % len(span.tag.rows)
                for channel, phrases in enumerate((self.words, self.keep)):
                    own = [p for phrase in phrases for p in positions_of(phrase, span.tag.rows[number])]
                    places = [text.start + p for p in span.tag.spread(number, own, text.length)]
                    marks[row, 0, places, channel] = 1.0
        return marks

    def add(self, key: str, call: AttentionCall, images: Sequence[int], maps: torch.Tensor) -> None:
        """Add one layer's maps [n, 2, h, w] to the running sum of each of these images.

        The finest grid so far holds the sum: another pack may shrink a layer's for some steps (Deep Shrink).
        """
        state, own = call.scratch.of(key, BlendMaps), (maps.shape[-2], maps.shape[-1])
        if state.total is None:
            state.total = torch.zeros(0, 2, *own, device=maps.device)
        missing = max(images) + 1 - len(state.total)
        if missing > 0:
            state.total = torch.cat((state.total, state.total.new_zeros(missing, *state.total.shape[1:])))
        grid = max(own, (state.total.shape[-2], state.total.shape[-1]))
        state.total = resized(state.total, grid).index_add(0, call.index(tuple(images)), resized(maps.float(), grid))

    def area(self, key: str, scratch: Scratch, prompts: int) -> torch.Tensor | None:
        """``mask`` on the grid of the maps themselves."""
        maps = scratch.of(key, BlendMaps).total
        return None if maps is None else self.mask(key, scratch, (maps.shape[-2], maps.shape[-1]), prompts)

    def mask(self, key: str, scratch: Scratch, size: tuple[int, int], prompts: int) -> torch.Tensor | None:
        """Bool [B, h, w] from what was gathered so far, None before anything was."""
        maps = scratch.of(key, BlendMaps).total
        return None if maps is None else blend_mask(maps, size, prompts, self.threshold)


def positions_of(phrase: Phrase, layout: TextLayout) -> tuple[int, ...]:
    """Token positions of every occurrence of a phrase; of one occurrence where it asks for that (cat#2)."""
    found = layout.occurrences(phrase.layout, phrase.occurrence)
    numbered = phrase.text != split_occurrence(phrase.text)[0]
    chosen = found[phrase.occurrence - 1:phrase.occurrence] if numbered else found
    return tuple(p for positions in chosen for p in positions)


def map_side(latent_grid: tuple[int, int], floor: int) -> float:
    """Image tokens a side that the layers whose maps are read should have.

    Published: 16 x 16 for a latent of 64 x 64, the quarter; likewise 32 x 32 for one of 128 x 128. A small
    latent's quarter is too coarse to cut an object out, so it is at least ``floor``.
    """
    return max(math.sqrt(latent_grid[0] * latent_grid[1]) / 4, floor)


def blend_mask(maps: torch.Tensor, size: tuple[int, int], prompts: int, threshold: float) -> torch.Tensor:
    """The area that may change: the words' of the row or of its source, less the kept words' area.

    maps: [B, 2, h, w], blend words and kept words; rows in groups of ``prompts``, source first. Each map is
    divided by its peak; the blend words' is widened by a 3 x 3 maximum first. Returns bool [B, *size].
    """
    wide = F.max_pool2d(maps[:, :1], 3, stride=1, padding=1)
    both = F.interpolate(torch.cat((wide, maps[:, 1:]), 1), size=size, mode="nearest")
    peak = both.amax((2, 3), keepdim=True).clamp(min=torch.finfo(both.dtype).tiny)
    found = (both / peak > threshold).unflatten(0, (-1, prompts))
    found = (found | found[:, :1]).flatten(0, 1)
    return found[:, 0] & ~found[:, 1]


def blended(denoised: torch.Tensor, mask: torch.Tensor, prompts: int) -> torch.Tensor:
    """D_row inside the mask, D of its source outside. denoised: [B, C, h, w]; mask: bool [B, h, w]."""
    sources = denoised.unflatten(0, (-1, prompts))[:, :1].expand(-1, prompts, *denoised.shape[1:]).flatten(0, 1)
    return torch.where(mask[:, None], denoised, sources)


def without_words(blend: LocalBlend, rows: Sequence[TextLayout]) -> tuple[int, ...]:
    """Numbers of the prompts in which none of the blend words occurs."""
    return tuple(n for n, row in enumerate(rows) if not any(positions_of(word, row) for word in blend.words))
