"""The fused region rule is DenseDiffusion's rule: compared with a naive reference at 1e-10."""

from __future__ import annotations

from dataclasses import replace

import naive_regions as naive
import pytest
import torch
from attention_director.core.call import RowSpan
from attention_director.core.regions import RegionRule
from attention_director.core.schedule import Schedule
from region_cases import PAPER, boxes, expected, innermost, layout, make_call, method, run, tag

EXACT = 1e-10
PROMPT = "a red hat and a blue dog on the grass"
PHRASES = ["red hat", "blue dog"]
DISJOINT = boxes(24, 24, (0, 0, 12, 10), (9, 12, 24, 24))
OVERLAPPING = boxes(24, 24, (0, 0, 17, 15), (7, 5, 24, 24))
COVERING = boxes(24, 24, (0, 0, 24, 12), (0, 12, 24, 24))
RULES = {
    "paper": PAPER,
    "background": RegionRule(everywhere=False),
    "everywhere": RegionRule(background=False),
    "both": RegionRule(),
    "no size": replace(PAPER, size_adaptation=0.0, cross_strength=0.7, self_strength=1.3),
}


def one_row(text: str = PROMPT) -> tuple[RowSpan, ...]:
    return (RowSpan(0, 1, tag(text)),)


def assert_exact(kind: str, masks: torch.Tensor, rule: RegionRule, phrases: list[str] = PHRASES, prompt: str = PROMPT,
                 strengths: tuple[float, ...] | None = None, **call_options) -> None:
    call = make_call(kind, call_options.pop("grid", (12, 12)), one_row(prompt), **call_options)
    made = method(phrases, masks, strengths, rule)
    got = run(call, made)
    torch.testing.assert_close(got[0], expected(call, made, 0, layout(prompt)), rtol=0, atol=EXACT)
    assert (got - innermost(call)).abs().max() > 1e-3, "the rule must do something here"


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("masks", [DISJOINT, OVERLAPPING, COVERING], ids=["disjoint", "overlapping", "covering"])
def test_equals_the_paper(kind: str, rule: RegionRule, masks: torch.Tensor) -> None:
    assert_exact(kind, masks, rule)


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("width", [8, 40, 64, 80, 160])
def test_every_head_width(kind: str, width: int) -> None:
    assert_exact(kind, OVERLAPPING, RegionRule(), width=width, heads=3, grid=(6, 6), latent=(12, 12))


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize(("grid", "latent"), [
    ((5, 9), (10, 18)), ((12, 4), (24, 8)), ((3, 7), (11, 27)), ((1, 6), (1, 6)),
])
def test_grids_that_are_not_square(kind: str, grid: tuple[int, int], latent: tuple[int, int]) -> None:
    assert_exact(kind, OVERLAPPING, RegionRule(), grid=grid, latent=latent)
    assert_exact(kind, boxes(30, 52, (0, 0, 17, 15), (7, 5, 24, 50)), PAPER, grid=grid, latent=latent)


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_masks_that_are_empty_or_tiny(kind: str) -> None:
    tiny = boxes(64, 64, (33, 49, 34, 50), (0, 0, 40, 40))
    assert_exact(kind, tiny, RegionRule(), grid=(4, 4), latent=(16, 16))
    assert_exact(kind, tiny, PAPER, grid=(4, 4), latent=(16, 16))
    empty = boxes(64, 64, (0, 0, 0, 0), (0, 0, 40, 40))
    assert_exact(kind, empty, RegionRule(), grid=(8, 8))
    assert_exact(kind, torch.zeros(2, 8, 8, dtype=torch.bool), PAPER, grid=(8, 8))


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("strengths", [(0.0, 1.0), (0.35, 1.7), (2.0, 0.1), (0.7, 0.7)])
def test_strength_of_the_query_pixel_holds_for_all_its_keys(kind: str, strengths: tuple[float, float]) -> None:
    assert_exact(kind, OVERLAPPING, RegionRule(), strengths=strengths)
    assert_exact(kind, DISJOINT, PAPER, strengths=strengths)


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_pixels_of_no_region_have_a_strength_of_their_own(kind: str) -> None:
    call = make_call(kind, (8, 8), one_row())
    made = replace(method(PHRASES, DISJOINT, (0.0, 0.0), RegionRule()), uncovered=0.0)
    torch.testing.assert_close(run(call, made), innermost(call), rtol=0, atol=EXACT)
    only = replace(made, uncovered=0.5)
    covered = torch.tensor([bool(s) for s in naive.pixel_sets(DISJOINT, (8, 8), False)])
    change = (run(call, only) - innermost(call)).abs().amax((0, 1, 3))
    assert change[covered].max() < EXACT < 1e-4 < change[~covered].min()


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_amount_is_held_between_nothing_and_all(kind: str) -> None:
    over = RegionRule(cross_strength=2.0, self_strength=2.0, size_adaptation=0.0)
    assert_exact(kind, OVERLAPPING, over, strengths=(2.0, 2.0))
    everything = torch.ones(3, 8, 8, dtype=torch.bool)  # S_i is 3: the size factor falls below nothing
    call = make_call(kind, (8, 8), one_row())
    made = method(["red hat", "blue dog", "grass"], everything, rule=PAPER)
    torch.testing.assert_close(run(call, made), innermost(call), rtol=0, atol=EXACT)
    torch.testing.assert_close(expected(call, made, 0, layout(PROMPT)), innermost(call)[0], rtol=0, atol=EXACT)


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_twenty_regions(kind: str) -> None:
    words = [f"thing{n}" for n in range(20)]
    generator = torch.Generator().manual_seed(4)
    corners = torch.randint(0, 16, (20, 2), generator=generator).tolist()
    masks = boxes(24, 24, *[(y, x, y + 8, x + 8) for y, x in corners])
    strengths = tuple(torch.rand(20, generator=generator).tolist())
    assert_exact(kind, masks, RegionRule(), words, " ".join(words), strengths, width=64)


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("progress", [0.019, 0.18, 0.3])
def test_falls_with_the_noise(kind: str, progress: float) -> None:
    call = make_call(kind, (8, 8), one_row(), progress=progress)
    made = method(PHRASES, OVERLAPPING, schedule=Schedule(0.0, 0.3 + 1e-9, 5.0))
    torch.testing.assert_close(run(call, made)[0], expected(call, made, 0, layout(PROMPT)), rtol=0, atol=EXACT)


def test_a_phrase_of_several_places_binds_the_one_asked_for() -> None:
    text = "a cat and a cat"
    call = make_call("cross", (8, 8), one_row(text))
    first = method(["cat"], DISJOINT[:1])
    second = replace(first, phrases=(replace(first.phrases[0], occurrence=2),))
    assert first.token_members(tag(text), 0, 77)[0].nonzero().tolist() == [[2]]
    assert second.token_members(tag(text), 0, 77)[0].nonzero().tolist() == [[5]]
    torch.testing.assert_close(run(call, second)[0], expected(call, second, 0, layout(text)), rtol=0, atol=EXACT)
    assert (run(call, second) - run(call, first)).abs().max() > 1e-3


def test_a_region_of_shape_only_binds_no_word() -> None:
    """An empty phrase shapes self-attention; in cross-attention its pixels have no token of their own."""
    for kind in ("self", "cross"):
        assert_exact(kind, DISJOINT, PAPER, phrases=["red hat", ""])
        assert_exact(kind, DISJOINT, RegionRule(), phrases=["", ""])
