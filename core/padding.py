"""Rows of a batch whose texts are of unequal length, in layers where a softmax notices.

In cross-attention a short prompt may be repeated; a joint softmax also holds the picture, so there the shorter texts
are padded and each row leaves the padding out.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from .call import Attend, AttentionCall, LowRankBias, take_rows
from .ruled import with_fixed_rules


def without_padding(call: AttentionCall, attend: Attend) -> torch.Tensor:
    """``attend`` of the rows that leave out the same keys, without them; a gather, no mask."""
    paddings = call.padding
    if paddings is None or not any(padding.unread for padding in paddings):
        return attend(call)
    call = with_fixed_rules(call)
    out = torch.empty((*call.q.shape[:3], call.v.shape[-1]), device=call.q.device, dtype=call.q.dtype)
    for unread in dict.fromkeys(padding.unread for padding in paddings):
        rows = tuple(row for row, padding in enumerate(paddings) if padding.unread == unread)
        out[call.index(rows)] = attend(_without(call.take(rows), unread)).to(out.dtype)
    return out


def read_keys(count: int, unread: range) -> tuple[int, ...]:
    """The positions that are left of ``count`` keys."""
    return tuple(position for position in range(count) if position not in unread)


def _without(call: AttentionCall, unread: range) -> AttentionCall:
    """The call without some of its keys; its axis is of no use any more."""
    if not unread:
        return call
    index = call.index(read_keys(call.k.shape[2], unread))
    k, v = (take_rows(x.transpose(0, 2), index).transpose(0, 2) for x in (call.k, call.v))
    bias = call.bias and LowRankBias(call.bias.left, call.bias.right.index_select(2, index))
    return replace(call, k=k, v=v, bias=bias)
