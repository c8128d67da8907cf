"""Range rules, a bias and the host's mask in one launch: a Triton kernel, the same as core/ruled.py computes in parts.

For each tile of queries it goes over the keys of each rule's block for the range of the logits (and, where the share of
the block is kept, for their mass before and after), then once over all keys for the softmax and its product with v, as
FlashAttention (arXiv 2205.14135) does. Rows and queries without a rule go over the keys once. No backward.
Imported where it is used only (core/ruled.py): Triton is not everywhere, and a language of its own to a type checker.
"""

# pyright: reportPossiblyUnboundVariable=false, reportArgumentType=false, reportMissingImports=false
# pyright: reportIndexIssue=false

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from .call import AttentionCall, LowRankBias
from .range_rule import RangeRule

MOST_RULES = 3
WIDEST_HEAD = 256
_SHARES = {"raise": 0, "keep": 1, "lower": 2}
_NARROWEST = 16  # columns that a tensor core takes at least


@triton.jit
def _dot(a, b, sum, WIDE: tl.constexpr):
    """sum + a b. WIDE: in float32, for Triton's interpreter takes the bits of bfloat16 for whole numbers."""
    if WIDE:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), sum)
    return tl.dot(a, b, sum)


@triton.jit
def _logits(q, keys, stride, cols, stop, dims, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
            WIDE: tl.constexpr):
    """q k^T of one tile, not scaled; 0 past ``stop``."""
    k = tl.load(keys + cols[None, :] * stride + dims[:, None], mask=(dims[:, None] < D) & (cols[None, :] < stop),
                other=0.0)
    return _dot(q, k, tl.zeros([BM, BN], tl.float32), WIDE)


@triton.jit
def _add_columns(s, bias, right, cols, start, stop, C: tl.constexpr, SPLIT: tl.constexpr,
                 WIDE: tl.constexpr):
    """s + bias right^T on keys start..stop. SPLIT: bfloat16 keeps 8 bits, so there bias is a sum of two."""
    cs = tl.arange(0, C)
    inside = (cols >= start) & (cols < stop)
    r = tl.load(right + (cols - start)[None, :] * C + cs[:, None], mask=inside[None, :], other=0.0)
    high = bias.to(r.dtype)
    s = _dot(high, r, s, WIDE)
    if SPLIT:
        s = _dot((bias - high.to(tl.float32)).to(r.dtype), r, s, WIDE)
    return s


@triton.jit
def _ruled(s, bias, low, level, shift, right, cols, start, stop, C: tl.constexpr, WHOLE: tl.constexpr,
           SPLIT: tl.constexpr, WIDE: tl.constexpr):
    """Scaled logits as a rule changes them. WHOLE: its block is all keys, where what a row adds to all is nothing."""
    if WHOLE:
        return _add_columns(s * (1.0 - level)[:, None], bias, right, cols, start, stop, C, SPLIT, WIDE)
    inside = (cols >= start) & (cols < stop)
    s = tl.where(inside[None, :], s * (1.0 - level)[:, None] + (level * low + shift)[:, None], s)
    return _add_columns(s, bias, right, cols, start, stop, C, SPLIT, WIDE)


