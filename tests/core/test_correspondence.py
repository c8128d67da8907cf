"""Nearest patches, the gate, and injection that does not depend on the order of images."""

from __future__ import annotations

import naive_subjects as naive
import pytest
import torch
from attention_director.core import correspondence
from attention_director.core.correspondence import Link, inject, link, match_features, nearest_patches


def test_features_are_smoothed_and_of_unit_length() -> None:
    torch.manual_seed(1)
    features = torch.randn(2, 3, 5, 4).double()
    found = match_features(features)
    assert found.shape == (2, 20, 3)
    for image in range(2):
        wanted = naive.smooth(features[image]).flatten(1).T
        torch.testing.assert_close(found[image], wanted / wanted.norm(dim=-1, keepdim=True), rtol=0, atol=1e-10)


@pytest.mark.parametrize("at_once", [1, 40, 10_000])
def test_nearest_patches_by_hand(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(correspondence, "_DISTANCES_AT_ONCE", at_once)
    torch.manual_seed(2)
    target = torch.nn.functional.normalize(torch.randn(12, 6).double(), dim=-1)
    pool = torch.nn.functional.normalize(torch.randn(15, 6).double(), dim=-1)
    valid = torch.rand(15) < 0.5
    index, distance = nearest_patches(target, pool, valid)
    for p, (best, far) in enumerate(naive.nearest(target, pool, valid.tolist())):
        assert int(index[p]) == best and float(distance[p]) == pytest.approx(far, abs=1e-10)
    assert torch.equal(nearest_patches(target, pool, torch.zeros(15, dtype=torch.bool))[1],
                       torch.full((12,), 2.0, dtype=torch.float64))


def test_the_gate_opens_where_the_match_is_good_and_the_subject_is() -> None:
    torch.manual_seed(3)
    pool = torch.nn.functional.normalize(torch.randn(10, 32).double(), dim=-1)
    target = torch.nn.functional.normalize(torch.randn(12, 32).double(), dim=-1)
    target[:5] = pool[[3, 1, 4, 1, 5]]
    own = torch.ones(1, 12, dtype=torch.bool)
    own[0, 0] = False
    taken = link(target, pool, torch.ones(1, 10, dtype=torch.bool), own)
    assert taken.gate.tolist() == [False] + [True] * 4 + [False] * 7
    assert taken.index[1:5].tolist() == [1, 4, 1, 5]
    nothing = link(target, pool, torch.zeros(1, 10, dtype=torch.bool), own)
    assert not nothing.gate.any(), "a source without a subject gives nothing"


def test_subjects_take_from_their_own() -> None:
    pool = torch.eye(6).double()
    target = pool[[0, 1, 2, 3, 4, 5, 0, 3]]
    valid = torch.tensor([[True] * 3 + [False] * 3, [False] * 3 + [True] * 3])
    own = torch.tensor([[True, False, True, True, False, False, False, False],
                        [False, True, False, False, True, True, False, False]])
    taken = link(target, pool, valid, own)
    assert taken.gate.tolist() == [True, False, True, False, True, True, False, False]
    assert taken.index[[0, 2, 4, 5]].tolist() == [0, 2, 4, 5]


def test_injection_mixes_what_the_gate_lets_in() -> None:
    torch.manual_seed(4)
    x, pool = torch.randn(6, 3).double(), torch.randn(8, 3).double()
    taken = Link(torch.tensor([7, 0, 1, 2, 3, 4]), torch.tensor([True, False, True, False, True, False]))
    found = inject(x, pool, taken, 0.8)
    for p in range(6):
        wanted = 0.2 * x[p] + 0.8 * pool[taken.index[p]] if taken.gate[p] else x[p]
        torch.testing.assert_close(found[p], wanted, rtol=0, atol=1e-12)
    assert torch.equal(inject(x, pool, taken, 0.0), x)
