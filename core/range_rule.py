"""A change of a row's logits that is measured by the row's own range: the rule of DenseDiffusion, arXiv 2308.12964.

How large it is only q and k say, so a method gives the rule, and whoever computes the attention works it out: as
columns of a bias, or on the way, beside the logits (core/ruled.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

LARGEST = 70.0  # of what exp is asked for: a million of its values still add up in float32
Share = Literal["raise", "keep", "lower"]


@dataclass(frozen=True, eq=False)
class RangeRule:
    """On one block of some rows of a call, with max and min over the block's keys:

        b_ij = a_i ((max_i - min_i) R_ij + margin F_ij + flatten (min_i - s_ij))
        s'_ij = s_ij + b_ij - k_i

    rows: of the call. queries, keys: the block. amount: a, [n, Nq] in 0..1, of the block's queries in these rows.
    left, foremost [n, Nq, C], right [n, Nk, C]: R = left right^T and F = foremost right^T, of 0 and 1, a key being of
    one column at most. Any n may be 1 for all rows. share: what k is. "raise": 0; "keep": LSE_j(s_ij + b_ij) -
    LSE_j(s_ij), so that what the query gives to the block stays; "lower": the most that b gives, so that nothing rises.
    """

    rows: slice
    queries: slice
    keys: slice
    amount: torch.Tensor
    left: torch.Tensor
    foremost: torch.Tensor
    right: torch.Tensor
    margin: float = 0.0
    flatten: float = 0.0
    share: Share = "raise"


def classes_of(right: torch.Tensor) -> torch.Tensor:
    """Which class of keys with one bias each key is of, the last being those of no column: [..., Nk, C + 1]."""
    return torch.cat((right, 1.0 - right.sum(-1, keepdim=True)), -1)


def gain_of(scores: torch.Tensor, low: torch.Tensor, high: torch.Tensor, bias: torch.Tensor, classes: torch.Tensor,
            level: torch.Tensor | None = None) -> torch.Tensor:
    """LSE_j(s_ij + b_ij) - LSE_j(s_ij), [..., n, 1]: what each class has of the sum is enough, so one exponential.

    scores s: [..., n, Nk]; low, high: their extremes, [..., n, 1]; bias: of each class, [..., n, K]; classes
    [..., Nk, K]. level: a flatten, where b has (a flatten) (min_i - s_ij) too.
    """
    # From the middle of the range, so that exp neither loses a class far below the others nor overflows in a sum.
    middle = torch.maximum((low + high) / 2, high - LARGEST)
    off = scores - middle
    mass = off.exp() @ classes
    before = mass.sum(-1, keepdim=True).log()
    if level is not None:
        bias = bias + level * (low - middle)
        mass = (off * (1.0 - level)).exp() @ classes
    none = mass == 0  # a class without keys; the gradient of its logarithm would be no number
    logs = mass.masked_fill(none, 1.0).log().masked_fill(none, -torch.inf)
    return (bias + logs).logsumexp(-1, keepdim=True) - before
