"""What stands where along the two sides of an attention layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

Kind = Literal["text", "image", "reference"]


@dataclass(frozen=True)
class Segment:
    """Consecutive tokens of one kind. grid: (h, w) of image tokens, None for text. number: which reference."""

    kind: Kind
    start: int
    stop: int
    grid: tuple[int, int] | None = None
    number: int = 0

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Axis:
    """What the tokens along one side of an attention are, in order. Tokens of no segment belong to nobody."""

    segments: tuple[Segment, ...]
    length: int

    def of(self, kind: Kind) -> tuple[Segment, ...]:
        """The segments of one kind."""
        return tuple(segment for segment in self.segments if segment.kind == kind)

    def part(self, stretch: slice) -> Axis:
        """Consecutive tokens of the axis, with the segments that lie in them whole."""
        return Axis(tuple(replace(segment, start=segment.start - stretch.start, stop=segment.stop - stretch.start)
                          for segment in self.segments
                          if stretch.start <= segment.start and segment.stop <= stretch.stop),
                    stretch.stop - stretch.start)


@dataclass(frozen=True)
class Block:
    """The part of an attention in which tokens of one kind read tokens of another."""

    queries: Segment
    keys: Segment


@dataclass(frozen=True)
class Padding:
    """What one row of a batch lacks of the longest text. own: how many text tokens are its own; unread: positions of
    keys that it must not read, for a softmax over them is another one. turn: how far its image tokens were moved along
    the first axis of positions, to stand as behind its own text."""

    own: int
    unread: range
    turn: int = 0


@cache
def image_axis(grid: tuple[int, int]) -> Axis:
    """An axis of image tokens alone, as both sides of a UNet's self-attention."""
    length = grid[0] * grid[1]
    return Axis((Segment("image", 0, length, grid),), length)


@cache
def text_axis(length: int) -> Axis:
    """An axis of text tokens alone, as the keys of a UNet's cross-attention."""
    return Axis((Segment("text", 0, length),), length)


@cache
def blocks(queries: Axis, keys: Axis, query_kind: Kind, key_kind: Kind) -> tuple[Block, ...]:
    """The blocks in which tokens of ``query_kind`` read tokens of ``key_kind``, () where the layer has none."""
    return tuple(Block(q, k) for q in queries.of(query_kind) for k in keys.of(key_kind))
