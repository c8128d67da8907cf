"""Gathered subject-driven attention against the joint one of the paper, over all images at once."""

from __future__ import annotations

from dataclasses import replace

import naive_subjects as naive
import pytest
import torch
from attention_director.core.adain import match_statistics
from attention_director.core.attention import attend_with_bias, explicit_attention
from attention_director.core.call import AttentionCall, LowRankBias, RowSpan, Scratch, Step
from attention_director.core.network import LayerAddress
from attention_director.core.shared_keys import SharedKeys, attend_shared, blend_queries
from axes import axes

IMAGES, HEADS, COUNT, WIDTH = 4, 2, 9, 8


def attend(call: AttentionCall) -> torch.Tensor:
    return attend_with_bias(call.q, call.k, call.v, call.bias, explicit_attention)


def make_call(spans: int = 2, bias: LowRankBias | None = None) -> AttentionCall:
    torch.manual_seed(5)
    q, k, v = (torch.randn(spans * IMAGES, HEADS, COUNT, WIDTH, dtype=torch.float64) for _ in range(3))
    rows = tuple(RowSpan(s * IMAGES, (s + 1) * IMAGES, None) for s in range(spans))
    return AttentionCall(q, k, v, LayerAddress("output", 3, 0, "self"), *axes("self", (3, 3), 9), (3, 3), rows,
                         Step(1.0, 0.5), Scratch(),
                         bias)


def make_masks() -> torch.Tensor:
    return torch.rand(IMAGES, COUNT, generator=torch.Generator().manual_seed(2)) < 0.5


def make_groups(call: AttentionCall, masks: torch.Tensor, anchors: int, alone: set[int], kinds=None, here=None):
    """Groups by hand: images that see the same anchors."""
    seen: dict[tuple, list[int]] = {}
    for b in range(IMAGES):
        seen.setdefault(() if b in alone else tuple(a for a in range(anchors) if a != b), []).append(b)
    groups, unshared = [], [s.start + b for s in call.rows for b in seen.get((), [])]
    for others, members in seen.items():
        if not others:
            continue
        pairs = [(a, int(j)) for a in others for j in masks[a].nonzero().flatten()]
        groups.append(SharedKeys(
            tuple(s.start + b for s in call.rows for b in members), len(members),
            torch.tensor([[s.start + a for a, _ in pairs] for s in call.rows]), torch.tensor([j for _, j in pairs]),
            None if kinds is None else torch.stack([kinds[a, j] for a, j in pairs]),
            None if here is None else here[members]))
    return groups, tuple(unshared)


