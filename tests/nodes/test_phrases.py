"""The editor marks a phrase as missing just where the nodes would; tests/web/unit/words.test.js reads the list too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scene import family

CASES = json.loads((Path(__file__).parents[1] / "web" / "phrases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['phrase']} in {case['prompt']}")
def test_a_phrase_is_found_as_the_editor_says(case: dict[str, Any]) -> None:
    from attention_director.bridge.text.prompt import layout_of, phrase
    from attention_director.core.text import PhraseNotFound

    clip = family()[1]
    layout = layout_of(case["prompt"], clip.tokenize(case["prompt"]), clip, "RegionPrompt")
    try:
        found = bool(phrase(clip, case["phrase"], "RegionPrompt").find(layout))
    except PhraseNotFound:
        found = False
    assert found == case["found"]
