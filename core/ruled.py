"""Attention under range rules: worked out beside the logits, or as columns of a bias for kernels that know neither."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F

from . import beside_logits
from .attention import Kernel, attend_with_bias, extremes, row_extremes, score_parts
from .call import AttentionCall, LowRankBias
from .range_rule import RangeRule, classes_of, gain_of

log = logging.getLogger("attention_director")

# GPUs for which Triton could not compile: asked once, not in every layer.
_WITHOUT: set[torch.device] = set()


def attend(call: AttentionCall, kernel: Kernel, mask: torch.Tensor | None = None) -> torch.Tensor:
    """softmax of the call's logits, with its rules, bias and mask, times v: [B, H, Nq, D].

    kernel: attention without bias that masks by itself; mask: the same as ``score_parts`` takes it. The way that fits
    the device is taken; all give the same. By columns on ``kernel`` is the one that every device and gradients have.
    """
    if not call.rules and call.bias is None:
        return kernel(call.q, call.k, call.v)
    if not (torch.is_grad_enabled() and call.q.requires_grad):
        if call.q.device.type == "cpu" and call.rules:
            return _on_a_processor(call, kernel, mask)
        if (out := _in_one_launch(call, mask)) is not None:
            return out
    return by_columns(call, kernel, mask)


def by_columns(call: AttentionCall, kernel: Kernel, mask: torch.Tensor | None = None) -> torch.Tensor:
    """The same on ``kernel``, whatever it is."""
    fixed = with_fixed_rules(call)
    return attend_with_bias(fixed.q, fixed.k, fixed.v, fixed.bias, kernel, mask)


def _in_one_launch(call: AttentionCall, mask: torch.Tensor | None) -> torch.Tensor | None:
    """By the Triton kernel; None where there is none for this call."""
    device = call.q.device
    fused = fused_attention() if device.type == "cuda" and device not in _WITHOUT else None
    if fused is None or not fused.takes(call):
        return None
    try:
        return fused.attention(call, mask)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton raises what it likes: no compiler on this machine, a GPU that it does not know
        _WITHOUT.add(device)
        log.warning("Attention Director: Triton cannot compile for %s (%s); regions take a slower way.",
                    device, (str(error) or type(error).__name__).splitlines()[0][:200])
        return None


@cache
def fused_attention() -> Any:
    """The module of the kernel, None where Triton is not installed."""
    if find_spec("triton") is None:
        return None
    try:
        return import_module(".fused_attention", __package__)
    except ImportError as error:
        log.warning("Attention Director: Triton does not load (%s); regions take a slower way.", error)
        return None


def _on_a_processor(call: AttentionCall, kernel: Kernel, mask: torch.Tensor | None) -> torch.Tensor:
    """Rows without rules by the kernel; the others with all logits in sight where the rules look at most of them."""
    rows, heads, queries, _ = call.q.shape
    ours = slice(min(rule.rows.start for rule in call.rules), max(rule.rows.stop for rule in call.rules))
    if call.bias is not None or mask is not None:  # nobody knows of which rows
        ours = slice(0, rows)
    looked_at = sum(map(_logits, call.rules))
    if ours == slice(0, rows) and 2 * looked_at < rows * queries * call.k.shape[2]:
        return by_columns(call, kernel, mask)
    out = call.q.new_empty(rows, queries, heads, call.v.shape[-1], dtype=call.v.dtype).transpose(1, 2)
    for others in (slice(0, ours.start), slice(ours.stop, rows)):
        if others.start < others.stop:
            out[others] = kernel(call.q[others], call.k[others], call.v[others])
    if 2 * looked_at < (ours.stop - ours.start) * queries * call.k.shape[2]:
        out[ours] = by_columns(_of_rows(call, ours), kernel)
    else:
        beside_logits.attend(out, call, ours, mask)
    return out


def _logits(rule: RangeRule) -> int:
    """How many the rule looks at in each head of its rows."""
    return math.prod(part.stop - part.start for part in (rule.rows, rule.queries, rule.keys))


def _of_rows(call: AttentionCall, rows: slice) -> AttentionCall:
    """A call of rules alone, without its other rows."""
    rules = (replace(rule, rows=slice(rule.rows.start - rows.start, rule.rows.stop - rows.start))
             for rule in call.rules)
    return replace(call, q=call.q[rows], k=call.k[rows], v=call.v[rows], rules=tuple(rules))


def with_fixed_rules(call: AttentionCall) -> AttentionCall:
    """The call with its rules as columns of its bias, worked out from the q and k it has now."""
    if not call.rules:
        return call
    q, bias = call.q, call.bias
    for rule in call.rules:
        bias = _placed(columns_of(rule, call), rule, call) + bias
        if _scales(rule, call):
            q = _scaled(q, rule)
    return replace(call, q=q, bias=bias, rules=())


def _scales(rule: RangeRule, call: AttentionCall) -> bool:
    """Levelling (1 - a) s scales whole queries, which is exact where the block is all that they read."""
    whole = rule.keys.start == 0 and rule.keys.stop == call.k.shape[2]
    return bool(rule.flatten) and whole and rule.share == "raise"


def _scaled(q: torch.Tensor, rule: RangeRule) -> torch.Tensor:
    scale = (1.0 - rule.flatten * rule.amount)[:, None, :, None].to(q.dtype)
    own = q[rule.rows, :, rule.queries] * scale
    if own.shape == q.shape:
        return own
    q = q.transpose(1, 2).clone().transpose(1, 2)  # in memory as it was
    q[rule.rows, :, rule.queries] = own
    return q


def columns_of(rule: RangeRule, call: AttentionCall) -> LowRankBias:
    """The rule on its own block as columns: left [n, H, Nq, C], right [n, 1 or H, Nk, C]. -a_i s_ij has some too, the
    columns -a_i q_i and k_j."""
    q, k = call.q[rule.rows, :, rule.queries], call.k[rule.rows, :, rule.keys]
    low, high, gain = _looked_at(rule, q, k)
    amount = rule.amount[:, None]
    bias = LowRankBias(_pull(rule, low, high, slice(None)), rule.right[:, None])
    if rule.flatten and not _scales(rule, call):
        bias = _levelling(q, k, amount * rule.flatten, low) + bias
    if rule.share == "raise":
        return bias
    shift = amount * (high - low + rule.margin) if gain is None else gain
    return LowRankBias(-shift[..., None], torch.ones_like(bias.right[..., :1])) + bias


def _pull(rule: RangeRule, low: torch.Tensor, high: torch.Tensor, part: slice) -> torch.Tensor:
    """What some queries add to each column's keys: [n, H, Nq, C]. low, high: [n, H, Nq]."""
    amount, left, foremost = (x[:, None, part] for x in (rule.amount, rule.left, rule.foremost))
    return amount[..., None] * ((high - low)[..., None] * left + rule.margin * foremost)


