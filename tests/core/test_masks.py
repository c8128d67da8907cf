"""Masks on the grids of layers."""

from __future__ import annotations

import naive_regions as naive
import pytest
import torch
from attention_director.core.masks import (
    covering_area,
    covering_strength,
    masks_on_grid,
    membership_patterns,
    with_background,
)


@pytest.mark.parametrize(("size", "latent", "grid"), [
    ((64, 64), (64, 64), (8, 8)), ((96, 160), (24, 40), (3, 5)), ((50, 70), (17, 23), (9, 12)),
    ((7, 5), (16, 16), (4, 4)), ((512, 512), (128, 96), (32, 24)), ((100, 30), (13, 4), (1, 1)),
    ((1, 1), (8, 8), (2, 2)),
])
def test_resized_as_the_paper_does_pixel_by_pixel(size: tuple[int, int], latent: tuple[int, int],
                                                  grid: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(sum(size))
    masks = torch.rand(2, 3, *size, generator=generator) > torch.tensor([0.5, 0.9, 0.999])[:, None, None]
    got = masks_on_grid(masks, latent, grid)
    assert got.shape == (2, 3, grid[0] * grid[1]) and got.dtype == torch.bool
    for image in range(2):
        for region in range(3):
            assert got[image, region].tolist() == naive.mask_cells(masks[image, region], latent, grid)


def test_a_mask_that_would_vanish_keeps_the_cell_that_holds_most_of_it() -> None:
    mask = torch.zeros(1, 2, 64, 64, dtype=torch.bool)
    mask[0, 0, 45:48, 9:14] = True  # between the samples of a nearest resize to 4 x 4
    small = masks_on_grid(mask, (16, 16), (4, 4))[0]
    assert small[0].nonzero().flatten().tolist() == [2 * 4 + 0]
    assert not small[1].any(), "an empty mask stays empty"


def test_background_is_what_no_region_covers() -> None:
    masks = torch.tensor([[[1, 0, 0, 1], [0, 0, 1, 1]]]).bool()
    full = with_background(masks)
    assert full.shape == (1, 3, 4) and full[0, 2].tolist() == [False, True, False, False]
    assert torch.equal(full[:, :2], masks)


def test_area_and_strength_of_overlaps() -> None:
    masks = torch.tensor([[1, 1, 0, 0, 0], [0, 1, 1, 1, 0]]).bool()
    area = [2 / 5, 2 / 5 + 3 / 5, 3 / 5, 3 / 5, 0.0]
    assert covering_area(masks).tolist() == pytest.approx(area, abs=1e-15)
    assert covering_strength(masks, torch.tensor([0.5, 2.0])).tolist() == [0.5, 2.0, 2.0, 2.0, 1.0]
    assert covering_strength(masks, torch.tensor([0.0, 0.0])).tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert covering_strength(masks, torch.tensor([0.5, 2.0]), uncovered=0.25).tolist() == [0.5, 2.0, 2.0, 2.0, 0.25]
    assert covering_strength(masks[:0], torch.tensor([])).tolist() == [1.0] * 5


def test_patterns_are_the_distinct_sets() -> None:
    members = torch.tensor([[1, 1, 0, 0, 1], [0, 1, 0, 1, 1]]).bool()
    patterns, which = membership_patterns(members)
    assert sorted(patterns.int().tolist()) == [[0, 1], [1, 0], [1, 1]]
    assert torch.equal((which @ patterns.float()).T.bool(), members)
    assert which.sum(1).tolist() == [1.0, 1.0, 0.0, 1.0, 1.0]
