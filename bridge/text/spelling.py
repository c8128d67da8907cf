"""How tokenizers spell text: a token's piece and a part of the typed text as the same symbols, mostly bytes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from .as_read import Part

NAME = "an embedding"  # stands for a name among bytes
UNKNOWN = "unknown"  # stands for what a vocabulary has no piece for
SPACE = "space"  # stands for spaces where a vocabulary marks the beginning of a word by one
SPACES: frozenset[Hashable] = frozenset(b" \t\n\r\v\f")


class Spelling(Protocol):
    """One kind of tokenizer. Spaces are of no symbol where tokenizers drop, join and invent them."""

    def symbols(self, part: Part) -> list[Hashable]:
        """What the tokenizer reads of a part of the typed text that is not an embedding's name."""
        ...

    def piece(self, token: int) -> list[Hashable]:
        """What a token of its vocabulary spells."""
        ...


def byte_letters() -> dict[int, str]:
    """The letter that stands for each byte: itself where it prints, one past 255 where it does not (GPT-2)."""
    prints = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in prints]
    return {**{byte: chr(byte) for byte in prints}, **{byte: chr(256 + n) for n, byte in enumerate(hidden)}}


BYTES: dict[str, Hashable] = {letter: byte for byte, letter in byte_letters().items()}


def bytes_of(text: str) -> list[Hashable]:
    """UTF-8 without spaces; half of a surrogate pair is a question mark."""
    return [byte for byte in text.encode(errors="replace") if byte not in SPACES]
