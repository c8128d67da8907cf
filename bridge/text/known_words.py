"""Models that know few words say so: their text encoder carries the words as an attachment."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ...core.text import PromptTag, spoken
from ..errors import DirectorError

KNOWN_WORDS = "attention_director_known_words"

# Words that captions use between the things they name.
GRAMMAR = frozenset(("a", "an", "and", "of", "on", "with", "next", "to", "the", "in", "at", "picture", "drawing",
                     "photo", "image", "background"))


@dataclass(frozen=True)
class KnownWords:
    """All the words a model knows, and a phrase made of some."""

    words: frozenset[str]
    example: str

log = logging.getLogger("attention_director")


def known_words_of(clip: Any) -> KnownWords | None:
    """The words of a model that knows few, None for all others."""
    attachment = getattr(getattr(clip, "patcher", None), "get_attachment", None)
    return attachment(KNOWN_WORDS) if attachment else None


def check_known_words(clip: Any, tag: PromptTag, node: str) -> None:
    """Refuse a prompt of only unknown words, name single ones in the log. Nothing for a clip without a list."""
    known = known_words_of(clip)
    if known is None:
        return
    words = [w.text for row in tag.rows for w in spoken(row.words()) if any(c.isalpha() for c in w.text)]
    unknown = sorted(set(words) - known.words - GRAMMAR)
    if words and not known.words.intersection(words):
        raise DirectorError(node, f'the demo model knows none of these words; use words such as "{known.example}" or '
                                  "load a checkpoint of your own.")
    if unknown:
        log.warning("%s: the demo model does not know %s.", node, ", ".join(f'"{w}"' for w in unknown))
