"""Which of a CLIP object's text encoders gives the rows of the conditioning, and how its tokenizer spells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DirectorError
from .byte_bpe import ByteBPE
from .clip_bpe import WORD_END, ClipBPE, Entry, Tokens
from .sentencepiece import MARK, SentencePiece
from .spelling import Spelling

_WORDS = "a a"  # whose second word shows the kind by its piece
KINDS: tuple[tuple[Callable[[str], bool], Callable[[dict[int, str]], Spelling]], ...] = (
    (lambda piece: piece.endswith(WORD_END), ClipBPE),
    (lambda piece: piece.startswith(MARK), SentencePiece),
    (lambda piece: piece.startswith("Ġ"), ByteBPE))
POOLED = {"l"}  # CLIP-L beside another encoder gives the pooled vector alone (Flux.1)
MODELS = "a model such as Stable Diffusion 1.x, 2.x, SDXL, Flux, Z-Image or Lumina 2"


@dataclass(frozen=True, eq=False)
class Encoder:
    """One text encoder. name: among the clip's tokens. tokenizer: the host's. width: of its embeddings, if known."""

    name: str
    tokenizer: Any
    spelling: Spelling
    width: int | None

    @property
    def is_clip(self) -> bool:
        return isinstance(self.spelling, ClipBPE)

    def taken(self, chunk: Sequence[Entry]) -> list[Entry]:
        """A chunk as the host encodes it: vectors of another width are left out, and the end is padded instead."""
        kept = [entry for entry in chunk if isinstance(entry[0], int) or self.width in (None, entry[0].shape[-1])]
        padding = (self.tokenizer.pad_token, 1.0, *(0 for _ in chunk[0][2:])) if chunk else ()
        return [*kept, *[padding] * (len(chunk) - len(kept))]


def row_encoders(clip: Any, tokens: Tokens, node: str) -> list[Encoder]:
    """The encoders whose tokens are the conditioning's rows. Raises DirectorError where a row is of no one token."""
    probe = clip.tokenize(_WORDS)
    encoders = [_encoder(clip, name, probe[name], node) for name in tokens]
    others = [encoder for encoder in encoders if not encoder.is_clip]
    if not others:
        return encoders
    if len(others) > 1 or any(encoder.name not in POOLED for encoder in encoders if encoder.is_clip):
        names = ", ".join(f'"{encoder.name}"' for encoder in encoders)
        raise DirectorError(node, f"the text encoders {names} all give rows of the prompt, so a word stands at several "
                                  f"places; use {MODELS}.")
    return others


def taken(clip: Any, tokens: Tokens, node: str) -> Tokens:
    """The tokens of the encoders that give the rows, position by position as the rows are."""
    return {encoder.name: [encoder.taken(chunk) for chunk in tokens[encoder.name]]
            for encoder in row_encoders(clip, tokens, node)}


def reads_chunks(clip: Any, node: str) -> bool:
    """True for CLIP, whose chunks do not see each other and may be repeated."""
    return row_encoders(clip, clip.tokenize(""), node)[0].is_clip


def _encoder(clip: Any, name: str, probe: list[list[Entry]], node: str) -> Encoder:
    tokenizer = _part(clip.tokenizer, name)
    vocabulary: dict[int, str] = getattr(tokenizer, "inv_vocab", {})
    pieces = [str(vocabulary.get(token)) for chunk in probe for token, *_ in chunk]
    kind = next((kind for shows, kind in KINDS if any(map(shows, pieces))), None)
    if kind is None:
        raise DirectorError(node, f'the words of the text encoder "{name}" cannot be found; use {MODELS}.')
    return Encoder(name, tokenizer, kind(vocabulary), _width(_part(getattr(clip, "cond_stage_model", None), name)))


def _part(whole: Any, name: str) -> Any:
    """The host keeps the encoder "l" as clip_l, and others under their own name."""
    return getattr(whole, f"clip_{name}", None) or getattr(whole, name, None)


def _width(model: Any) -> int | None:
    transformer = getattr(model, "transformer", None)
    return None if transformer is None else int(transformer.get_input_embeddings().weight.shape[-1])
