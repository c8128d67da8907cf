"""SentencePiece, as T5 and Gemma have it: pieces are text, with a mark for spaces and one piece for the unknown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable
from dataclasses import dataclass

from .as_read import Part
from .spelling import SPACE, UNKNOWN, bytes_of

MARK = "\u2581"  # begins a word
_ZERO_WIDTH = "\u200b\u200c\u200d\u200e\u200f\ufeff"  # spaces to T5
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, eq=False)
class SentencePiece:
    """vocabulary: the piece of each token. A character without a piece is the unknown one, or pieces of one byte."""

    vocabulary: dict[int, str]

    def symbols(self, part: Part) -> list[Hashable]:
        space = part.read.isspace() or part.read in _ZERO_WIDTH
        return [SPACE] if space else bytes_of(unicodedata.normalize("NFKC", part.read))

    def piece(self, token: int) -> list[Hashable]:
        piece = self.vocabulary.get(token, "")
        if piece == "<unk>":
            return [UNKNOWN]
        byte = _BYTE.fullmatch(piece)
        return [int(byte[1], 16)] if byte else [*[SPACE] * piece.startswith(MARK), *bytes_of(piece.replace(MARK, ""))]
