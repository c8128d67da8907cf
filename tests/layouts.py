"""Layouts made by hand from a tokenizer's pieces: "cat" is a whole word, "ca+" a beginning of one."""

from __future__ import annotations

from attention_director.core.text import TextLayout


def pieces(*given: str | None) -> TextLayout:
    """The layout of a prompt whose words, a space apart, are cut into these pieces; None is no text."""
    text, tokens = "", []
    for piece in given:
        if piece is None:
            tokens.append(None)
            continue
        start = len(text)
        text += piece.removesuffix("+")
        tokens.append((start, len(text)))
        text += "" if piece.endswith("+") else " "
    return TextLayout(text.rstrip(), tuple(tokens))


def padded(text: str, length: int) -> TextLayout:
    """One token per word of a text between a begin token and padding to ``length`` tokens."""
    words = text.split()
    return pieces(None, *words, *[None] * (length - 1 - len(words)))
