"""The editor marks a phrase as missing just where the nodes would; tests/web/unit/words.test.js reads the lists too."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from scene import family

WEB = Path(__file__).parents[1] / "web"
CASES = json.loads((WEB / "phrases.json").read_text(encoding="utf-8"))
PASTED = json.loads((WEB / "pasted.json").read_text(encoding="utf-8"))


def name_of(case: dict[str, Any]) -> str:
    return f"{case['phrase']} in {case['prompt']}"


# What the nodes find beside the list: found is the text of the phrase's own tokens.
MORE = [{"prompt": prompt, "phrase": phrase, "found": found} for prompt, phrase, found in (
    ("a cat in a red hat", "“red hat”", "redhat"), ("a “red hat” here", "red hat", "redhat"),
    ("1girl, red_hair, blue_eyes", "red_hair", "red_hair"), ("hat_\\(red\\), dog", "hat (red)", "hat_\\(red"),
    ("a cat, a dog, a cat", "cat,#2", "cat"), ("แมวสีแดง", "แมว", "แมว"), ("a 🐱🐶 on a roof!🐱", "🐶", "🐶"),
    ("a ❤️ on a roof", "❤", "❤️"), ("a 👩🏽‍🚀 and a 🚀", "🚀", "🚀"), ("a cafe\u0301 in Paris", "café", "café"))]


def find(prompt: str, phrase: str) -> str | None:
    """The text that the phrase's tokens stand for, or None where the prompt lacks it."""
    from attention_director.bridge.text.clip import layout_of
    from attention_director.bridge.text.prompt import tokenise_phrase
    from attention_director.core.text import PhraseNotFound

    clip = family()[1]
    layout = layout_of(prompt, clip.tokenize(prompt), clip, "RegionPrompt")
    try:
        positions = tokenise_phrase(clip, phrase, "RegionPrompt").find(layout)
    except PhraseNotFound:
        return None
    covered = {character for p in positions for character in range(*layout.tokens[p])}
    return unicodedata.normalize("NFC", "".join(prompt[character] for character in sorted(covered)))


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_phrase_is_found_as_the_editor_says(case: dict[str, Any]) -> None:
    assert bool(find(case["prompt"], case["phrase"])) == case["found"]


@pytest.mark.parametrize("case", [*PASTED, *MORE], ids=name_of)
def test_a_pasted_phrase_is_found_at_its_words(case: dict[str, Any]) -> None:
    """Spaces are of no token."""
    words = case["found"]
    assert find(case["prompt"], case["phrase"]) == (None if words is None else words.replace(" ", ""))


@pytest.mark.parametrize("case", [*PASTED, *MORE], ids=name_of)
def test_a_phrase_without_a_text_encoder_is_found_alike(case: dict[str, Any]) -> None:
    from attention_director.bridge.text.prompt import encode, tag_of, tokenise_phrase
    from attention_director.bridge.text.words import phrase_without_clip

    clip = family()[1]
    tag = tag_of(encode(clip, case["prompt"], "test"))
    ours, theirs = phrase_without_clip(case["phrase"]), tokenise_phrase(clip, case["phrase"], "test")
    assert ours.layout.key == theirs.layout.key
    if case["found"]:
        assert tag.find(ours) == tag.find(theirs)