@triton.jit
def _measure(q, keys, stride, scale, b, rows, AMOUNT, LEFT, FOREMOST, RIGHT, r0, r1, q0, q1, k0, k1, one, margin,
             flatten, dims, D: tl.constexpr, C: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, SHARE: tl.constexpr,
             SPLIT: tl.constexpr, WIDE: tl.constexpr):
    """(at work?, bias [BM, C], low, level, shift [BM]) of a rule for one tile of queries."""
    cs = tl.arange(0, C)
    bias = tl.zeros([BM, C], tl.float32)
    low = tl.zeros([BM], tl.float32)
    level = tl.zeros([BM], tl.float32)
    shift = tl.zeros([BM], tl.float32)
    acts = (b >= r0) & (b < r1) & (tl.max(rows, 0) >= q0) & (tl.min(rows, 0) < q1)
    if acts:
        row = (b - r0) * one
        mine = (rows >= q0) & (rows < q1)
        amount = tl.load(AMOUNT + row * (q1 - q0) + rows - q0, mask=mine, other=0.0)
        low = tl.full([BM], float("inf"), tl.float32)
        high = tl.full([BM], float("-inf"), tl.float32)
        before = tl.full([BM], float("-inf"), tl.float32)
        mass = tl.zeros([BM], tl.float32)
        for start in range(k0, k1, BN):
            cols = start + tl.arange(0, BN)
            s = _logits(q, keys, stride, cols, k1, dims, D, BM, BN, WIDE) * scale
            inside = cols[None, :] < k1
            low = tl.minimum(low, tl.min(tl.where(inside, s, float("inf")), 1))
            s = tl.where(inside, s, float("-inf"))
            high = tl.maximum(high, tl.max(s, 1))
            if SHARE == 1:
                mass = mass * tl.exp(before - high) + tl.sum(tl.exp(s - high[:, None]), 1)
                before = high
        at = (row * (q1 - q0) + rows - q0)[:, None] * C + cs[None, :]
        left = tl.load(LEFT + at, mask=mine[:, None], other=0.0)
        foremost = tl.load(FOREMOST + at, mask=mine[:, None], other=0.0)
        bias = amount[:, None] * ((high - low)[:, None] * left + margin * foremost)
        level = amount * flatten
        if SHARE == 1:
            before = before + tl.log(mass)
            top = tl.full([BM], float("-inf"), tl.float32)
            mass = tl.zeros([BM], tl.float32)
            right = RIGHT + row * (k1 - k0) * C
            for start in range(k0, k1, BN):
                cols = start + tl.arange(0, BN)
                s = _logits(q, keys, stride, cols, k1, dims, D, BM, BN, WIDE) * scale
                s = _ruled(s, bias, low, level, shift, right, cols, k0, k1, C, False, SPLIT, WIDE)
                s = tl.where(cols[None, :] < k1, s, float("-inf"))
                new = tl.maximum(top, tl.max(s, 1))
                mass = mass * tl.exp(top - new) + tl.sum(tl.exp(s - new[:, None]), 1)
                top = new
            shift = before - top - tl.log(mass)
        if SHARE == 2:
            shift = -amount * (high - low + margin)
        shift = tl.where(mine, shift, 0.0)
    return acts, bias, low, level, shift


_ONCE = ["H", *(f"{name}{n}" for n in range(MOST_RULES) for name in ("r0_", "r1_", "q0_", "q1_", "k0_", "k1_", "one_"))]


