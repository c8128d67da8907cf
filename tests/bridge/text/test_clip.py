"""Tokens as spans of the typed text: what is read of a prompt, and where each token of the stock tokenizers stands."""

from __future__ import annotations

import random
from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.text.align import aligned
from attention_director.bridge.text.as_read import as_read
from attention_director.bridge.text.clip import layout_of
from attention_director.core.text import TextLayout
from embeddings import with_embedding

PROMPTS = ["a red hat", "Cat's 3D café, naïve—über (red hat:1.3) [x] 42km/h it's", "日本の 猫 ½ É ß",
           "a\\(b\\) don't_stop! \u00a0?", "well-known... ''quoted'' <lora:x:0.8>", "красная шляпа и cafe\u0301",
           "a 🐱🐶 on a roof ❤️", "1girl, red_hair, (hat_\\(red\\):0.7)",
           "((masterpiece)), best quality, 24k, 16:9", "“smart” quotes’ and – dashes", "한국어 ภาษาไทย", ""]


def layout(text: str, name: str = "sd15") -> TextLayout:
    clip = tiny.clip(name)
    return layout_of(text, clip.tokenize(text), clip, "test")


def clip_words(text: str) -> list[tuple[int, ...]]:
    """Positions of CLIP's own words, by the mark on the last piece of each."""
    clip = tiny.clip()
    words: list[list[int]] = [[]]
    for position, (token, _) in enumerate(t for chunk in clip.tokenize(text)["l"] for t in chunk):
        if token < 49406:
            words[-1].append(position)
            if clip.tokenizer.clip_l.inv_vocab[token].endswith("</w>"):
                words.append([])
    return [tuple(word) for word in words if word]


@pytest.mark.parametrize("text", PROMPTS)
def test_words_are_those_of_the_tokenizer(text: str) -> None:
    assert [word.positions for word in layout(text).words()] == clip_words(text)


@pytest.mark.parametrize("text", PROMPTS)
@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_every_token_stands_for_text_in_its_order(text: str, name: str) -> None:
    spans = [span for span in layout(text, name).tokens if span]
    assert all(start < stop for start, stop in spans) and spans == sorted(spans)
    read = {character for span in spans for character in range(*span)}
    typed = {n for part in as_read(text) if not part.read.isspace() for n in range(part.start, part.stop)}
    assert read == typed


def test_words_show_as_typed() -> None:
    words = layout("A Красная (шляпа:1.2) и Cafe\u0301, 🐱 hat_\\(Red\\)").words()
    assert [w.typed for w in words] == ["A", "Красная", "шляпа", "и", "Cafe\u0301", ",", "🐱", "hat", "_\\(", "Red",
                                        "\\)"]
    assert [w.text for w in words][1:5] == ["красная", "шляпа", "и", "café"]


def test_one_character_of_several_tokens_and_tokens_of_several_characters() -> None:
    prompt = layout("一只红色的猫")
    assert len(prompt.own()) > len(prompt.text)
    cat = prompt.occurrences(layout("猫"))[0]
    assert len(cat) == 3 and {prompt.tokens[p] for p in cat} == {(5, 6)}
    shared = TextLayout("红色的猫", (None, (0, 2), (1, 3), (3, 4), None))
    assert shared.occurrences(layout("色")) == [(1, 2)] and shared.occurrences(layout("猫")) == [(3,)]


@pytest.mark.parametrize("text", ["a (b:1.2) c", "(a", "a)", "a) (b)", "((a):1.2", "(a:b)", "(:1.2)", "(a:1.2", "()",
                                  "\\(a\\)", "(a\\):1.1)", "(a (b:0.5) c:1.2)1.2", "a\\\\(b)", "(a: 1.2 )",
                                  "(a:nan)", "(a:)"])
def test_what_is_read_is_what_the_host_reads(text: str) -> None:
    from comfy.sd1_clip import escape_important, token_weights, unescape_important

    def host(text: str) -> str:
        return "".join(unescape_important(part) for part, _ in token_weights(escape_important(text), 1.0))

    dice = random.Random(text)
    mixed = ["".join(dice.choices(["a", " ", "(", ")", "\\", ":", "1.2"], k=dice.randint(1, 20))) for _ in range(50)]
    for given in (text, *mixed):
        parts = as_read(given)
        assert "".join(part.read for part in parts) == host(given)
        assert all(part.read in given[part.start:part.stop] for part in parts)


def test_what_a_tokenizer_changed_stands_for_what_it_replaced() -> None:
    assert aligned("abcd", "abcd") == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert aligned("abXYcd", "abzcd") == [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6)]
    assert aligned("abcd", "ad") == [(0, 1), (3, 4)] and aligned("abc", "ab") == [(0, 1), (1, 2)]
    assert aligned("ad", "abd") == [(0, 1), (1, 1), (1, 2)] and aligned("", "a") == [(0, 0)]


def test_text_behind_an_end_token_is_not_read() -> None:
    prompt = layout("a cat <|endoftext|> dog")
    assert [word.text for word in prompt.words()] == ["a", "cat"]


def test_an_embedding_is_one_word_as_typed(tmp_path: Any) -> None:
    from attention_director.bridge.text.words import phrase_without_clip

    clip = with_embedding(tiny.clip(), tmp_path, "Mascot", {"emb_params": torch.randn(2, tiny.WIDTH)})
    text = "cat, embedding:Mascot, embedding:Mascot (embedding:Mascot:1.2) embedding:missing hat"
    prompt = layout_of(text, clip.tokenize(text), clip, "test")
    assert [w.typed for w in prompt.words()] == ["cat", ",", "embedding:Mascot", ",", *["embedding:Mascot"] * 2, "hat"]
    found = prompt.occurrences(phrase_without_clip("embedding:mascot").layout)
    assert found == [(3, 4), (6, 7), (8, 9)]
    assert prompt.nearest(phrase_without_clip("embedding:masc").layout) == "embedding:Mascot"
    assert not prompt.occurrences(phrase_without_clip("mascot").layout)
