"""Attention under range rules on a CPU: all logits of some queries in sight, worked on where they lie in its cache."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F

from .attention import extremes, masked, query_parts
from .call import AttentionCall
from .range_rule import RangeRule, classes_of, gain_of


def attend(out: torch.Tensor, call: AttentionCall, rows: slice, mask: torch.Tensor | None) -> None:
    """Write some rows of a call to out [B, H, Nq, D]."""
    for row in range(rows.start, rows.stop):
        _attend_row(out[row], call, row, mask)


def _attend_row(out: torch.Tensor, call: AttentionCall, row: int, mask: torch.Tensor | None) -> None:
    """Write one row, [H, Nq, D]. Each head lies together in memory, and its scores always in the same place."""
    wide, count = torch.promote_types(call.q.dtype, torch.float32), call.k.shape[2]
    rules = [_of_row(rule, row, wide) for rule in call.rules if rule.rows.start <= row < rule.rows.stop]
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


def _of_row(rule: RangeRule, row: int, wide: torch.dtype) -> _RowRule:
    amount, left, foremost, right = (x[row - rule.rows.start if len(x) > 1 else 0].to(wide)
                                     for x in (rule.amount, rule.left, rule.foremost, rule.right))
    return _RowRule(rule, amount[:, None], F.pad(left, (0, 1)), F.pad(foremost, (0, 1)), classes_of(right))


@dataclass(frozen=True, eq=False)
class _RowRule:
    """A rule on one of its rows, by the classes of keys that have one bias.

    amount [Nq, 1]; left, foremost [Nq, K], of K classes; classes: [Nk, K] of 0 and 1.
    """

    rule: RangeRule
    amount: torch.Tensor
    left: torch.Tensor
    foremost: torch.Tensor
    classes: torch.Tensor

    def apply(self, scores: torch.Tensor, part: slice) -> None:
        """Do to the scores of some queries [H, n, Nk] what it says, in place."""
        start, stop = max(part.start, self.rule.queries.start), min(part.stop, self.rule.queries.stop)
        if start >= stop:
            return
        block = scores[:, start - part.start:stop - part.start, self.rule.keys]
        own = slice(start - self.rule.queries.start, stop - self.rule.queries.start)
        amount, level = self.amount[own], self.amount[own] * self.rule.flatten if self.rule.flatten else None
        low, high = (x[..., None] for x in extremes(block))
        bias = amount * ((high - low) * self.left[own] + self.rule.margin * self.foremost[own])
        if self.rule.share == "lower":
            bias -= amount * (high - low + self.rule.margin)
        elif self.rule.share == "keep":
            bias -= gain_of(block, low, high, bias, self.classes, level)
        if level is not None:
            block.mul_(1.0 - level)
            bias += level * low
        _add(block, bias, self.classes.T[None])