def expect(call: AttentionCall, found: torch.Tensor, masks: torch.Tensor, anchors: int, strength: float,
           alone: set[int], **extra) -> None:
    for span in call.rows:
        part = slice(span.start, span.stop)
        own = (t[part] for t in (call.q, call.k, call.v))
        wanted = naive.joint_attention(*own, masks, anchors, strength, alone, **extra)
        torch.testing.assert_close(found[part], wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("anchors", [1, 2, 4])
@pytest.mark.parametrize("strength", [1.0, 0.4, 2.0])
def test_gathered_is_joint(anchors: int, strength: float) -> None:
    call, masks = make_call(), make_masks()
    groups, alone = make_groups(call, masks, anchors, set())
    expect(call, attend_shared(call, attend, groups, alone, strength), masks, anchors, strength, set())


def test_an_image_alone_attends_to_itself() -> None:
    call, masks = make_call(), make_masks()
    groups, alone = make_groups(call, masks, 2, {0, 3})
    found = attend_shared(call, attend, groups, alone, 1.0)
    expect(call, found, masks, 2, 1.0, {0, 3})
    torch.testing.assert_close(found[[0, 3, 4, 7]], attend(call)[[0, 3, 4, 7]], rtol=0, atol=1e-12)


def test_subjects_apart_see_only_their_own() -> None:
    call, masks = make_call(), make_masks()
    kinds = torch.rand(IMAGES, COUNT, 2, generator=torch.Generator().manual_seed(4)) < 0.5
    kinds[..., 1] &= ~kinds[..., 0]
    masks &= kinds.any(-1)
    groups, alone = make_groups(call, masks, 2, set(), kinds, kinds)
    for strength in (1.0, 0.5):
        expect(call, attend_shared(call, attend, groups, alone, strength), masks, 2, strength, set(), kinds=kinds,
               here=kinds)


@pytest.mark.parametrize("rows", [1, 2 * IMAGES])
def test_other_methods_biases_go_along(rows: int) -> None:
    """A shared key keeps the columns of its pixel."""
    torch.manual_seed(6)
    left = torch.randn(2 * IMAGES, HEADS, COUNT, 3, dtype=torch.float64)
    right = torch.randn(rows, 1, COUNT, 3, dtype=torch.float64)
    call, masks = make_call(bias=LowRankBias(left, right)), make_masks()
    groups, alone = make_groups(call, masks, 2, set())
    found = attend_shared(call, attend, groups, alone, 0.7)
    full = right.expand(2 * IMAGES, -1, -1, -1)
    for span in call.rows:
        for h in range(HEADS):
            bias = torch.einsum("bic,ajc->baij", left[span.start:span.stop, h], full[span.start:span.stop, 0])
            own = (t[span.start:span.stop, h:h + 1] for t in (call.q, call.k, call.v))
            wanted = naive.joint_attention(*own, masks, 2, 0.7, set(), bias=bias)
            torch.testing.assert_close(found[span.start:span.stop, h:h + 1], wanted, rtol=0, atol=1e-10)


def test_the_rows_are_named_for_whoever_is_inside() -> None:
    plain, masks = make_call(), make_masks()
    call = replace(plain, residual=lambda: torch.arange(2 * IMAGES)[:, None, None, None])
    groups, alone = make_groups(call, masks, 2, {3})
    seen: list[int] = []

    def listening(inner: AttentionCall) -> torch.Tensor:
        assert inner.residual is not None
        rows = inner.residual().flatten().tolist()
        assert torch.equal(inner.q, call.q[rows])
        assert [i for span in inner.rows for i in span.images] == [row % IMAGES for row in rows]
        seen.extend(rows)
        return attend(inner)

    attend_shared(call, listening, groups, alone, 1.0)
    assert sorted(seen) == list(range(2 * IMAGES))


def test_half_precision_silences_other_subjects_wholly() -> None:
    call, masks = make_call(1), make_masks()
    kinds = torch.zeros(IMAGES, COUNT, 2, dtype=torch.bool)
    kinds[..., 0] = True
    here = torch.zeros_like(kinds)
    here[..., 1] = True
    groups, alone = make_groups(call, masks, 2, set(), kinds, here)
    for dtype in (torch.float16, torch.bfloat16):
        small = AttentionCall(*(t.to(dtype) for t in (call.q, call.k, call.v)), call.layer, call.queries, call.keys,
                              call.latent_grid, call.rows, call.step, call.scratch)
        found = attend_shared(small, attend, groups, alone, 1.0)
        torch.testing.assert_close(found.float(), attend(small).float(), rtol=0, atol=2e-2)


def test_queries_blend() -> None:
    q, plain = torch.randn(2, 3).double(), torch.randn(2, 3).double()
    torch.testing.assert_close(blend_queries(q, plain, 0.9), 0.9 * plain + 0.1 * q, rtol=0, atol=1e-12)
    assert torch.equal(blend_queries(q, plain, 0.0), q)


def test_keys_of_photographs_take_the_generated_ones_statistics() -> None:
    torch.manual_seed(8)
    keys, own = torch.randn(2, 2, 7, 4).double() * 3 + 1, torch.randn(2, 2, 9, 4).double()
    inside = torch.rand(2, 9) < 0.6
    inside[1] = False
    found = match_statistics(keys, own, inside)
    wanted = own[0][:, inside[0]]
    torch.testing.assert_close(found[0].mean(1), wanted.mean(1), rtol=0, atol=1e-10)
    torch.testing.assert_close(found[0].std(1, correction=0), wanted.std(1, correction=0), rtol=0, atol=1e-10)
    assert torch.equal(found[1], keys[1]), "nothing found, nothing to match"
