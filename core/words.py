"""How a text is cut into words, in any script. Characters are classed once, words are patterns of classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

# Scripts that put no spaces between words: a phrase may begin and end at any of their characters.
_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x30FF),
             (0x3105, 0x312F), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
             (0xFF66, 0xFF9F), (0x20000, 0x323AF))
_SELECTORS = "\ufe0e\ufe0f"  # text or picture form of the emoji before them
_UNCOMPARED = re.compile(rf"[{_SELECTORS}]|\\(?=[()])")
_JOINER = "\u200d"
_CONTRACTION = re.compile(r"(?<![^\w\s])'(?:s|t|re|ve|m|ll|d)(?![^\W\d_])", re.IGNORECASE)

# Classes: a letter, i letter of an unspaced script, m mark on a letter, d digit, e emoji, v its form or tone,
# z joiner of emoji, _ underscore, ( bracket or backslash, s other sign, C c contraction, n name.
WORDS = re.compile(r"[ai][aim]*|d|Cc*|n+|[^aidCcn ]+")
ATOMS = re.compile(r"a[am]*|im*|d|Cc*|n+|ev*(?:zev*)*|_+|\(+|[smvz]+")
VISIBLE = re.compile(r"[aidCcnemvz](?:[^ ]*[aidCcnemvz])?")
PAUSES = frozenset("_(")
SIGNS = frozenset("smvz")


@cache
def _class(char: str) -> str:
    if char.isspace():
        return " "
    if char in "()\\":
        return "("
    if char == "_":
        return "_"
    if char == _JOINER:
        return "z"
    if char in _SELECTORS or 0x1F3FB <= ord(char) <= 0x1F3FF:
        return "v"
    kind = unicodedata.category(char)
    if kind[0] == "L":
        return "i" if any(first <= ord(char) <= last for first, last in _UNSPACED) else "a"
    return {"M": "m", "N": "d"}.get(kind[0], "e" if kind == "So" else "s")


def classes(text: str, read: Iterable[tuple[int, int]], names: Iterable[tuple[int, int]] = ()) -> str:
    """The class of each character; a space where nothing was read.

    read: (start, stop) of what the encoder reads. names: stretches that are one word whatever they hold.
    """
    kinds = [_class(char) for char in text]
    for match in _CONTRACTION.finditer(text):
        kinds[match.start():match.end()] = "C" + "c" * (len(match[0]) - 1)
    for start, stop in names:
        kinds[start:stop] = "n" * (stop - start)
    seen = bytearray(len(text))
    for start, stop in read:
        seen[start:stop] = b"\1" * (stop - start)
    return "".join(kind if there else " " for kind, there in zip(kinds, seen, strict=True))


def folded(text: str) -> str:
    """A word as it is compared: lower-case, composed, without the form of an emoji and the backslash of a bracket."""
    return unicodedata.normalize("NFC", _UNCOMPARED.sub("", text).lower())
