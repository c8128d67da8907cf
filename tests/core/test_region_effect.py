"""What a region does to attention, whatever the numbers: mass moves to its own words and pixels."""

from __future__ import annotations

from dataclasses import replace

import naive_regions as naive
import pytest
import torch
from attention_director.core.call import AttentionCall, RowSpan
from attention_director.core.network import LayerAddress
from attention_director.core.regions import RegionRule, share_tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from region_cases import PAPER, boxes, innermost, layout, make_call, method, phrase, run, tag

TEXT = "a red hat and a dog"
MASKS = boxes(16, 16, (0, 0, 9, 8), (5, 6, 16, 16))
STRONG = RegionRule(size_adaptation=0.0, flatten=0.0, margin=4.0, padding=True)


def mass(call: AttentionCall, key_columns: list[int], *methods) -> torch.Tensor:
    """Attention that each query gives to some keys: [H, Nq], by making v an indicator of them."""
    v = torch.zeros_like(call.v)
    v[:, :, key_columns] = 1.0
    return run(replace(call, v=v), *methods)[0, :, :, 0]


def pixels_of(region: int) -> torch.Tensor:
    return torch.tensor(naive.mask_cells(MASKS[region], (8, 8)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), rule=st.sampled_from([PAPER, RegionRule(), STRONG]))
def test_a_stronger_region_gathers_more_of_its_pixels_attention(seed: int, rule: RegionRule) -> None:
    """On pixels of one region alone, in every row: the keys that share a region with it never lose.

    With the paper's rule these are the region's own words; "everywhere" adds the prompt's other words.
    """
    inside = pixels_of(0) & ~pixels_of(1)
    for kind in ("cross", "self"):
        call = make_call(kind, (8, 8), (RowSpan(0, 1, tag(TEXT)),), seed=seed, width=16, heads=1)
        own = pixels_of(0).nonzero().flatten().tolist()
        if kind == "cross":
            members = method(["red hat", "dog"], MASKS, rule=rule).token_members(tag(TEXT), 0, 77)
            shared = members[0] | members[-1] if rule.everywhere else members[0]
            own = shared.nonzero().flatten().tolist()
            assert {2, 3} <= set(own) and 6 not in own and (own == [2, 3] or rule is not PAPER)
        steps = [mass(call, own, method(["red hat", "dog"], MASKS, (strength, 1.0), rule))[:, inside]
                 for strength in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)]
        for weaker, stronger in zip(steps, steps[1:], strict=False):
            assert (stronger - weaker).min() > -1e-12
        assert (steps[-1] - steps[0]).mean() > 1e-3


@pytest.mark.parametrize("kind", ["cross", "self"])
@pytest.mark.parametrize("flatten", [0.0, 0.4, 1.0])
def test_the_general_rule_as_a_dense_bias(kind: str, flatten: float) -> None:
    """s' = (1 - flatten a) s + a (range + margin) R."""
    rule = replace(PAPER, flatten=flatten, margin=2.5, size_adaptation=0.5)
    call = make_call(kind, (6, 6), (RowSpan(0, 1, tag(TEXT)),), latent=(12, 12))
    made = method(["red hat", "dog"], MASKS, (0.8, 0.4), rule)
    queries = naive.pixel_sets(MASKS, (6, 6), False)
    keys = queries if kind == "self" else naive.token_sets(77, [(2, 3), (6,)], (), False)
    r = naive.shares_region(queries, keys)
    weight = rule.cross_strength if kind == "cross" else rule.self_strength
    a = torch.tensor(naive.amounts(queries, weight, 0.5, (0.8, 0.4)), dtype=torch.float64)[:, None]
    scores = call.q[0] @ call.k[0].transpose(-1, -2) / call.q.shape[-1] ** 0.5
    reach = scores.amax(-1, True) - scores.amin(-1, True)
    truth = torch.softmax((1 - flatten * a) * scores + a * (reach + 2.5) * r, -1) @ call.v[0]
    torch.testing.assert_close(run(call, made)[0], truth, rtol=0, atol=1e-10)