def _looked_at(rule: RangeRule, q: torch.Tensor, k: torch.Tensor,
               ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Smallest and largest logit of each query, [n, H, Nq], and what the block would gain, None where all may."""
    if rule.share != "keep":
        return *row_extremes(q, k), None
    wide = torch.promote_types(q.dtype, torch.float32)
    lows, highs, gains = (torch.empty(q.shape[:3], device=q.device, dtype=wide) for _ in range(3))
    classes = classes_of(rule.right.to(wide))[:, None]
    for heads, part, scores in score_parts(q, k):
        low, high = extremes(scores)
        bias = F.pad(_pull(rule, low, high, part), (0, 1)).to(wide)
        level = rule.amount[:, None, part, None] * rule.flatten if rule.flatten else None
        gains[:, heads, part] = gain_of(scores, low[..., None], high[..., None], bias, classes, level)[..., 0]
        lows[:, heads, part], highs[:, heads, part] = low, high
    return lows, highs, gains


def _levelling(q: torch.Tensor, k: torch.Tensor, level: torch.Tensor, low: torch.Tensor) -> LowRankBias:
    """level_i (min_i - s_ij) as columns. q: [n, H, Nq, D]; k: [n, H, Nk, D]; level, low: [n, 1 or H, Nq]."""
    q, k = q.to(low.dtype) * q.shape[-1] ** -0.5, k.to(low.dtype)
    left = level[..., None] * torch.cat((-q, low[..., None]), -1)
    return LowRankBias(left, torch.cat((k, torch.ones_like(k[..., :1])), -1))


def _placed(bias: LowRankBias, rule: RangeRule, call: AttentionCall) -> LowRankBias:
    """The bias of a block on the whole call, zero elsewhere."""
    rows, heads, queries, _ = call.q.shape
    left, right = bias.left, bias.right
    if left.shape != (rows, heads, queries, left.shape[3]):
        left = left.new_zeros(rows, heads, queries, left.shape[3])
        left[rule.rows, :, rule.queries] = bias.left
    if right.shape[0] not in (1, rows) or right.shape[2] != call.k.shape[2]:
        right = right.new_zeros(rows, right.shape[1], call.k.shape[2], right.shape[3])
        right[rule.rows, :, rule.keys] = bias.right
    return LowRankBias(left, right)
