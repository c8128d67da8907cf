"""Rows of unequal text in a joint layer, and where a turned key stands."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from attention_director.core.call import AttentionCall, LowRankBias, RowSpan
from attention_director.core.heat import pixel_maps
from attention_director.core.padding import without_padding
from attention_director.core.rotary import Rotary
from attention_director.core.sequence import Padding
from attention_director.core.text import PromptTag
from joint_cases import GRID, PIXELS, WORDS, joint_call
from layouts import padded
from region_cases import innermost

OWN = (12, 5, 8)


def unequal() -> AttentionCall:
    """Three rows of 12, 5 and 8 text tokens, the last with two learned ones behind them."""
    padding = (Padding(12, range(12, 12)), Padding(5, range(5, 12)), Padding(8, range(10, 12)))
    call = joint_call()
    left, right = torch.randn(3, 2, call.keys.length, 2, dtype=torch.float64), torch.randn(1, 1, call.keys.length, 2,
                                                                                         dtype=torch.float64)
    return replace(call, padding=padding, bias=LowRankBias(left, right))


def scores(call: AttentionCall) -> torch.Tensor:
    assert call.bias is not None
    return call.q @ call.k.transpose(-1, -2) * call.q.shape[-1] ** -0.5 + call.bias.left @ call.bias.right.mT


def test_each_row_leaves_its_padding_out() -> None:
    call = unequal()
    got, logits = without_padding(call, innermost), scores(call)
    for row, padding in enumerate(call.padding or ()):
        kept = [j for j in range(call.keys.length) if j not in padding.unread]
        wanted = torch.softmax(logits[row][..., kept], -1) @ call.v[row][:, kept]
        torch.testing.assert_close(got[row], wanted, rtol=0, atol=1e-12)


def test_maps_are_shares_of_a_rows_own_text() -> None:
    call = unequal()
    probe = torch.zeros(3, 1, call.keys.length, 1, dtype=torch.float64)
    probe[:, :, [2, 3]] = 1.0
    got, logits = pixel_maps(call, probe, slice(1, 3)), scores(call)
    for row in (1, 2):
        read = torch.softmax(logits[row, :, WORDS:WORDS + PIXELS, :OWN[row]], -1)[..., [2, 3]].sum(-1)
        torch.testing.assert_close(got[row - 1, 0], read.mean(0).unflatten(-1, GRID), rtol=0, atol=1e-12)


def test_some_rows_of_a_call_keep_their_own_padding() -> None:
    call = unequal()
    assert call.take((2, 0)).padding == (call.padding[2], call.padding[0])
    taken = replace(call.take((2, 1)), rows=(RowSpan(0, 2, None),))
    torch.testing.assert_close(without_padding(taken, innermost), without_padding(call, innermost)[[2, 1]])


@pytest.mark.parametrize("before, wanted", [(0, (3, 4)), (500, (500 + 4 + 3, 500 + 4 + 4))])
def test_a_short_prompt_stands_where_the_model_has_it(before: int, wanted: tuple[int, ...]) -> None:
    """Filled up behind it, or, by a model that fills up from the front, before it."""
    tag = PromptTag((padded("a red hat", 8), padded("a red hat", 12)), length=12, padded=True, before=before)
    assert tag.spread(0, (3, 4), 12 + before) == wanted
    assert tag.spread(1, (3, 4), 12 + before) == (before + 3, before + 4)
    assert PromptTag((padded("a red hat", 8),), before=504).spread(0, (3,), 512) == (507,)


def roped(x: torch.Tensor, places: torch.Tensor, axes: tuple[int, ...], theta: float) -> torch.Tensor:
    """R(p) x as complex numbers: pair i of an axis of width d turns by p / theta ** (2i / d)."""
    turns = torch.cat([places[:, axis, None] / theta ** (2 * torch.arange(width // 2, dtype=torch.float64) / width)
                       for axis, width in enumerate(axes)], -1)
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
                              * torch.polar(torch.ones_like(turns), turns)).flatten(-2)


def test_a_turned_key_is_one_roped_anew() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 7, 16, generator=generator, dtype=torch.float64)
    here, there = 20 * torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    axes, theta = (4, 6, 6), 256.0
    got = Rotary(axes, theta).turn(roped(x, here, axes, theta), (there - here)[None])
    torch.testing.assert_close(got, roped(x, there, axes, theta), rtol=0, atol=1e-12)
