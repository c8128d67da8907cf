"""What a tokenizer puts around every text: begin, end, a chat template, padding. Found by giving it two texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

_ONE, _OTHER, _WEIGHTED = "x", "7", "(x:2)"


@dataclass(frozen=True)
class Frame:
    """head, tail: the tokens before and behind a short text, without padding at the ends of all.

    literal: ComfyUI's weights are not read for this encoder, so their brackets and numbers are text.
    """

    head: tuple[Any, ...]
    tail: tuple[Any, ...]
    literal: bool

    def place(self, tokens: Sequence[Any], tokenizer: Any) -> range:
        """Where the text's own tokens stand. A text that joins a token of the template has that token."""
        inside = _unpadded(tokens, tokenizer)
        start = inside.start + _shared(tokens[inside.start:inside.stop], self.head)
        behind = _shared(tokens[start:inside.stop][::-1], self.tail[::-1])
        return range(start, inside.stop - behind)

    def left_out(self, place: range, tokens: Sequence[Any], tokenizer: Any) -> bool:
        """True where the host gave this text no template, because it brings one of its own."""
        return place.start - _unpadded(tokens, tokenizer).start < len(self.head) - 1


def frame_of(clip: Any, name: str, tokenizer: Any) -> Frame:
    """What two texts of unlike letters have in common. name: of the encoder among the clip's tokens."""
    one, other, weighted = (_inside(clip, text, name, tokenizer) for text in (_ONE, _OTHER, _WEIGHTED))
    tail = _shared(one[::-1], other[::-1])
    return Frame(tuple(one[:_shared(one, other)]), tuple(one[len(one) - tail:]), one != weighted)


def _inside(clip: Any, text: str, name: str, tokenizer: Any) -> list[Any]:
    tokens = [token for chunk in clip.tokenize(text)[name] for token, *_ in chunk]
    inside = _unpadded(tokens, tokenizer)
    return tokens[inside.start:inside.stop]


def _unpadded(tokens: Sequence[Any], tokenizer: Any) -> range:
    padding = [tokenizer.pad_token] * len(tokens)
    before = _shared(tokens, padding) if tokenizer.pad_left else 0
    return range(before, len(tokens) - _shared(tokens[before:][::-1], padding))


def _shared(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many tokens two lists begin with alike; an embedding's vector is like no other."""
    alike = takewhile(lambda pair: all(isinstance(token, int) for token in pair) and pair[0] == pair[1],
                      zip(a, b, strict=False))
    return sum(1 for _ in alike)
