"""Phrases typed at a node that has no text encoder: spelled as CLIP's tokenizer spells words."""

from __future__ import annotations

import re

from comfy.sd1_clip import escape_important, token_weights, unescape_important

from ...core.text import WORD_END, Phrase, TokenLayout, split_occurrence

# CLIP takes a text apart at these before it looks for pieces (arXiv 2103.00020, its byte pair encoding).
_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)|[^\W\d_]+|\d|(?:[^\s\w]|_)+", re.IGNORECASE)


def _byte_letters() -> dict[int, str]:
    """The letter that stands for each byte: itself where it prints, one past 255 where it does not."""
    prints = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in prints]
    return {**{byte: chr(byte) for byte in prints}, **{byte: chr(256 + n) for n, byte in enumerate(hidden)}}


_LETTERS = _byte_letters()


def phrase_of(text: str) -> Phrase:
    """A phrase ("red hat", "cat#2", "(red hat:1.2)") whose words are found as those of a tokenised prompt are."""
    wanted, occurrence = split_occurrence(text)
    plain = "".join(unescape_important(part) for part, _ in token_weights(escape_important(wanted), 1.0))
    words = ("".join(_LETTERS[byte] for byte in word.encode()) for word in _WORDS.findall(plain.lower()))
    return Phrase(text.strip(), TokenLayout(wanted, tuple(word + WORD_END for word in words)), occurrence)