@triton.jit(do_not_specialize=_ONCE)
def _kernel(Q, K, V, OUT, sqb, sqh, sqn, skb, skh, skn, svb, svh, svn, sob, soh, son, H, NQ, NK, scale,
            MASK, smb, smh, smq, smk, COLUMNS, scb, sch, scn, ROWS, srb, srh,
            AMOUNT0, LEFT0, FOREMOST0, RIGHT0, r0_0, r1_0, q0_0, q1_0, k0_0, k1_0, one_0, margin0, flatten0,
            AMOUNT1, LEFT1, FOREMOST1, RIGHT1, r0_1, r1_1, q0_1, q1_1, k0_1, k1_1, one_1, margin1, flatten1,
            AMOUNT2, LEFT2, FOREMOST2, RIGHT2, r0_2, r1_2, q0_2, q1_2, k0_2, k1_2, one_2, margin2, flatten2,
            SHARE0: tl.constexpr, SHARE1: tl.constexpr, SHARE2: tl.constexpr, WHOLE: tl.constexpr,
            N: tl.constexpr, C: tl.constexpr, CB: tl.constexpr, MASKED: tl.constexpr, SPLIT: tl.constexpr,
            WIDE: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """WHOLE: the one rule's block is all keys and its share is raised. MASKED: 0 no mask, 1 numbers, 2 booleans."""
    b = tl.program_id(1) // H
    h = tl.program_id(1) % H
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    dims = tl.arange(0, BD)
    inside = rows < NQ
    q = tl.load(Q + b * sqb + h * sqh + rows[:, None] * sqn + dims[None, :],
                mask=inside[:, None] & (dims[None, :] < D), other=0.0)
    keys = K + b * skb + h * skh
    values = V + b * svb + h * svh
    if N > 0:
        acts0, bias0, low0, level0, shift0 = _measure(
            q, keys, skn, scale, b, rows, AMOUNT0, LEFT0, FOREMOST0, RIGHT0, r0_0, r1_0, q0_0, q1_0, k0_0, k1_0, one_0,
            margin0, flatten0, dims, D, C, BM, BN, SHARE0, SPLIT, WIDE)
        right0 = RIGHT0 + (b - r0_0) * one_0 * (k1_0 - k0_0) * C
    if N > 1:
        acts1, bias1, low1, level1, shift1 = _measure(
            q, keys, skn, scale, b, rows, AMOUNT1, LEFT1, FOREMOST1, RIGHT1, r0_1, r1_1, q0_1, q1_1, k0_1, k1_1, one_1,
            margin1, flatten1, dims, D, C, BM, BN, SHARE1, SPLIT, WIDE)
        right1 = RIGHT1 + (b - r0_1) * one_1 * (k1_1 - k0_1) * C
    if N > 2:
        acts2, bias2, low2, level2, shift2 = _measure(
            q, keys, skn, scale, b, rows, AMOUNT2, LEFT2, FOREMOST2, RIGHT2, r0_2, r1_2, q0_2, q1_2, k0_2, k1_2, one_2,
            margin2, flatten2, dims, D, C, BM, BN, SHARE2, SPLIT, WIDE)
        right2 = RIGHT2 + (b - r0_2) * one_2 * (k1_2 - k0_2) * C
    if CB > 0:
        cs = tl.arange(0, CB)
        columns = tl.load(COLUMNS + b * scb + h * sch + rows[:, None] * scn + cs[None, :], mask=inside[:, None],
                          other=0.0)
        column_rows = ROWS + b * srb + h * srh
    top = tl.full([BM], float("-inf"), tl.float32)
    total = tl.zeros([BM], tl.float32)
    out = tl.zeros([BM, BD], tl.float32)
    for start in range(0, NK, BN):
        cols = start + tl.arange(0, BN)
        s = _logits(q, keys, skn, cols, NK, dims, D, BM, BN, WIDE) * scale
        if N > 0:  # noqa: SIM102  (known when it is compiled)
            if acts0 & (start < k1_0) & (start + BN > k0_0):
                s = _ruled(s, bias0, low0, level0, shift0, right0, cols, k0_0, k1_0, C, WHOLE, SPLIT, WIDE)
        if N > 1:  # noqa: SIM102  (known when it is compiled)
            if acts1 & (start < k1_1) & (start + BN > k0_1):
                s = _ruled(s, bias1, low1, level1, shift1, right1, cols, k0_1, k1_1, C, False, SPLIT, WIDE)
        if N > 2:  # noqa: SIM102  (known when it is compiled)
            if acts2 & (start < k1_2) & (start + BN > k0_2):
                s = _ruled(s, bias2, low2, level2, shift2, right2, cols, k0_2, k1_2, C, False, SPLIT, WIDE)
        if CB > 0:
            s = _add_columns(s, columns, column_rows, cols, 0, NK, CB, SPLIT, WIDE)
        if MASKED > 0:
            at = MASK + b * smb + h * smh + rows[:, None] * smq + cols[None, :] * smk
            seen = tl.load(at, mask=inside[:, None] & (cols[None, :] < NK), other=0)
            if MASKED == 1:
                s += seen.to(tl.float32)
            else:
                s = tl.where(seen != 0, s, float("-inf"))
        s = tl.where(cols[None, :] < NK, s * 1.4426950408889634, float("-inf"))  # exp(x) = exp2(x log2 e)
        new = tl.maximum(top, tl.max(s, 1))
        base = tl.where(new == float("-inf"), 0.0, new)  # no key of these was to be read
        p = tl.exp2(s - base[:, None])
        fade = tl.exp2(top - base)
        total = total * fade + tl.sum(p, 1)
        v = tl.load(values + cols[:, None] * svn + dims[None, :], mask=(cols[:, None] < NK) & (dims[None, :] < D),
                    other=0.0)
        out = _dot(p.to(v.dtype), v, out * fade[:, None], WIDE)
        top = new
    out = out / tl.where(total > 0.0, total, 1.0)[:, None]
    tl.store(OUT + b * sob + h * soh + rows[:, None] * son + dims[None, :], out.to(OUT.dtype.element_ty),
             mask=inside[:, None] & (dims[None, :] < D))


def takes(call: AttentionCall) -> bool:
    """True for calls that ``attention`` is made for."""
    return (call.q.dtype in (torch.float16, torch.bfloat16) and call.q.shape[-1] <= WIDEST_HEAD
            and len(call.rules) <= MOST_RULES)


def attention(call: AttentionCall, mask: torch.Tensor | None = None) -> torch.Tensor:
    """softmax of the call's logits, with its rules, bias and mask, times v: [B, H, Nq, D], as the host's in memory.

    q, k, v in half precision, their heads at most WIDEST_HEAD wide, and at most MOST_RULES rules. mask: [B or 1, H or
    1, Nq or 1, Nk], numbers that are added, or False for keys that are left out.
    """
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (call.q, call.k, call.v))
    rows, heads, queries, width = q.shape
    out = q.new_empty(rows, queries, heads, width).transpose(1, 2)
    columns = _fitting(max((rule.left.shape[-1] for rule in call.rules), default=1))
    rules = [_packed(rule, columns, q.dtype) for rule in call.rules]
    rules += [_NO_RULE] * (MOST_RULES - len(rules))
    whole = [_is_whole(rule, k.shape[2]) for rule in call.rules] == [True]
    bias_width, bias = _columns(call.bias, rows, heads, q.dtype)
    bm, bn, warps, stages = _tile(width)
    known = {"WHOLE": whole, "N": len(call.rules), "C": columns, "CB": bias_width, "D": width, "BM": bm, "BN": bn,
             "BD": max(_NARROWEST, triton.next_power_of_2(width)), "SPLIT": q.dtype == torch.bfloat16,
             "WIDE": q.device.type == "cpu", "MASKED": 0 if mask is None else 2 if mask.dtype == torch.bool else 1}
    launch: Any = _kernel[(triton.cdiv(queries, bm), rows * heads)]
    launch(q, k, v, out, *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *out.stride()[:3], heads, queries,
           k.shape[2], width ** -0.5, *_mask(mask), *bias, *(argument for rule in rules for argument in rule.arguments),
           *(rule.share for rule in rules), **known, num_warps=warps, num_stages=stages)
    return out


