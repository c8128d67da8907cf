"""CLIP's own dialect: chunks of 77 tokens between begin and end, lower-case pieces with a mark at a word's end."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from .as_read import Part
from .spelling import BYTES

CHUNK = 77
WORD_END = "</w>"

Entry = tuple[Any, ...]  # a token or an embedding's vector, its weight, and the number of its word where asked for
Tokens = dict[str, list[list[Entry]]]


@dataclass(frozen=True, eq=False)
class ClipBPE:
    """vocabulary: the piece of each token."""

    vocabulary: dict[int, str]

    def symbols(self, part: Part) -> list[Hashable]:
        """Lower-case, composed, no spaces."""
        composed = unicodedata.normalize("NFC", part.read).lower()
        return [] if part.read.isspace() else list(composed.encode(errors="replace"))

    def piece(self, token: int) -> list[Hashable]:
        piece = self.vocabulary.get(token)
        return [("token", token)] if piece is None else [BYTES.get(c, c) for c in piece.removesuffix(WORD_END)]


def own_of_chunk(chunk: Sequence[Entry], tokenizer: Any) -> list[bool]:
    """Which positions are the text's: not begin, and nothing from the end token on."""
    own: list[bool] = []
    ended = False
    for position, (token, *_) in enumerate(chunk):
        special = isinstance(token, int)
        ended = ended or (position > 0 and special and token == tokenizer.end_token)
        own.append(not (ended or (position == 0 and special and token == tokenizer.start_token)))
    return own


def chunks_of(tokens: Tokens, groups: Sequence[tuple[int, ...]], clip: Any) -> Tokens:
    """A prompt of one chunk per group of positions, weights and embeddings kept; chunks do not see each other."""
    out: Tokens = {}
    for name, chunks in tokens.items():
        tokenizer = getattr(clip.tokenizer, f"clip_{name}")
        flat = [token for chunk in chunks for token in chunk]
        out[name] = [_chunk([flat[p] for p in positions][:CHUNK - 2], tokenizer) for positions in groups]
    return out


def _chunk(words: list[Entry], tokenizer: Any) -> list[Entry]:
    padding = CHUNK - 2 - len(words)
    return [(tokenizer.start_token, 1.0), *words, (tokenizer.end_token, 1.0), *([(tokenizer.pad_token, 1.0)] * padding)]
