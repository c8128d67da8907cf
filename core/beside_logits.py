"""Attention under range rules on a CPU: all logits of some queries in sight, worked on where they lie in its cache."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F

from .attention import Kernel, extremes, masked, query_parts
from .call import AttentionCall
from .range_rule import RangeRule


def attend(call: AttentionCall, kernel: Kernel, mask: torch.Tensor | None) -> torch.Tensor:
    """The rows that have rules a part after the other, the others by the kernel: [B, H, Nq, D]."""
    rows, heads, queries, _ = call.q.shape
    out = call.q.new_empty(rows, queries, heads, call.v.shape[-1], dtype=call.v.dtype).transpose(1, 2)
    ours = slice(min(rule.rows.start for rule in call.rules), max(rule.rows.stop for rule in call.rules))
    if call.bias is not None or mask is not None:  # nobody knows of which rows
        ours = slice(0, rows)
    for others in (slice(0, ours.start), slice(ours.stop, rows)):
        if others.start < others.stop:
            out[others] = kernel(call.q[others], call.k[others], call.v[others])
    for row in range(ours.start, ours.stop):
        _attend_row(out[row], call, row, mask)
    return out


def _attend_row(out: torch.Tensor, call: AttentionCall, row: int, mask: torch.Tensor | None) -> None:
    """Write one row, [H, Nq, D]. Each head lies together in memory, and its scores always in the same place."""
    wide, count = torch.promote_types(call.q.dtype, torch.float32), call.k.shape[2]
    rules = [_of_row(rule, row, call, wide) for rule in call.rules if rule.rows.start <= row < rule.rows.stop]
    for heads, parts in groupby(query_parts(call.q[row:row + 1], count), lambda found: found[0]):
        q, k, v = (x[row, heads].to(wide).contiguous() for x in (call.q, call.k.transpose(-1, -2), call.v))
        room: tuple[torch.Tensor, ...] = ()
        for _, part in parts:
            shape = (len(q), part.stop - part.start, count)
            if not room or room[0].shape != shape:
                room = q.new_empty(shape), q.new_empty(shape)
            scores, read = room
            torch.baddbmm(scores, q[:, part], k, beta=0, alpha=q.shape[-1] ** -0.5, out=scores)
            if call.bias is not None:
                left, right = _slice(call.bias.left, row, heads, part), _slice(call.bias.right, row, heads)
                _add(scores, left.to(wide), right.to(wide).transpose(1, 2))
            if mask is not None:
                scores.copy_(masked(scores, _slice(mask, row, heads, part)))
            for rule in rules:
                rule.apply(scores, part)
            out[heads, part] = torch.softmax(scores, -1, out=read) @ v


def _slice(x: torch.Tensor, row: int, heads: slice, queries: slice = slice(None)) -> torch.Tensor:
    """The part of [B or 1, H or 1, N or 1, C] that belongs to a row, some heads and queries."""
    own = x[row if len(x) > 1 else 0]
    return own[heads if len(own) > 1 else slice(None), queries if own.shape[1] > 1 else slice(None)]


def _add(scores: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """scores [H, n, Nk] += left [H, n, C] right, [H or 1, C, Nk], without holding the product."""
    scores.baddbmm_(left, right.expand(len(scores), -1, -1))


def _of_row(rule: RangeRule, row: int, call: AttentionCall, wide: torch.dtype) -> _RowRule:
    def classes() -> tuple[torch.Tensor, ...]:
        left, foremost, right = (F.pad(x[row - rule.rows.start if len(x) > 1 else 0].to(wide), (0, 1))
                                 for x in (rule.left, rule.foremost, rule.right))
        kinds, which = torch.unique(right, dim=0, return_inverse=True)
        return left @ kinds.T, foremost @ kinds.T, F.one_hot(which, len(kinds)).to(wide)

    made = call.scratch.once_of(("classes of keys", row, wide), (rule.left, rule.foremost, rule.right), classes)
    return _RowRule(rule, rule.amount[row - rule.rows.start if len(rule.amount) > 1 else 0, :, None].to(wide), *made)


@dataclass(frozen=True, eq=False)
class _RowRule:
    """A rule on one of its rows, by the classes of keys that have one bias.

    amount [Nq, 1]; left, foremost [Nq, K], of K classes; members: [Nk, K] of 0 and 1.
    """

    rule: RangeRule
    amount: torch.Tensor
    left: torch.Tensor
    foremost: torch.Tensor
    members: torch.Tensor

    def apply(self, scores: torch.Tensor, part: slice) -> None:
        """Do to the scores of some queries [H, n, Nk] what it says, in place."""
        start, stop = max(part.start, self.rule.queries.start), min(part.stop, self.rule.queries.stop)
        if start >= stop:
            return
        block = scores[:, start - part.start:stop - part.start, self.rule.keys]
        own = slice(start - self.rule.queries.start, stop - self.rule.queries.start)
        amount = self.amount[own]
        low, high = (x[..., None] for x in extremes(block))
        before = block.logsumexp(-1, keepdim=True) if self.rule.share == "keep" and self.rule.flatten else None
        bias = amount * ((high - low) * self.left[own] + self.rule.margin * self.foremost[own])
        if self.rule.share == "lower":
            bias -= amount * (high - low + self.rule.margin)
        elif self.rule.share == "keep" and before is None:
            bias -= self._gain(block, high, bias)
        if self.rule.flatten:
            level = amount * self.rule.flatten
            block.mul_(1.0 - level)
            bias += level * low
        _add(block, bias, self.members.T[None])
        if before is not None:
            block += before - block.logsumexp(-1, keepdim=True)

    def _gain(self, block: torch.Tensor, high: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """LSE_j(s_ij + b_ij) - LSE_j(s_ij), [H, n, 1]: what each class has of the sum is enough, one exponential."""
        mass = (block - high).exp_() @ self.members
        return (bias + mass.log()).logsumexp(-1, keepdim=True) - mass.sum(-1, keepdim=True).log()