class _Packed(NamedTuple):
    """A rule as the kernel takes it: its tensors contiguous, their columns filled up to ``width``."""

    arguments: tuple[Any, ...]
    share: int
    width: int = 0


_NO_RULE = _Packed((None, None, None, None, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0), 0)
# A rule lives for a step and is used in every layer of a grid.
_PACKED: WeakKeyDictionary[RangeRule, _Packed] = WeakKeyDictionary()


def _packed(rule: RangeRule, width: int, dtype: torch.dtype) -> _Packed:
    found = _PACKED.get(rule)
    if found is None or found.width != width or found.arguments[3].dtype != dtype:
        found = _PACKED[rule] = _pack(rule, width, dtype)
    return found


def _pack(rule: RangeRule, width: int, dtype: torch.dtype) -> _Packed:
    many = max(len(t) for t in (rule.amount, rule.left, rule.foremost, rule.right))
    spare = (0, width - rule.left.shape[-1])
    amount = rule.amount.float().expand(many, -1).contiguous()
    left, foremost, right = (F.pad(t.to(to).expand(many, -1, -1), spare).contiguous() for t, to in (
        (rule.left, torch.float32), (rule.foremost, torch.float32), (rule.right, dtype)))
    places = [number for part in (rule.rows, rule.queries, rule.keys) for number in (part.start, part.stop)]
    return _Packed((amount, left, foremost, right, *places, int(many > 1), float(rule.margin), float(rule.flatten)),
                   _SHARES[rule.share], width)


def _is_whole(rule: RangeRule, keys: int) -> bool:
    return (rule.keys.start, rule.keys.stop, rule.share) == (0, keys, "raise")


def _columns(bias: LowRankBias | None, rows: int, heads: int, dtype: torch.dtype) -> tuple[int, tuple[Any, ...]]:
    """(width, arguments) of a bias: its left columns in float32, its right ones in the heads' precision."""
    if bias is None:
        return 0, (None, 0, 0, 0, None, 0, 0)
    width = _fitting(bias.left.shape[-1])
    spare = (0, width - bias.left.shape[-1])
    once = bias.left[:, :1] if bias.left.stride(1) == 0 else bias.left  # the same for all heads
    left, right = F.pad(once.float(), spare).contiguous(), F.pad(bias.right.to(dtype), spare).contiguous()
    of_heads, of_keys = (x.expand(rows, heads, -1, -1).stride() for x in (left, right))
    return width, (left, *of_heads[:3], right, *of_keys[:2])


def _mask(mask: torch.Tensor | None) -> tuple[Any, ...]:
    """The mask and its strides, 0 where it is the same for all."""
    if mask is None:
        return None, 0, 0, 0, 0
    mask = mask.view(torch.uint8) if mask.dtype == torch.bool else mask
    return mask, *(0 if size == 1 else stride for size, stride in zip(mask.shape, mask.stride(), strict=True))


def _fitting(columns: int) -> int:
    return max(_NARROWEST, triton.next_power_of_2(columns))


def _tile(width: int) -> tuple[int, int, int, int]:
    """(queries, keys, warps, stages); smaller where wide heads would pass the shared memory."""
    return (128, 64, 4, 3) if width <= 64 else (128, 64, 8, 2) if width <= 128 else (64, 32, 4, 2)
