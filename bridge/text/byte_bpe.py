"""Byte-level BPE, as Qwen's vocabularies and Mistral's tekken have it: each letter of a piece stands for a byte."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable
from dataclasses import dataclass

from .as_read import Part
from .spelling import BYTES, SPACES, bytes_of


@dataclass(frozen=True, eq=False)
class ByteBPE:
    """vocabulary: the piece of each token. Control tokens such as <|im_end|> are spelt as they are typed."""

    vocabulary: dict[int, str]

    def symbols(self, part: Part) -> list[Hashable]:
        return bytes_of(unicodedata.normalize("NFC", part.read))

    def piece(self, token: int) -> list[Hashable]:
        spelt = (BYTES.get(letter, letter) for letter in self.vocabulary.get(token, ""))
        return [byte for byte in spelt if byte not in SPACES]
