"""Otsu, masks from maps, dropout, and the columns that a phrase's tokens take."""

from __future__ import annotations

import naive_subjects as naive
import pytest
import torch
from attention_director.core.call import AttentionCall, LowRankBias, RowSpan, Scratch, Step
from attention_director.core.heat import pixel_maps
from attention_director.core.network import LayerAddress
from attention_director.core.subject_masks import (
    dropped,
    grown,
    masks_from_maps,
    otsu_threshold,
    subject_probe,
)
from axes import axes


@pytest.mark.parametrize("seed", range(6))
def test_otsu_is_the_papers_by_hand(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    values = torch.rand(2, 3, 90, generator=draw, dtype=torch.float64) ** (1 + seed)
    values[..., 60:] += 1.5 * (seed % 3)
    found = otsu_threshold(values)
    for i in range(2):
        for s in range(3):
            assert float(found[i, s]) == pytest.approx(naive.otsu(values[i, s].tolist()), abs=1e-10)


def test_otsu_parts_two_heaps() -> None:
    values = torch.cat([torch.linspace(0, 0.2, 40), torch.linspace(0.8, 1.0, 10)])
    assert int((values > otsu_threshold(values)).sum()) == 10


def test_a_flat_map_gives_an_empty_mask() -> None:
    maps = torch.full((2, 1, 8, 8), 0.3)
    maps[1, 0, 2:4, 2:5] = 0.6
    masks = masks_from_maps(maps, (8, 8))
    assert not masks[0].any() and masks[1].sum() == 6
    assert masks_from_maps(maps, (16, 12)).shape == (2, 1, 192)


def test_subjects_apart_do_not_overlap() -> None:
    ramp = torch.linspace(0, 1, 8).expand(8, 8)
    maps = torch.stack([ramp, 0.5 * ramp.T])[None].double()
    together, apart = masks_from_maps(maps, (8, 8)), masks_from_maps(maps, (8, 8), apart=True)
    assert together.all(1).any() and not apart.all(1).any()
    assert torch.equal(apart.any(1), together.any(1)), "no pixel is lost"
    first, second = apart[0].unflatten(-1, (8, 8))
    assert first[0, 7] and second[7, 0], "a map's own scale decides, not its height"


def test_dropout_is_one_draw_for_all_subjects_of_an_image() -> None:
    masks = torch.ones(3, 2, 4096, dtype=torch.bool)
    half = dropped(masks, 0.5, 7)
    assert abs(float(half.float().mean()) - 0.5) < 0.02
    assert torch.equal(half[:, 0], half[:, 1]) and not torch.equal(half[0], half[1])
    assert torch.equal(half, dropped(masks, 0.5, 7)) and not torch.equal(half, dropped(masks, 0.5, 8))
    before = torch.get_rng_state()
    dropped(masks, 0.5, 7)
    assert torch.equal(before, torch.get_rng_state()), "the global generator is nobody's to move"
    assert dropped(masks, 0.0, 7) is masks


@pytest.mark.parametrize("biased", [False, True])
def test_maps_average_a_phrase_over_all_its_copies(biased: bool) -> None:
    torch.manual_seed(3)
    q, k = torch.randn(5, 2, 12, 8).double(), torch.randn(5, 2, 10, 8).double()
    bias = LowRankBias(torch.randn(5, 2, 12, 2).double(), torch.randn(1, 1, 10, 2).double()) if biased else None
    span = RowSpan(1, 4, None)
    call = AttentionCall(q, k, k, LayerAddress("input", 1, 0, "cross"), *axes("cross", (3, 4), 10), (3, 4), (span,),
                         Step(1.0, 0.5), Scratch(), bias)
    tokens = [[(1, 2, 6, 7), (3, 8)], [(2, 7), (4, 9)], [(1, 6), ()]]  # copies of the prompt begin at 0 and 5
    probe = torch.cat((torch.zeros(1, 1, 10, 2), subject_probe(tokens, 10), torch.zeros(1, 1, 10, 2))).double()
    found = pixel_maps(call, probe, slice(span.start, span.stop))
    scores = q @ k.transpose(-1, -2) * 8 ** -0.5
    if bias is not None:
        scores = scores + bias.left @ bias.right.transpose(-1, -2)
    probabilities = scores.softmax(-1).mean(1)
    for image in range(3):
        for s, positions in enumerate(tokens[image]):
            wanted = torch.zeros(12, dtype=torch.float64)
            for p in positions:
                wanted += probabilities[1 + image, :, p] / len(positions)
            torch.testing.assert_close(found[image, s].flatten(), wanted, rtol=0, atol=1e-10)


def test_masks_grow_by_one_cell() -> None:
    masks = torch.zeros(2, 4, 5, dtype=torch.bool)
    masks[0, 1, 1] = True
    found = grown(masks.flatten(1), (4, 5)).unflatten(-1, (4, 5))
    wanted = torch.zeros(4, 5, dtype=torch.bool)
    wanted[0:3, 0:3] = True
    assert torch.equal(found[0], wanted) and not found[1].any()
