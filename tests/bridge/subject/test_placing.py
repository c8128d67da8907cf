"""Where shared keys belong, and who reads them, from the masks of one noise level."""

from __future__ import annotations

import pytest
import torch
from attention_director.bridge.subject.levels import LevelMasks
from attention_director.bridge.subject.placing import Matches, Placing

GRID = (6, 8)


def level() -> LevelMasks:
    """Two subjects in two pictures: a square that moves and grows, and a bar beside it."""
    masks = torch.zeros(2, 2, *GRID, dtype=torch.bool)
    masks[0, 0, 0:2, 0:2], masks[1, 0, 2:6, 3:7] = True, True
    masks[0, 1, 0:2, 2], masks[1, 1, 2:6, 7] = True, True
    flat = masks.flatten(2)
    return LevelMasks(flat, [flat[a].any(0).nonzero().flatten() for a in range(2)], frozenset())


def test_a_key_belongs_where_its_subjects_box_is() -> None:
    placing = Placing(level(), GRID, True)
    keys = placing.anchored([0])
    assert keys.subjects.tolist() == [0, 0, 1, 0, 0, 1] and keys.patches.tolist() == [0, 1, 2, 8, 9, 10]
    (there,) = placing.places(keys, [1])
    assert there.tolist() == [[2.5, 3.5], [2.5, 5.5], [2.5, 7.0], [4.5, 3.5], [4.5, 5.5], [4.5, 7.0]]
    (together,) = Placing(level(), GRID, False).places(Placing(level(), GRID, False).anchored([0]), [1])
    assert together[0].tolist() == [2.5, pytest.approx(5 + (0 - 1) * 5 / 3)]


def test_what_is_matched_goes_to_its_match() -> None:
    count = GRID[0] * GRID[1]
    index, gate = torch.zeros(2, 2 * count, dtype=torch.long), torch.zeros(2, 2 * count, dtype=torch.bool)
    index[1, 9], gate[1, 9] = 5 * 8 + 6, True
    matches = Matches(index, gate)
    keys = Placing(level(), GRID, True).anchored([0])
    found = {placed: Placing(level(), GRID, True, placed, matches).places(keys, [1])[0].tolist()
             for placed in ("matches", "boxes", "own")}
    assert found["matches"][4] == [5.0, 6.0] and found["matches"][0] == found["boxes"][0] == [2.5, 3.5]
    assert found["boxes"][4] == [4.5, 5.5] and found["own"] == keys.cells.tolist()


def test_a_rim_reads_too_but_no_other_subjects_keys() -> None:
    placing = Placing(level(), GRID, True)
    here = placing.here([0])[0].T.unflatten(-1, GRID)
    assert here[0, 2, :3].all() and not here[0, 3].any() and not here[0, :2, 2].any(), "the bar's own pixels"
    assert here[1, :3, 3].all() and not here[1, :2, 1].any()
    readers = placing.readers([0, 1])
    assert (readers.least, readers.most) == (12, 30) and torch.equal(readers.inside[0], here.any(0).flatten())


def test_a_key_stands_for_more_pixels_where_its_subject_is_larger() -> None:
    """4 cells of a square and 2 of a bar: there 16 and 4, which is less than four times as many together."""
    placing = Placing(level(), GRID, True)
    mean_there, mean_own = (4 * 16 + 2 * 4) / 6, (4 * 4 + 2 * 2) / 6
    assert placing.gains(placing.anchored([0]), [0, 1]).tolist() == [1.0, pytest.approx(mean_there / mean_own)]
    assert placing.gains(placing.anchored([1]), [0]).tolist() == [1.0], "a smaller one reads no less"
    together = Placing(level(), GRID, False)
    assert together.gains(together.anchored([0]), [1]).tolist() == [pytest.approx(20 / 6)]
