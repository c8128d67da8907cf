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


@pytest.mark.parametrize(("size", "grid"), [
    ((64, 64), (8, 8)), ((96, 160), (3, 5)), ((50, 70), (9, 12)), ((7, 5), (4, 4)), ((512, 512), (32, 24)),
    ((100, 30), (1, 1)), ((1, 1), (2, 2)), ((256, 256), (16, 16)),
])
def test_a_cell_belongs_where_half_of_it_is_covered(size: tuple[int, int], grid: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(sum(size))
    masks = torch.rand(2, 3, *size, generator=generator) > torch.tensor([0.5, 0.9, 0.999])[:, None, None]
    got = masks_on_grid(masks, grid)
    assert got.shape == (2, 3, grid[0] * grid[1]) and got.dtype == torch.bool
    for image in range(2):
        for region in range(3):
            assert got[image, region].tolist() == naive.mask_cells(masks[image, region], grid)


@pytest.mark.parametrize("grid", [(8, 8), (16, 16), (32, 32)])
def test_boxes_stay_where_they_were_drawn(grid: tuple[int, int]) -> None:
    """On average over boxes: the middle of the cells is the middle of the box, and their area its area."""
    generator = torch.Generator().manual_seed(1)
    away, areas = [], []
    for _ in range(300):
        side = torch.randint(70, 140, (2,), generator=generator)
        top, left = (int(torch.randint(0, 256 - int(length), (), generator=generator)) for length in side)
        mask = torch.zeros(1, 1, 256, 256, dtype=torch.bool)
        mask[..., top:top + int(side[0]), left:left + int(side[1])] = True
        cells = masks_on_grid(mask, grid)[0, 0].reshape(grid).nonzero().double() + 0.5
        middle = torch.tensor([top + side[0] / 2, left + side[1] / 2], dtype=torch.float64)
        away.append(cells.mean(0) * 256 / grid[0] - middle)
        areas.append(len(cells) * (256 / grid[0]) ** 2 / float(side.prod()))
    cell_px = 256 / grid[0]
    assert (torch.stack(away).mean(0).abs() < 0.05 * cell_px).all()
    assert torch.tensor(areas).mean().item() == pytest.approx(1.0, abs=0.12)


def test_a_mask_that_would_vanish_keeps_the_cell_that_holds_most_of_it() -> None:
    mask = torch.zeros(1, 2, 64, 64, dtype=torch.bool)
    mask[0, 0, 45:48, 9:14] = True  # a corner of two cells of a grid of 4 x 4
    small = masks_on_grid(mask, (4, 4))[0]
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
