"""Preset pasted: what a self check prints is what Region Prompt takes."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
from attention_director.bridge.errors import DirectorError
from attention_director.bridge.regions.presets import STRONG, pasted_options
from attention_director.nodes.region_prompt import RegionPrompt
from scene import PROMPT, assert_differs, family, region_prompt, regions


def test_a_number_takes_strongs_place_on_both_kinds_of_models() -> None:
    made = pasted_options("Node", "# landed best: 80%\nmargin: 12\n\n end_percent : 0.3\ntext_strength: 0.5\n")
    assert (made.rule.margin, made.joint.rule.margin, made.joint.rule.text_strength) == (12.0, 12.0, 0.5)
    assert (made.schedule.end, made.joint.schedule.end) == (0.3, 0.3)
    assert made.schedule.decay_power == STRONG.schedule.decay_power and made.reencode == STRONG.reencode
    assert made.rule.self_strength == STRONG.rule.self_strength
    assert made.joint.rule.self_strength == STRONG.joint.rule.self_strength


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "settings is empty; paste what a self check printed"),
    ("# only a remark", "settings is empty"),
    ("margin = 8", 'settings line 1 "margin = 8" is no setting'),
    ("margin: 8\nmarginal: 3", 'settings line 2 "marginal: 3" is no setting'),
    ("margin: many", 'line 1 "margin: many" is no setting'),
    ("margin: nan", 'line 1 "margin: nan" is no setting'),
    ("margin: -1", "margin is -1.0; give a number from 0 to 64"),
    ("end_percent: 2", "end_percent is 2.0; give a number from 0 to 1"),
    ("start_percent: 0.9\nend_percent: 0.2", "start_percent"),
    ("__class__: 1", "is no setting"), ("everywhere: 0", "is no setting"),
])
def test_what_is_no_setting_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(DirectorError) as refused:
        pasted_options("Node", text)
    assert sentence in str(refused.value) and str(refused.value).startswith("Node: ")


@pytest.mark.parametrize("nested", [True, False])
def test_the_node_takes_it(nested: bool) -> None:
    """As newer hosts pass it, and as older ones do."""
    model, clip, negative = family()

    def sampled(preset: Any, **more: Any) -> Any:
        made = region_prompt(model, clip, preset=preset, **more)
        return tiny.sample(made.model, made.positive, negative)

    text = "margin: 1\nend_percent: 0.4"
    pasted = sampled({"preset": "pasted", "settings": text}) if nested else region_flat(model, clip, negative, text)
    assert_differs(pasted, sampled("strong"), 0.01)


def region_flat(model: Any, clip: Any, negative: Any, text: str) -> Any:
    out = RegionPrompt.execute(model, clip, PROMPT, "", 512, 512, 1.0, "pasted", regions=regions(), settings=text)
    return tiny.sample(out.args[0], out.args[1], negative)
