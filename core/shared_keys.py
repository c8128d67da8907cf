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
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
import torch.nn.functional as F

from .call import Attend, AttentionCall, LowRankBias, take_tokens
from .readers import Readers
from .rotary import Rotary, cells_of

# Added to a logit that must not count: exp(-1000) is 0 in every precision, and 1000 sqrt(256) fits float16.
SILENCE = -1000.0

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
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
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False)

    def to(self, device: torch.device) -> SharedKeys:
        """The group, made on the CPU, for layers on a device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        readers = self.readers and replace(self.readers, inside=self.readers.inside.to(device))
        return replace(self, **moved, readers=readers)

    @property
    def calls(self) -> int:
        """U."""
        return len(self.rows) // self.copies

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What is one for all layers of the group's grid, made in the first of them."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def gather(self, x: torch.Tensor, start: int = 0, own: bool = False) -> torch.Tensor:
        """The keys' entries of x [B, H or 1, N, D], for every row of the group: [U G, H, K, D].

        start: of the image along N. own: each row's own N first, [U G, H, N + K, D].
        """
        rows, tokens = self.once(("tokens", x.shape[2], start, own, x.device),
                                 lambda: self._tokens(x.shape[2], start, own, x.device))
        return x[rows, :, tokens].transpose(1, 2)

    def _tokens(self, count: int, start: int, own: bool, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and tokens along them: [U G, K] or [U G, N + K] each."""
        assert self.sources is not None and self.positions is not None
        rows = self.sources[:, None].expand(-1, self.copies, -1).flatten(0, 1)
        tokens = (start + self.positions).expand_as(rows)
        if own:
            every, theirs = torch.arange(count, device=device), torch.tensor(self.rows, device=device)
            rows = torch.cat((theirs[:, None].expand(-1, count), rows), 1)
            tokens = torch.cat((every.expand(len(rows), -1), tokens), 1)
        return rows, tokens

    def of_rows(self, x: torch.Tensor) -> torch.Tensor:
        """The group's rows of x [B, ...]: [U, G, ...], without a copy where they lie evenly."""
        first, last = self.rows[0], self.rows[-1]
        step = self.rows[self.copies] - first if self.calls > 1 else self.copies
        if list(self.rows) == [first + u * step + g for u in range(self.calls) for g in range(self.copies)]:
            return x[first:last + 1].unfold(0, self.copies, step).movedim(-1, 1)
        return x.index_select(0, self.index(x.device)).unflatten(0, (-1, self.copies))

    def for_each(self, x: torch.Tensor) -> torch.Tensor:
        """[U or U G, ...] of a call's conditionings, or of their images too: [U, G, ...]."""
        each = x.unflatten(0, (self.calls, -1))
        return each.expand(-1, self.copies, *each.shape[2:])

    def index(self, device: torch.device) -> torch.Tensor:
        """The rows as numbers on a device."""
        return self.once(("rows", device), lambda: torch.tensor(self.rows, device=device))


# The bank's keys and values for a group, [U, H, K, D] where all its images read the same, else [U G, H, K, D].
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
        keys, values = _longer(call, group, banked)
        q = group.of_rows(call.q).flatten(0, 1)
        if group.readers is None:
            found = attend(_shared(call, group, q, keys, values, strength))
            if group.rows == tuple(range(len(out))):
                return found
            out[group.index(out.device)] = found
            continue
        own = call.taking(group.rows, q, *(group.of_rows(x).flatten(0, 1) for x in (call.k, call.v)))
        rows, readers, others = group.once(("parted", call.queries), lambda of=group: _parted(call, of))
        out[rows, :, others] = attend(own.asking(others)).transpose(1, 2)
        out[rows, :, readers] = attend(_shared(call, group, q, keys, values, strength, readers)).transpose(1, 2)
    return out


def _parted(call: AttentionCall, group: SharedKeys) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(rows [U G, 1], those of their tokens that read shared keys, all others)."""
    assert group.readers is not None
    readers, others = (of.repeat(group.calls, 1) for of in group.readers.parted(call.queries))
    return group.index(readers.device)[:, None], readers, others


def _longer(call: AttentionCall, group: SharedKeys, banked: Banked | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of the group's rows with the shared ones behind their own: [U G, H, N + K, D] each."""
    if banked is not None:
        keys, values = banked(group)
        return _joined(call.k, group, keys), _joined(call.v, group, values)
    image, = call.keys.of("image")
    values = group.gather(call.v, image.start, own=True)
    if call.rotary is None or group.places is None:
        return group.gather(call.k, image.start, own=True), values
    rotary = call.rotary
    phases = group.once(("moved", rotary, call.padding, call.k.dtype), lambda: _moved(call, group, rotary))
    return _joined(call.k, group, rotary.turned(group.gather(call.k, image.start), *phases)), values


