"""The one kernel against float64, by Triton's interpreter on a CPU; with -m gpu as it is compiled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from attention_director.core.attention import explicit_attention
from attention_director.core.call import AttentionCall, LowRankBias, RowSpan, Scratch
from attention_director.core.joint_regions import JointRule
from attention_director.core.method import Chain
from attention_director.core.regions import RegionAttention, RegionRule
from attention_director.core.ruled import with_fixed_rules
from joint_cases import TEXT, WORDS, joint_call
from region_cases import boxes, make_call, method, tag
from test_joint_regions import method as joint_method

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton")

from attention_director.core import fused_attention  # noqa: E402

pytestmark = pytest.mark.gpu if DEVICE == "cuda" else []
PROMPT, PHRASES = "a red hat and a blue dog on the grass", ["red hat", "blue dog"]
MASKS = boxes(24, 24, (0, 0, 17, 15), (7, 5, 24, 24))
STRONG = RegionRule(self_strength=0.15, size_adaptation=0.0, flatten=0.0, margin=4.0, padding=True)
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
precisions = pytest.mark.parametrize("dtype", HALVES.values(), ids=HALVES)


def rounded(call: AttentionCall, dtype: torch.dtype) -> AttentionCall:
    """On the device in half precision, in memory as the host has it."""
    q, k, v = (x.transpose(1, 2).to(DEVICE, dtype).contiguous().transpose(1, 2) for x in (call.q, call.k, call.v))
    return replace(call, q=q, k=k, v=v, scratch=Scratch())


def exact(call: AttentionCall) -> AttentionCall:
    return replace(call, q=call.q.cpu().double(), k=call.k.cpu().double(), v=call.v.cpu().double(), scratch=Scratch())


def assert_near(call: AttentionCall, made: RegionAttention | None, dtype: torch.dtype,
                mask: torch.Tensor | None = None, bias: LowRankBias | None = None) -> None:
    """Within the rounding of its inputs' precision: what an attention of this precision without rules keeps to."""
    half = rounded(call, dtype)
    wide = exact(half)
    if made is not None:
        half, wide = (replace(c, rules=made.rules(c)) for c in (half, wide))
    if bias is not None:
        half = replace(half, bias=LowRankBias(bias.left.to(DEVICE), bias.right.to(DEVICE)))
        wide = replace(wide, bias=LowRankBias(bias.left.double(), bias.right.double()))
    got = fused_attention.attention(half, None if mask is None else mask.to(DEVICE))
    fixed = with_fixed_rules(wide)
    wanted = explicit_attention(fixed.q, fixed.k, fixed.v, fixed.bias, mask)
    assert got.dtype == dtype and got.transpose(1, 2).is_contiguous()
    error = (got.cpu().double() - wanted).norm() / wanted.norm()
    assert error < 8 * torch.finfo(dtype).eps, float(error)


@precisions
@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("width", [40, 64, 80, 128, 160])
def test_every_head_width(kind: str, width: int, dtype: torch.dtype) -> None:
    call = make_call(kind, (6, 6), (RowSpan(0, 1, None), RowSpan(1, 2, tag(PROMPT))), width=width)
    assert_near(call, method(PHRASES, MASKS, rule=STRONG), dtype)


@precisions
@pytest.mark.parametrize("rule", [STRONG, RegionRule(), RegionRule(everywhere=False, background=False),
                                  RegionRule(flatten=0.5, margin=2.0)], ids=["strong", "paper", "strict", "half"])
@pytest.mark.parametrize(("kind", "grid"), [("self", (12, 13)), ("cross", (12, 13)), ("self", (1, 5)),
                                            ("cross", (3, 7))])
def test_every_rule(kind: str, grid: tuple[int, int], rule: RegionRule, dtype: torch.dtype) -> None:
    """Also with more queries than a tile has, and with keys that fill no tile."""
    call = make_call(kind, grid, (RowSpan(0, 1, tag(PROMPT)), RowSpan(1, 2, None), RowSpan(2, 4, tag(PROMPT))), heads=1)
    assert_near(call, method(PHRASES, MASKS, (1.0, 0.6), rule), dtype)


@precisions
def test_one_layout_an_image_and_many_regions(dtype: torch.dtype) -> None:
    words = [f"thing{n}" for n in range(20)]
    corners = torch.randint(0, 16, (40, 2), generator=torch.Generator().manual_seed(4)).tolist()
    masks = boxes(24, 24, *[(y, x, y + 8, x + 8) for y, x in corners]).unflatten(0, (2, 20))
    call = make_call("cross", (6, 6), (RowSpan(0, 2, tag(" ".join(words))), RowSpan(2, 4, None)))
    assert_near(call, method(words, masks, rule=STRONG), dtype)


@precisions
@pytest.mark.parametrize("rule", [
    JointRule(), JointRule(text_strength=0.0, margin=8.0, padding=True), JointRule(share="raise"),
    JointRule(share="lower", self_strength=0.3), JointRule(self_strength=0.3, flatten=1.0, margin=0.0),
    JointRule(cross_strength=0.5, text_strength=0.3, self_strength=0.2, margin=2.0)])
def test_joint_rows_with_their_blocks(rule: JointRule, dtype: torch.dtype) -> None:
    assert_near(joint_call(), joint_method(rule), dtype)


@precisions
@pytest.mark.parametrize("kind", ["numbers", "booleans", "of each row", "of the keys"])
@pytest.mark.parametrize("ruled", [True, False])
def test_the_hosts_mask(kind: str, ruled: bool, dtype: torch.dtype) -> None:
    call = joint_call()
    draw = torch.Generator().manual_seed(3)
    shape = {"of each row": (3, 2), "of the keys": (1, 1)}.get(kind, (1, 1))
    queries = 1 if kind == "of the keys" else call.q.shape[2]
    mask = torch.rand(*shape, queries, call.k.shape[2], generator=draw) < 0.7
    if kind in ("numbers", "of each row"):
        mask = torch.where(mask, 0.0, -3.0)
    assert_near(call, joint_method(JointRule()) if ruled else None, dtype, mask)


@precisions
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("ruled", [True, False])
def test_columns_of_other_methods(ruled: bool, heads: int, dtype: torch.dtype) -> None:
    call = make_call("cross", (6, 6), (RowSpan(0, 1, None), RowSpan(1, 2, tag(PROMPT))))
    draw = torch.Generator().manual_seed(3)
    right = (torch.rand(1, heads, 77, 3, generator=draw) < 0.3).float()
    bias = LowRankBias(torch.rand(2, 2, 36, 3, generator=draw) * 9, right)
    assert_near(call, method(PHRASES, MASKS, rule=STRONG) if ruled else None, dtype, bias=bias)


@precisions
def test_rows_without_a_rule_are_plain(dtype: torch.dtype) -> None:
    call = rounded(make_call("self", (6, 6), (RowSpan(0, 1, None), RowSpan(1, 2, tag(PROMPT)))), dtype)
    ruled = Chain((method(PHRASES, MASKS, rule=STRONG),)).attend(call, fused_attention.attention)
    assert torch.equal(ruled[0], fused_attention.attention(call)[0])
    assert not torch.equal(ruled[1], fused_attention.attention(call)[1])


def test_text_of_the_joint_call_is_short() -> None:
    """So that the tests above meet blocks that begin and end inside a tile."""
    assert WORDS < 64 and len(TEXT.split()) < WORDS
