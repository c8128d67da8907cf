"""Models that know few words say so: their text encoder carries the words as an attachment."""

from __future__ import annotations

import logging
from typing import Any

from ...core.text import PromptTag, spoken
from ..errors import DirectorError

KNOWN_WORDS = "attention_director_known_words"

# Words that captions use between the things they name.
GRAMMAR = frozenset(("a", "an", "and", "of", "on", "with", "next", "to", "the", "in", "picture", "drawing", "image",
                     "background"))

log = logging.getLogger("attention_director")


def check_known_words(clip: Any, tag: PromptTag, node: str) -> None:
    """Refuse a prompt of only unknown words, name single ones in the log. Nothing for a clip without a list."""
    attachment = getattr(getattr(clip, "patcher", None), "get_attachment", None)
    known = attachment(KNOWN_WORDS) if attachment else None
    if known is None:
        return
    words = [w.text for row in tag.rows for w in spoken(row.words()) if any(c.isalpha() for c in w.text)]
    unknown = sorted(set(words) - known - GRAMMAR)
    if words and not known.intersection(words):
        raise DirectorError(node, "the demo model knows coloured shapes and creatures only; use words such as "
                                  '"a red circle" or load a checkpoint of your own.')
    if unknown:
        log.warning("%s: the demo model does not know %s.", node, ", ".join(f'"{w}"' for w in unknown))