def _joined(own: torch.Tensor, group: SharedKeys, more: torch.Tensor) -> torch.Tensor:
    """The group's rows of [B, H, N, D] with [U or U G, H, K, D] behind them."""
    theirs = group.for_each(more.to(own.dtype))
    both = tuple(x.transpose(2, 3) for x in (group.of_rows(own), theirs))  # in memory as the host's own
    return torch.cat(both, 2).flatten(0, 1).transpose(1, 2)


def _moved(call: AttentionCall, group: SharedKeys, rotary: Rotary) -> tuple[torch.Tensor, torch.Tensor]:
    """What turns shared keys to where they belong in each image: [U G, 1, K, D] each."""
    assert group.sources is not None and group.positions is not None and group.places is not None
    width = call.grid[1]
    cells = torch.stack((group.positions // width, group.positions % width), -1)
    delta = rotary.moved(group.places - cells).repeat(group.calls, 1, 1)
    if call.padding is not None:
        turned = _turned(call)
        there = turned[call.index(group.rows)][:, None]
        delta[..., 0] += there - turned[group.sources][:, None].expand(-1, group.copies, -1).flatten(0, 1)
    own, other = rotary.phases(delta, call.k.dtype)
    return own[:, None], other[:, None]


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
    """Keys without positions, [U or U G, H, K, D], turned to where they belong in each image: [U G, H, K, D]."""
    if call.rotary is None or group.places is None:
        return keys
    rotary, places = call.rotary, group.places

    def standing() -> tuple[torch.Tensor, ...]:
        stand = rotary.positions(places).repeat(group.calls, 1, 1)
        stand[..., 0] += _turned(call)[call.index(group.rows)][:, None]
        return tuple(phase.unflatten(0, (group.calls, -1))[:, :, None] for phase in rotary.phases(stand, keys.dtype))

    phases = group.once(("standing", rotary, call.padding, keys.dtype), standing)
    return rotary.turned(keys.unflatten(0, (group.calls, -1)), *phases).flatten(0, 1)


def _turned(call: AttentionCall) -> torch.Tensor:
    """How far the image of each row stands along the first axis of positions, against the longest text's: [B]."""
    turns = tuple(padding.turn for padding in call.padding) if call.padding else (0,) * len(call.q)
    device = call.q.device
    return call.scratch.once(("turned", turns, device), lambda: torch.tensor(turns, device=device).float())


def blend_queries(q: torch.Tensor, plain: torch.Tensor, share: float) -> torch.Tensor:
    """q <- share q_plain + (1 - share) q: the layout of an image generated alone (section 3.2, query blending)."""
    return torch.lerp(q, plain, share)


def _shared(call: AttentionCall, group: SharedKeys, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor,
            strength: float, readers: torch.Tensor | None = None) -> AttentionCall:
    """A group's rows, or those of their queries that read shared keys; an observer counts none of these keys."""
    shared = keys.shape[2] - call.k.shape[2]
    picked = call.taking(group.rows, q, keys, values)
    picked = picked if readers is None else picked.asking(readers)
    return replace(picked, keys=replace(call.keys, length=call.keys.length + shared),
                   probe=None if picked.probe is None else F.pad(picked.probe, (0, 0, 0, shared)),
                   bias=_bias(call, picked, group, shared, strength))


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
    if group.subjects is None and group.gains is None and strength == 1.0:
        return parts
    made = group.once(("bias", picked.queries, picked.keys, picked.q.dtype, strength),
                      lambda: _own_bias(picked, group, shared, strength))
    return LowRankBias(made.left.expand(-1, picked.q.shape[1], -1, -1), made.right) + parts


def _own_bias(picked: AttentionCall, group: SharedKeys, shared: int, strength: float) -> LowRankBias:
    """ln (w gain) on the shared keys; where subjects are kept apart, silence for those of another subject."""
    rows, _, queries, _ = picked.q.shape
    device, wide = picked.q.device, torch.promote_types(picked.q.dtype, torch.float32)
    gain = torch.full((1, 1, 1), math.log(strength), device=device, dtype=wide)
    if group.gains is not None:
        gain = gain + group.gains.to(wide).log()[:, None, None]
    if group.subjects is None or group.here is None:
        left = gain.repeat(rows // len(gain), 1, 1)[:, None]
        members = torch.ones(shared, 1, device=device, dtype=wide)
    else:
        left = torch.where(group.here, gain, torch.full((), SILENCE, device=device, dtype=wide))
        left = left.repeat(rows // len(left), 1, 1)[:, None]
        if picked.asked is not None:
            image, = picked.queries.of("image")
            left = take_tokens(left, picked.asked - image.start)
        members = group.subjects.to(wide)
    own = picked.k.shape[2] - shared
    right = torch.cat((members.new_zeros(own, members.shape[1]), members))
    return LowRankBias(left.expand(-1, -1, queries, -1), right[None, None])
