"""Method: ConsiStory (arXiv 2402.03286), subject-driven self-attention. Written from the paper; no code copied.

K+ = own K (+) the subject's keys of the other images, V+ likewise; queries never say which keys they
may see, so the allowed keys are gathered and plain attention does the rest: no mask, nothing of size
(images x N)^2. Images that see the same others go together. Where keys carry positions, as in joint layers, they
are turned to where they belong in each image, and the subject's own pixels alone read them: after CharaConsist
(arXiv 2507.11533). Letters beside those of core: G images of a group, U conditionings in the call, K shared keys,
S subjects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F

from .call import Attend, AttentionCall, LowRankBias, take_tokens
from .rotary import cells_of
from .sequence import Axis

# Added to a logit that must not count: exp(-1000) is 0 in every precision, and 1000 sqrt(256) fits float16.
SILENCE = -1000.0


@dataclass(frozen=True, eq=False)
class Readers:
    """Which pixels of a group's images read the shared keys; all other tokens attend as if there were none.

    inside: bool [G, N]; least, most: how many of them an image has.
    """

    inside: torch.Tensor
    least: int
    most: int
    _parted: dict[Axis, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def parted(self, axis: Axis) -> tuple[torch.Tensor, torch.Tensor]:
        """(the readers [G, most], all others [G, L - least]) along an axis of L tokens.

        An image that has fewer names its last one again: what is computed twice is the same.
        """
        if axis not in self._parted:
            image, = axis.of("image")
            inside = F.pad(self.inside, (image.start, axis.length - image.stop))
            self._parted[axis] = _first(inside, self.most), _first(~inside, axis.length - self.least)
        return self._parted[axis]


def _first(wanted: torch.Tensor, most: int) -> torch.Tensor:
    """The tokens of each row of bool [G, L], in order, the last one repeated up to ``most``."""
    order = wanted.int().argsort(dim=1, descending=True, stable=True)
    places = torch.arange(most, device=wanted.device).minimum(wanted.sum(1, keepdim=True) - 1)
    return order.gather(1, places.clamp(min=0))


@dataclass(frozen=True)
class SharedKeys:
    """Images that see the same keys of others, in one model call.

    rows: U G of them, conditioning by conditioning. sources: [U, K] rows the keys lie in, positions: [K]
    pixels there; both None where the keys come from a bank. subjects: bool [K, S] and here: bool
    [G, N, S], whose keys and pixels these are, where subjects are kept apart; None where shared by all.
    readers: the pixels that read them, None for every query. places: [G, K, 2], the cell (y, x) of each image where a
    key belongs, fractions too; None where keys carry no position. gains: [G], how many of an image's pixels a key
    stands for, where the subject is larger than in the keys' own image; None for one.
    """

    rows: tuple[int, ...]
    copies: int
    sources: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    subjects: torch.Tensor | None = None
    here: torch.Tensor | None = None
    readers: Readers | None = None
    places: torch.Tensor | None = None
    gains: torch.Tensor | None = None

    def gather(self, x: torch.Tensor, start: int = 0) -> torch.Tensor:
        """The keys' entries of x [B, H or 1, N, D], for every row of the group: [U G, H, K, D].

        start: of the image along N.
        """
        assert self.sources is not None and self.positions is not None
        found = x[self.sources, :, start + self.positions].transpose(1, 2)
        return found.repeat_interleave(self.copies, 0)


# The bank's keys and values for a group, [U G, H, K, D] each.
Banked = Callable[[SharedKeys], tuple[torch.Tensor, torch.Tensor]]


def attend_shared(call: AttentionCall, attend: Attend, groups: Sequence[SharedKeys], unshared: tuple[int, ...],
                  strength: float, banked: Banked | None = None) -> torch.Tensor:
    """Self-attention of every row over its own keys and its group's shared ones: [B, H, N, D].

    unshared: rows of no group. strength w adds ln w to the shared logits. Where only some pixels read shared keys,
    they and the others are two calls of disjoint queries.
    """
    out = torch.empty_like(call.v)
    if unshared:
        out[call.index(unshared)] = attend(call.take(unshared))
    for group in groups:
        keys, values = _kept(call, group) if banked is None else banked(group)
        picked, index = call.take(group.rows), call.index(group.rows)
        if group.readers is None:
            out[index] = attend(_longer(call, picked, group, keys, values, strength))
            continue
        readers, others = (of.repeat(len(group.rows) // group.copies, 1) for of in group.readers.parted(call.queries))
        out[index[:, None], :, others] = attend(picked.asking(others)).transpose(1, 2)
        shared = _longer(call, picked.asking(readers), group, keys, values, strength)
        out[index[:, None], :, readers] = attend(shared).transpose(1, 2)
    return out


def _kept(call: AttentionCall, group: SharedKeys) -> tuple[torch.Tensor, torch.Tensor]:
    """The group's shared keys, where they belong in each image, and values: [U G, H, K, D] each."""
    image, = call.keys.of("image")
    keys, values = (group.gather(x, image.start) for x in (call.k, call.v))
    if call.rotary is None or group.places is None or group.positions is None or group.sources is None:
        return keys, values
    width = call.grid[1]
    cells = torch.stack((group.positions // width, group.positions % width), -1)
    delta = call.rotary.moved(group.places - cells).repeat(len(group.sources), 1, 1)
    if call.padding is not None:
        turned = _turned(call)
        there = turned[call.index(group.rows)][:, None]
        delta[..., 0] += there - turned[group.sources].repeat_interleave(group.copies, 0)
    return call.rotary.turn(keys, delta), values


def without_positions(call: AttentionCall) -> torch.Tensor:
    """The keys of a call's image tokens as they are before they are turned: [B, H, N, D]."""
    image, = call.keys.of("image")
    keys = call.k[:, :, image.slice]
    if call.rotary is None:
        return keys
    stand = call.rotary.positions(cells_of(call.grid, keys.device)).repeat(len(keys), 1, 1)
    stand[..., 0] += _turned(call)[:, None]
    return call.rotary.turn(keys, -stand)


def at_places(call: AttentionCall, group: SharedKeys, keys: torch.Tensor) -> torch.Tensor:
    """Keys without positions, [U G, H, K, D], turned to where they belong in each image of a group."""
    if call.rotary is None or group.places is None:
        return keys
    stand = call.rotary.positions(group.places).repeat(len(group.rows) // group.copies, 1, 1)
    stand[..., 0] += _turned(call)[call.index(group.rows)][:, None]
    return call.rotary.turn(keys, stand)


def _turned(call: AttentionCall) -> torch.Tensor:
    """How far the image of each row stands along the first axis of positions, against the longest text's: [B]."""
    turns = tuple(padding.turn for padding in call.padding) if call.padding else (0,) * len(call.q)
    device = call.q.device
    return call.scratch.once(("turned", turns, device), lambda: torch.tensor(turns, device=device).float())


def _longer(call: AttentionCall, picked: AttentionCall, group: SharedKeys, keys: torch.Tensor, values: torch.Tensor,
            strength: float) -> AttentionCall:
    """A group's rows with the shared keys behind their own; an observer counts none of these."""
    shared = keys.shape[2]
    return replace(picked, k=torch.cat((picked.k, keys.to(call.k.dtype)), 2),
                   v=torch.cat((picked.v, values.to(call.v.dtype)), 2),
                   keys=replace(call.keys, length=call.keys.length + shared),
                   probe=None if picked.probe is None else F.pad(picked.probe, (0, 0, 0, shared)),
                   bias=_bias(call, picked, group, shared, strength))


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
            image, = call.keys.of("image")
            more = group.gather(call.bias.right.expand(len(call.q), -1, -1, -1), image.start)
        right = right.expand(len(more), -1, -1, -1)
        parts = LowRankBias(picked.bias.left, torch.cat((right, more.expand(-1, right.shape[1], -1, -1)), 2))
    own = _own_bias(picked, group, shared, strength)
    return parts if own is None else own + parts


def _own_bias(picked: AttentionCall, group: SharedKeys, shared: int, strength: float) -> LowRankBias | None:
    """ln (w gain) on the shared keys; where subjects are kept apart, silence for those of another subject."""
    if group.subjects is None and group.gains is None and strength == 1.0:
        return None
    rows, heads, queries, _ = picked.q.shape
    wide = torch.promote_types(picked.q.dtype, torch.float32)
    gain = torch.full((1, 1, 1), math.log(strength), device=picked.q.device, dtype=wide)
    if group.gains is not None:
        gain = gain + group.gains.to(wide).log()[:, None, None]
    if group.subjects is None or group.here is None:
        left = gain.repeat(rows // len(gain), 1, 1)[:, None]
        members = torch.ones(shared, 1, device=picked.q.device, dtype=wide)
    else:
        left = torch.where(group.here, gain, torch.full((), SILENCE, device=picked.q.device, dtype=wide))
        left = left.repeat(rows // len(left), 1, 1)[:, None]
        if picked.asked is not None:
            image, = picked.queries.of("image")
            left = take_tokens(left, picked.asked - image.start)
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
