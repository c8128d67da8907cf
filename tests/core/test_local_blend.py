"""The local blend's area and what it does with a prediction, against the paper's steps written naively."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from attention_director.core.call import RowSpan
from attention_director.core.local_blend import (
    BlendMaps,
    LocalBlend,
    blend_mask,
    blended,
    map_side,
    positions_of,
    without_words,
)
from attention_director.core.method import Chain
from attention_director.core.network import LayerAddress
from attention_director.core.text import Phrase
from edit_cases import KEY, edit, edited_map, layout, method, probabilities, tag
from region_cases import innermost, make_call

LAYER = LayerAddress("input", 1, 0, "cross")
TEXTS = ("a red cat eats", "a red big dog eats")


def phrase(text: str, occurrence: int = 1) -> Phrase:
    return Phrase(text, layout(text.partition("#")[0]), occurrence)


def blend(words: str = "cat dog", keep: str = "", **more) -> LocalBlend:
    options = {"threshold": 0.3, "start": 0.0, "floor": 4} | more
    return LocalBlend(tuple(map(phrase, words.split())), tuple(map(phrase, keep.split())), **options)


def naive_mask(maps: torch.Tensor, size: tuple[int, int], threshold: float) -> torch.Tensor:
    """One group, source first: [P, 2, h, w]."""
    def area(one: torch.Tensor, pool: bool) -> torch.Tensor:
        one = F.max_pool2d(one[None, None], 3, 1, 1)[0, 0] if pool else one
        one = F.interpolate(one[None, None], size=size, mode="nearest")[0, 0]
        return one / one.max() > threshold

    words, kept = [area(m[0], True) for m in maps], [area(m[1], False) for m in maps]
    return torch.stack([(words[0] | w) & ~(kept[0] | k) for w, k in zip(words, kept, strict=True)])


@pytest.mark.parametrize("threshold", [0.3, 0.8])
def test_the_area_is_the_papers(threshold: float) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(6, 2, 5, 7, generator=generator) ** 4
    got = blend_mask(maps, (20, 28), 3, threshold)
    assert torch.equal(got[:3], naive_mask(maps[:3], (20, 28), threshold))
    assert torch.equal(got[3:], naive_mask(maps[3:], (20, 28), threshold))
    assert 0 < got.float().mean() < 1


def test_words_that_no_pixel_reads_give_no_area() -> None:
    """Also where re-weighting has turned a map negative: its largest value must not count as a peak."""
    for nothing in (torch.zeros(2, 2, 4, 4), -torch.rand(2, 2, 4, 4)):
        assert not blend_mask(nothing, (4, 4), 2, 0.3).any()


def test_a_prediction_is_the_sources_outside_the_area() -> None:
    denoised = torch.randn(4, 3, 5, 5)
    mask = torch.rand(4, 5, 5) > 0.5
    out = blended(denoised, mask, 2)
    for row, source in ((0, 0), (1, 0), (2, 2), (3, 2)):
        inside = mask[row].expand(3, -1, -1)
        assert torch.equal(out[row][inside], denoised[row][inside])
        assert torch.equal(out[row][~inside], denoised[source][~inside])
    assert torch.equal(out[::2], denoised[::2])


@pytest.mark.parametrize("progress", [0.1, 0.9])
def test_gathers_the_edited_maps(progress: float) -> None:
    """Running sum over calls of the words' columns of A_final, mean over heads; inside and outside the window."""
    ours = tag(*TEXTS)
    call = make_call("cross", (4, 4), (RowSpan(0, 1, None), RowSpan(1, 3, ours)), latent=(16, 16), progress=progress)
    planned = edit(*TEXTS, "refine", {4: 2.0})
    look = blend(keep="eats")
    made = replace(method(planned, blend=look), cross_window=type(method(planned).cross_window)(0.0, 0.5))
    for _ in range(2):
        Chain().append(made).attend(call, innermost)
    source, target = (probabilities(call.q[r], call.k[r]) for r in (1, 2))
    gate = torch.full((77,), float(progress < 0.5), dtype=torch.float64)
    final = edited_map(source, target, planned.map, planned.factors, gate)
    wanted = torch.stack([torch.stack((source[..., 3], source[..., 4])).mean(1),
                          torch.stack((final[..., 4], final[..., 5])).mean(1)]).unflatten(2, (4, 4))
    got = call.scratch.of(KEY, BlendMaps).total
    torch.testing.assert_close(got.double(), 2 * wanted, rtol=0, atol=1e-6)
    mask = look.mask(KEY, call.scratch, (16, 16), 2)
    assert mask is not None and torch.equal(mask, naive_mask(got, (16, 16), 0.3))


class Asked:
    """A network that says which grid it was asked for."""

    def blend(self, side: float) -> frozenset:
        self.side = side
        return frozenset({LAYER})


def test_reads_only_the_layers_of_the_network() -> None:
    """Published: 16 x 16 of a latent of 64, 32 x 32 of one of 128. Of small latents finer maps are read."""
    other = LayerAddress("input", 0, 0, "cross")
    for latent, side in (((64, 64), 16), ((128, 128), 32), ((48, 48), 16), ((16, 16), 16)):
        network = Asked()
        made = blend(floor=16).fitted(network, latent)
        assert network.side == side == map_side(latent, 16)
        assert made.reads(LAYER) and not made.reads(other) and blend().reads(other)


def test_maps_of_a_shrunken_grid_count_on_the_finest() -> None:
    """Deep Shrink halves the grids for the first steps of a run."""
    rows = (RowSpan(0, 2, tag(*TEXTS)),)
    look, scratch = blend(), make_call("cross", (4, 4), rows).scratch
    for grid, value in (((2, 2), 1.0), ((4, 4), 2.0), ((2, 2), 4.0)):
        call = replace(make_call("cross", grid, rows, latent=(16, 16)), scratch=scratch)
        look.add(KEY, call, (0, 1), torch.full((2, 2, *grid), value))
    total = scratch.of(KEY, BlendMaps).total
    assert total is not None and total.shape == (2, 2, 4, 4)
    torch.testing.assert_close(total, torch.full_like(total, 7.0))


def test_words_of_a_row() -> None:
    row = layout("a cat and a bi+cycle and a cat")
    assert positions_of(phrase("cat"), row) == (2, 9)
    assert positions_of(phrase("cat#2", 2), row) == (9,)
    assert positions_of(phrase("dog"), row) == ()
    assert positions_of(Phrase("bicycle", layout("bi+cycle")), row) == (5, 6)
    assert without_words(blend("dog"), [layout("a cat"), layout("a dog")]) == (0,)
