"""Drawings brought to one width: what a person would call the same drawing stays the same."""

from __future__ import annotations

import pytest
import torch
from attention_director.core.lines import areas_of, as_lines, eroded, thickened, thinned


def circle(size: int = 96, radius: float = 28.0, width: float = 1.5, filled: bool = False) -> torch.Tensor:
    axis = torch.arange(size) + 0.5 - size / 2
    distance = (axis[:, None] ** 2 + axis[None] ** 2).sqrt()
    return ((distance < radius) if filled else ((distance - radius).abs() < width / 2))[None]


def distance_to(mask: torch.Tensor, other: torch.Tensor) -> float:
    """The farthest that a pixel of one lies from the nearest of the other."""
    return float(torch.cdist(mask[0].nonzero().double(), other[0].nonzero().double()).min(1).values.max())


@pytest.mark.parametrize("width", [1.5, 3.0, 6.0])
def test_a_stroke_of_any_width_is_the_same_line(width: float) -> None:
    lines, fine = as_lines(circle(width=width)), thinned(circle(width=1.5))
    assert distance_to(lines, fine) <= 1.5 and distance_to(fine, lines) <= 1.5
    assert int(eroded(lines, 1).sum()) == 0, "one pixel wide"


def test_a_filled_shape_is_its_outline() -> None:
    lines, fine = as_lines(circle(filled=True)), thinned(circle(width=1.5))
    assert distance_to(lines, fine) <= 2 and distance_to(fine, lines) <= 2


def test_strokes_are_no_areas_and_discs_are() -> None:
    assert not areas_of(circle(width=2)).any()
    disc = circle(filled=True)
    assert not (areas_of(disc) & ~disc).any() and areas_of(disc).sum() > 0.95 * disc.sum()


def test_thinning_does_not_break_a_line_and_a_thin_one_stays() -> None:
    cross = torch.zeros(1, 40, 40, dtype=torch.bool)
    cross[0, 18:22, 4:36] = True
    cross[0, 4:36, 18:22] = True
    lines = thinned(cross)
    assert 2 * 26 <= int(lines.sum()) <= 2 * 34
    neighbours = torch.nn.functional.max_pool2d(lines[None].float(), 3, 1, 1)[0] > 0
    seen = lines & False
    seen.view(-1)[int(lines.flatten().nonzero()[0])] = True
    for _ in range(200):
        seen = (torch.nn.functional.max_pool2d(seen[None].float(), 3, 1, 1)[0] > 0) & lines
    assert torch.equal(seen, lines) and neighbours.any()
    assert torch.equal(thinned(lines), lines)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_pen_has_the_width_it_says(width: int) -> None:
    line = torch.zeros(1, 9, 9, dtype=torch.bool)
    line[0, :, 4] = True
    thick = thickened(line, width)
    assert thick[0].sum(1).tolist() == [width] * 9 and bool(thick[0, :, 4].all())


def test_nothing_stays_nothing() -> None:
    empty = torch.zeros(2, 16, 16, dtype=torch.bool)
    assert torch.equal(as_lines(empty), empty)