@pytest.mark.parametrize("background", [True, False])
def test_words_that_act_everywhere_have_the_margin_behind_the_regions_only(background: bool) -> None:
    """s' = s + a (range R + margin F), where F holds "everywhere" only at pixels of no region."""
    rule = RegionRule(margin=2.5, flatten=0.0, size_adaptation=0.0, background=background)
    call = make_call("cross", (6, 6), (RowSpan(0, 1, tag(TEXT)),), latent=(12, 12))
    made = method(["red hat", "dog"], MASKS, (0.8, 0.4), rule)
    queries = naive.pixel_sets(MASKS, (6, 6), background)
    keys = naive.token_sets(77, [(2, 3), (6,)], layout(TEXT).own(), True)
    a = torch.tensor(naive.amounts(queries, 1.0, 0.0, (0.8, 0.4)), dtype=torch.float64)[:, None]
    everywhere = {naive.EVERYWHERE}
    r = naive.shares_region([regions | everywhere for regions in queries], keys)
    foremost = naive.shares_region(
        [regions if regions - {naive.BACKGROUND} else regions | everywhere for regions in queries], keys)
    assert (foremost < r).any() and (foremost != naive.shares_region(queries, keys)).any()
    scores = call.q[0] @ call.k[0].transpose(-1, -2) / call.q.shape[-1] ** 0.5
    reach = scores.amax(-1, True) - scores.amin(-1, True)
    truth = torch.softmax(scores + a * (reach * r + 2.5 * foremost), -1) @ call.v[0]
    torch.testing.assert_close(run(call, made)[0], truth, rtol=0, atol=1e-10)


def test_words_are_dealt_out_to_their_regions_and_the_rest() -> None:
    shares = share_tokens(tag(TEXT), 0, [phrase("red hat"), phrase(""), phrase("dog")])
    assert shares.words == ((2, 3), (), (6,)) and shares.rest == (1, 4, 5)
    assert shares.padding == (0, *range(7, 77))
    nobody = share_tokens(tag(TEXT), 0, [phrase("")])
    assert nobody.words == ((),) and nobody.rest == tuple(range(1, 7))


def test_every_token_belongs_to_one_region() -> None:
    members = method(["red hat", "dog"], MASKS, rule=STRONG).token_members(tag(TEXT), 0, 77)
    assert members.shape == (4, 77)  # two regions, the background, the words of no region
    assert members.sum(0).eq(1).all()
    assert [row.nonzero().flatten().tolist() for row in members] == [[2, 3], [6], [0, *range(7, 77)], [1, 4, 5]]
    paper = method(["red hat", "dog"], MASKS).token_members(tag(TEXT), 0, 77)
    assert paper.nonzero().tolist() == [[0, 2], [0, 3], [1, 6]]


@pytest.mark.parametrize("kind", ["cross", "self"])
def test_strength_nothing_everywhere_is_plain(kind: str) -> None:
    call = make_call(kind, (8, 8), (RowSpan(0, 1, tag(TEXT)),))
    everywhere_covered = boxes(8, 8, (0, 0, 8, 4), (0, 4, 8, 8))
    made = method(["red hat", "dog"], everywhere_covered, (0.0, 0.0), RegionRule())
    torch.testing.assert_close(run(call, made), innermost(call), rtol=0, atol=1e-12)
    dog = method(["dog"], MASKS[:1], rule=replace(PAPER, cross_strength=0.0))
    assert dog.selects(LayerAddress("middle", 0, 0, "self")) and not dog.selects(LayerAddress("middle", 0, 0, "cross"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["cross", "self"])
def test_lower_precision_stays_near_the_truth(kind: str, dtype: torch.dtype) -> None:
    """q, k and v are rounded first, so that only the rule's own rounding is measured."""
    rows = (RowSpan(0, 1, tag(TEXT)),)
    call = make_call(kind, (8, 8), rows, dtype=dtype, width=64)
    exact = replace(call, q=call.q.double(), k=call.k.double(), v=call.v.double(), scratch=type(call.scratch)())
    made = method(["red hat", "dog"], MASKS, rule=RegionRule())
    got, truth = run(call, made), run(exact, made)
    assert got.dtype == dtype
    bound = {torch.float32: 2e-5, torch.float16: 0.04, torch.bfloat16: 0.3}[dtype]
    assert (got.double() - truth).abs().max() < bound
    assert (truth - innermost(exact)).abs().max() > 0.5
