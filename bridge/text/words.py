"""Phrases typed at a node that has no text encoder."""

from __future__ import annotations

from ...core.text import Phrase, TextLayout, split_occurrence
from .as_read import as_read


def phrase_without_clip(text: str) -> Phrase:
    """A phrase ("red hat", "cat#2", "(red hat:1.2)") whose words are found as those of a tokenised prompt are."""
    wanted, occurrence = split_occurrence(text)
    parts = as_read(wanted)
    names = tuple((part.start, part.stop) for part in parts if part.name)
    return Phrase(text.strip(), TextLayout(wanted, tuple((part.start, part.stop) for part in parts), names), occurrence)
