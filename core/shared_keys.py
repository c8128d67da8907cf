"""Method: ConsiStory (arXiv 2402.03286), subject-driven self-attention. Written from the paper; no code copied.

K+ = own K (+) the subject's keys of the other images, V+ likewise; queries never say which keys they
may see, so the allowed keys are gathered and plain attention does the rest: no mask, nothing of size
(images x N)^2. Images that see the same others go together. Letters beside those of core: G images of
a group, U conditionings in the call, K shared keys, S subjects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from .call import Attend, AttentionCall, LowRankBias

# Added to a logit that must not count: exp(-1000) is 0 in every precision, and 1000 sqrt(256) fits float16.
SILENCE = -1000.0


@dataclass(frozen=True)
class SharedKeys:
    """Images that see the same keys of others, in one model call.

    rows: U G of them, conditioning by conditioning. sources: [U, K] rows the keys lie in, positions: [K]
    pixels there; both None where the keys come from a bank. subjects: bool [K, S] and here: bool
    [G, N, S], whose keys and pixels these are, where subjects are kept apart; None where shared by all.
    """

    rows: tuple[int, ...]
    copies: int
    sources: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    subjects: torch.Tensor | None = None
    here: torch.Tensor | None = None

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """The keys' entries of x [B, H or 1, N, D], for every row of the group: [U G, H, K, D]."""
        assert self.sources is not None and self.positions is not None
        found = x[self.sources, :, self.positions].transpose(1, 2)
        return found.repeat_interleave(self.copies, 0)


# The bank's keys and values for a group, [U G, H, K, D] each.
Banked = Callable[[SharedKeys], tuple[torch.Tensor, torch.Tensor]]


def attend_shared(call: AttentionCall, attend: Attend, groups: Sequence[SharedKeys], unshared: tuple[int, ...],
                  strength: float, banked: Banked | None = None) -> torch.Tensor:
    """Self-attention of every row over its own keys and its group's shared ones: [B, H, N, D].

    unshared: rows of no group. strength w adds ln w to the shared logits.
    """
    out = torch.empty_like(call.v)
    if unshared:
        out[call.index(unshared)] = attend(call.take(unshared))
    for group in groups:
        if banked is None:
            keys, values = group.gather(call.k), group.gather(call.v)
        else:
            keys, values = banked(group)
        picked = call.take(group.rows)
        longer = replace(picked, k=torch.cat((picked.k, keys.to(call.k.dtype)), 2),
                         v=torch.cat((picked.v, values.to(call.v.dtype)), 2),
                         keys=replace(call.keys, length=call.keys.length + keys.shape[2]))
        out[call.index(group.rows)] = attend(replace(longer, bias=_bias(call, picked, group, keys.shape[2], strength)))
    return out


def blend_queries(q: torch.Tensor, plain: torch.Tensor, share: float) -> torch.Tensor:
    """q <- share q_plain + (1 - share) q: the layout of an image generated alone (section 3.2, query blending)."""
    return torch.lerp(q, plain, share)


def _bias(call: AttentionCall, picked: AttentionCall, group: SharedKeys, shared: int,
          strength: float) -> LowRankBias | None:
    """What other methods add to the own keys, carried over to the shared ones, and our own part.

    A shared key keeps the bias columns of its pixel in its own image: right where all images have one
    layout. Keys from a bank have none.
    """
    parts: LowRankBias | None = None
    if picked.bias is not None and call.bias is not None:
        right = picked.bias.right
        if group.sources is None:
            more = right.new_zeros(*right.shape[:2], shared, right.shape[3])
        else:
            more = group.gather(call.bias.right.expand(len(call.q), -1, -1, -1))
        right = right.expand(len(more), -1, -1, -1)
        parts = LowRankBias(picked.bias.left, torch.cat((right, more.expand(-1, right.shape[1], -1, -1)), 2))
    own = _own_bias(picked, group, shared, strength)
    return parts if own is None else own + parts


def _own_bias(picked: AttentionCall, group: SharedKeys, shared: int, strength: float) -> LowRankBias | None:
    """ln w on the shared keys; where subjects are kept apart, silence for those of another subject."""
    if group.subjects is None and strength == 1.0:
        return None
    rows, heads, queries, _ = picked.q.shape
    wide = torch.promote_types(picked.q.dtype, torch.float32)
    gain = math.log(strength)
    if group.subjects is None or group.here is None:
        left = torch.full((1, 1, 1, 1), gain, device=picked.q.device, dtype=wide)
        members = torch.ones(shared, 1, device=picked.q.device, dtype=wide)
    else:
        loud, silent = (torch.full((), x, device=picked.q.device, dtype=wide) for x in (gain, SILENCE))
        left = torch.where(group.here, loud, silent)
        left = left.repeat(rows // len(left), 1, 1)[:, None]
        members = group.subjects.to(wide)
    right = torch.cat((members.new_zeros(picked.k.shape[2], members.shape[1]), members))
    return LowRankBias(left.expand(rows, heads, queries, -1), right[None, None])


def match_statistics(keys: torch.Tensor, own: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Keys of photographs with the mean and spread of the generated subject's own keys, channel by channel (AdaIN).

    keys: [B, H, K, D]; own: [B, H, N, D]; inside: bool [B, N], where the generated subject is. The paper's
    appendix matches keys of inverted pictures so; a subject of no pixel leaves them as they are.
    """
    wide = torch.promote_types(keys.dtype, torch.float32)
    share = inside[:, None, :, None].to(wide)
    count = share.sum(2, keepdim=True)
    mean = (own.to(wide) * share).sum(2, keepdim=True) / count.clamp(min=1)
    spread = (((own.to(wide) - mean).square() * share).sum(2, keepdim=True) / count.clamp(min=1)).sqrt()
    theirs = keys.to(wide)
    middle = theirs.mean(2, keepdim=True)
    deviation = (theirs - middle).square().mean(2, keepdim=True).sqrt().clamp(min=1e-6)
    return torch.where(count > 0, (theirs - middle) / deviation * spread + mean, theirs).to(keys.dtype)
