"""Everything a method may see of one call of one attention layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch

from .network import LayerAddress
from .range_rule import RangeRule
from .rotary import Rotary
from .sequence import Axis, Block, Kind, Padding, Segment, blocks
from .text import PromptTag

State = TypeVar("State")


@dataclass(frozen=True)
class RowSpan:
    """Consecutive rows of a model call that belong to one conditioning.

    start, stop: half-open range of rows. Row ``start + i`` is image ``first + i`` of the batch and
    reads prompt ``image mod P`` of the tag. tag: the words of the conditioning, None where it is not ours
    (the negative, another pack's conditioning).
    """

    start: int
    stop: int
    tag: PromptTag | None
    first: int = 0

    @property
    def images(self) -> range:
        """The number in the batch of each row's image."""
        return range(self.first, self.first + self.count)

    @property
    def count(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Step:
    """Where in the run a model call is. sigma: noise level; progress: 0 (noisiest) .. 1."""

    sigma: float
    progress: float


@dataclass
class Scratch:
    """What the methods of one sampling run remember. Born and buried with the run.

    recording: somebody will look at this run afterwards, so keep what can be shown.
    values: what ``of`` and ``once`` made.
    """

    recording: bool = False
    values: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value kept under ``key``, made on first use."""
        if key not in self.values:
            self.values[key] = make()
        return self.values[key]

    def once_of(self, label: Hashable, objects: tuple[object, ...], make: Callable[[], State]) -> State:
        """The same for a label and some objects, which are told apart by identity: hashing what they hold takes time
        in every layer. They are kept, so that no other object comes by their number."""
        key = (label, *map(id, objects))
        if key not in self.values:
            self.values[key] = objects, make()
        return self.values[key][1]

    def of(self, key: str, make: Callable[[], State]) -> State:
        """The state of one method in this run. key: the method's; make: the state's class."""
        return self.once((key, make), make)

    def has(self, key: str, make: Callable[[], State]) -> State | None:
        """The same where the method has made it, None before."""
        return self.values.get((key, make))

    def snapshot(self) -> dict[Hashable, Any]:
        """What is remembered now, to compute something again from; tensors are shared, not copied."""
        return _snapshot(self.values)


def _snapshot(value: Any) -> Any:
    """A copy of dicts, lists, sets and states down to what methods replace, and do not change, when they write."""
    if type(value) is dict:
        return {key: _snapshot(held) for key, held in value.items()}
    if type(value) in (list, set):
        return type(value)(map(_snapshot, value))
    state: Any = getattr(type(value), "__dataclass_params__", None)
    if state is None or state.frozen:
        return value
    made = copy(value)
    for name, held in vars(value).items():
        setattr(made, name, _snapshot(held))
    return made


@dataclass(frozen=True)
class LowRankBias:
    """An additive bias on the logits as a product of columns: bias[i, j] = sum_c left[i, c] right[j, c].

    left: [B, H, Nq, C]; right: [B or 1, H or 1, Nk, C].
    """

    left: torch.Tensor
    right: torch.Tensor

    def __add__(self, other: LowRankBias | None) -> LowRankBias:
        if other is None:
            return self
        rows, heads = self.left.shape[:2]
        rights = [b.right.expand(rows, heads, -1, -1) for b in (self, other)]
        return LowRankBias(torch.cat((self.left, other.left), -1), torch.cat(rights, -1))

    def rows(self, rows: slice) -> LowRankBias:
        """The bias of consecutive rows."""
        return LowRankBias(self.left[rows], self.right if self.right.shape[0] == 1 else self.right[rows])

    def of(self, block: Block) -> LowRankBias:
        """The bias on one block of the layer."""
        return LowRankBias(self.left[:, :, block.queries.slice], self.right[:, :, block.keys.slice])

    def take(self, index: torch.Tensor) -> LowRankBias:
        """The bias of some rows. index: long [n]."""
        right = self.right if self.right.shape[0] == 1 else self.right.index_select(0, index)
        return LowRankBias(self.left.index_select(0, index), right)


@dataclass(frozen=True)
class AttentionCall:
    """One call of one attention layer.

    q: [B, H, Nq, D]; k, v: [B, H, Nk, D]. softmax scale is D ** -0.5 for the D of q.
    queries, keys: what stands where along Nq and Nk. latent_grid: (h, w) of the whole latent. bias: added to
    the logits. probe: [B, 1, Nk, C] in float32, which keys an observer counts, None where nobody looks; it rides
    beside v, so a method that mixes the values of keys mixes the probe alike.
    residual: what another pack's patch (IPAdapter) adds to the output of each row, [B, H, Nq, D], found when it is
    asked for; None for nothing. A method that attends to a row in parts leaves it to one of them.
    padding: of each row where their texts are of unequal length, None where they are not; the innermost attention
    leaves out what a row does not read. rotary: how q and k of image tokens are turned by their positions, None where
    they carry none. asked: [B, Nq], which tokens along ``queries`` q holds, one perhaps more than once; None for all
    of them in order. readers: who reads what the rows give, None where they do themselves; a method that lets one row
    look for another says so, and an observer counts for these.
    rules: what else is done to the logits, of which only the innermost attention and the method just before it know;
    to all others it is part of the bias.
    """

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    layer: LayerAddress
    queries: Axis
    keys: Axis
    latent_grid: tuple[int, int]
    rows: tuple[RowSpan, ...]
    step: Step
    scratch: Scratch
    bias: LowRankBias | None = None
    probe: torch.Tensor | None = None
    residual: Callable[[], torch.Tensor] | None = None
    padding: tuple[Padding, ...] | None = None
    rotary: Rotary | None = None
    readers: tuple[RowSpan, ...] | None = None
    asked: torch.Tensor | None = None
    rules: tuple[RangeRule, ...] = ()

    @property
    def read_by(self) -> tuple[RowSpan, ...]:
        """Whose the outputs of the rows are."""
        return self.rows if self.readers is None else self.readers

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the image tokens among the queries."""
        grid = self.queries.of("image")[0].grid
        assert grid is not None
        return grid

    @property
    def row_ids(self) -> tuple[Hashable, ...]:
        """Which image and prompt each row is: equal for calls whose rows are the same."""
        return ids_of(self.rows)

    def blocks(self, queries: Kind, keys: Kind) -> tuple[Block, ...]:
        """The blocks of this call in which tokens of kind ``queries`` read tokens of kind ``keys``."""
        return blocks(self.queries, self.keys, queries, keys)

    def block_of(self, row: int, block: Block) -> Block:
        """A block of this call as far as it is one row's own: without the padding of its text."""
        if self.padding is None:
            return block
        own = self.padding[row].own

        def cut(segment: Segment) -> Segment:
            return replace(segment, stop=segment.start + own) if segment.kind == "text" else segment

        return Block(cut(block.queries), cut(block.keys))

    def take(self, rows: tuple[int, ...]) -> AttentionCall:
        """The call of some of its rows, in this order; a row may come more than once.

        What methods further in do for a row follows its words and its image, as before.
        """
        return self.taking(rows, *(self.rows_of(x, rows) for x in (self.q, self.k, self.v)))

    def looking_as(self, rows: tuple[int, ...], v: torch.Tensor, probe: torch.Tensor | None) -> AttentionCall:
        """The call in which each row looks as another one does, with q and k of that; what it reads stays its own."""
        q, k = (self.rows_of(x, rows) for x in (self.q, self.k))
        return replace(self.taking(rows, q, k, v), probe=probe, residual=self.residual, readers=self.read_by)

    def rows_of(self, x: torch.Tensor, rows: tuple[int, ...]) -> torch.Tensor:
        """Some rows of [B, H, N, D], without a copy where they lie evenly."""
        step = rows[1] - rows[0] if len(rows) > 1 else 1
        even = range(rows[0], rows[-1] + 1, step) if rows and step > 0 else range(0)
        return x[even.start:even.stop:step] if rows and list(rows) == list(even) else take_rows(x, self.index(rows))

    def taking(self, rows: tuple[int, ...], q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> AttentionCall:
        """The same where their q, k and v are at hand."""
        index, residual = self.index(rows), self.residual

        def spans(of: tuple[RowSpan, ...]) -> tuple[RowSpan, ...]:
            return self.scratch.once_of(("spans", rows), (of,), lambda: take_spans(of, rows))

        return replace(self, q=q, k=k, v=v, rows=spans(self.rows), readers=self.readers and spans(self.readers),
                       probe=None if self.probe is None else self.probe.index_select(0, index),
                       bias=self.bias.take(index) if self.bias else None,
                       padding=self.padding and tuple(self.padding[row] for row in rows),
                       asked=None if self.asked is None else self.asked.index_select(0, index),
                       residual=residual and (lambda: take_rows(residual(), index)))

    def of_queries(self, stretch: slice) -> AttentionCall:
        """The call of consecutive queries, such as a segment's."""
        residual = self.residual
        return replace(self, q=self.q[:, :, stretch], queries=self.queries.part(stretch),
                       bias=self.bias and LowRankBias(self.bias.left[:, :, stretch], self.bias.right),
                       residual=residual and (lambda: residual()[:, :, stretch]))

    def asking(self, queries: torch.Tensor) -> AttentionCall:
        """The call of some of its queries alone, [B, n]: for each row the tokens that ask, all keys as they are."""
        bias = self.bias and LowRankBias(take_tokens(self.bias.left, queries), self.bias.right)
        return replace(self, q=take_tokens(self.q, queries), bias=bias, asked=queries)

    def index(self, rows: tuple[int, ...]) -> torch.Tensor:
        """Row numbers on the call's device, moved there once a run."""
        device = self.q.device
        return self.scratch.once(("rows", rows, device), lambda: torch.tensor(rows, device=device))


def ids_of(rows: Sequence[RowSpan]) -> tuple[Hashable, ...]:
    """Which image and prompt each row is, quick to compare and to look up."""
    return tuple((s.start, s.stop, s.first, id(s.tag)) for s in rows)


def take_rows(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows of [B, H, N, D], laid out in memory as the host's [B, N, H, D], so that joining heads costs nothing."""
    return x.transpose(1, 2).index_select(0, index).transpose(1, 2)


def take_tokens(x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Of each row of x [B, H, N, D] the tokens [B, n]: [B, H, n, D]."""
    return x.gather(2, tokens[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))


def take_spans(spans: Sequence[RowSpan], rows: Sequence[int]) -> tuple[RowSpan, ...]:
    """Who the rows of ``take`` are; neighbours of one conditioning stay one span."""
    taken: list[RowSpan] = []
    for at, row in enumerate(rows):
        span = next(s for s in spans if s.start <= row < s.stop)
        image = span.first + row - span.start
        last = taken[-1] if taken else None
        if last is not None and last.tag is span.tag and last.images.stop == image:
            taken[-1] = replace(last, stop=at + 1)
        else:
            taken.append(RowSpan(at, at + 1, span.tag, image))
    return tuple(taken)


Attend = Callable[[AttentionCall], torch.Tensor]
