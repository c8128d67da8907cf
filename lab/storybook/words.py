"""Captions to rows of a small token table, without a tokenizer: tokens.json holds what the stock ones say.

Captions have a small vocabulary, and both tokenizers split them word by word, so a table of words is enough to train
by. ``python lab/storybook/words.py`` (with the host) writes it anew; a test compares it with the stock tokenizers.

Row 0 is the neutral one: every token of no caption shares it, and a loader copies it into the full table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from storybook.caption import FILLERS, NOBODY, Caption, vocabulary

FILE = Path(__file__).with_name("tokens.json")
PARTS = 5  # four things and the place
NEUTRAL = 0


@dataclass(frozen=True)
class Format:
    """How one tokenizer frames a caption. begin, end, pad: token ids; length: tokens a caption is padded to."""

    name: str
    begin: tuple[int, ...]
    end: int
    pad: int
    length: int
    size: int  # of the stock vocabulary


T5 = Format("t5", (), 1, 0, 64, 32128)
CLIP = Format("clip", (49406,), 49407, 49407, 77, 49408)


class Words:
    """One tokenizer's captions. ids: the token that each row from 1 on belongs to."""

    def __init__(self, layout: Format, table: dict[str, list[int]]) -> None:
        self.layout = layout
        known = {token for word in vocabulary() for token in table[word]}
        self.ids = sorted(known | {*layout.begin, layout.end, layout.pad})
        row = {token: number for number, token in enumerate(self.ids, 1)}
        self.rows = {word: [row.get(token, NEUTRAL) for token in tokens] for word, tokens in table.items()}
        self.begin, self.end, self.pad = [row[token] for token in layout.begin], row[layout.end], row[layout.pad]

    def __len__(self) -> int:
        """Rows of the table."""
        return len(self.ids) + 1

    def encode(self, captions: Sequence[Caption | None]) -> tuple[np.ndarray, np.ndarray]:
        """Rows int16 [B, length] and parts int8 [B, length]: the part a token names, or NOBODY. None is the empty one.

        Raises ValueError for a caption that is too long.
        """
        rows = np.full((len(captions), self.layout.length), self.pad, np.int16)
        parts = np.full((len(captions), self.layout.length), NOBODY, np.int8)
        for b, caption in enumerate(captions):
            pairs = [(row, part) for word, part in (caption.words() if caption else ()) for row in self.rows[word]]
            line = [*((row, NOBODY) for row in self.begin), *pairs, (self.end, NOBODY)]
            if len(line) > self.layout.length:
                text = caption.text if caption else ""
                raise ValueError(f"{text!r} has {len(line)} tokens; {self.layout.length} is the most")
            rows[b, :len(line)], parts[b, :len(line)] = zip(*line, strict=True)
        return rows, parts


@cache
def words(layout: Format) -> Words:
    """The table that comes with the lab."""
    return Words(layout, json.loads(FILE.read_text(encoding="utf-8"))[layout.name])


def stock_tables() -> dict[str, dict[str, list[int]]]:
    """What the host's tokenizers make of every word; ``engine.enter()`` comes first."""
    from comfy.sd1_clip import SDTokenizer
    from comfy.text_encoders.sd3_clip import T5XXLTokenizer

    out = {}
    for layout, tokenizer in ((T5, T5XXLTokenizer()), (CLIP, SDTokenizer())):
        def ids(text: str, plain=tokenizer.tokenizer) -> list[int]:
            return plain(text, add_special_tokens=False)["input_ids"]

        table = {word: ids(word) for word in sorted({*vocabulary(), *FILLERS} - {","})}
        out[layout.name] = {",": ids("cat,")[len(ids("cat")):], **table}  # a comma follows without a space
    return out


def main() -> None:
    import engine

    engine.enter()
    lines = {name: "{" + ", ".join(f'"{word}": {ids}' for word, ids in table.items()) + "}"
             for name, table in stock_tables().items()}
    FILE.write_text("{" + ",\n".join(f'"{name}": {line}' for name, line in lines.items()) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
