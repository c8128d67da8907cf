"""Prompts of unequal length in one batch, where a softmax notices what they are filled up with."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_joint
import torch
from joint_scene import TEXT, Watcher, sample, watched
from layouts import padded

PROMPTS = (9, 40)  # tokens; Z-Image fills them up to 32 and 64


def prompt(*tokens: int) -> list:
    """One prompt, or several filled up with zeros to the longest."""
    from attention_director.bridge.text.prompt import TAG_KEY
    from attention_director.core.text import PromptTag

    rows = torch.zeros(len(tokens), max(tokens), tiny_joint.WIDTH)
    for row, own in enumerate(tokens):
        rows[row, :own] = tiny_joint.context(own, seed=own)[0]
    layouts = tuple(padded(TEXT, own) for own in tokens)
    tag = PromptTag(layouts, frozenset({"1/x"}), max(tokens) if len(tokens) > 1 else 0, padded=len(tokens) > 1)
    return [[rows, {TAG_KEY: tag}]]


def regions(share: str = "keep") -> Any:
    from attention_director.core.joint_regions import JointRegionAttention, JointRule
    from attention_director.core.schedule import Schedule
    from attention_director.core.text import Phrase
    from layouts import pieces

    masks = torch.zeros(1, 2, 8, 10, dtype=torch.bool)
    masks[0, 0, :, :5], masks[0, 1, :, 5:] = True, True
    phrases = tuple(Phrase(t, pieces(*t.split())) for t in ("red hat", "dog"))
    rule = JointRule(self_strength=0.3, flatten=0.5, padding=True, share=share)
    return JointRegionAttention("1/x", phrases, masks, (1.0, 1.0), rule, Schedule())


@pytest.mark.parametrize("name", tiny_joint.CONFIGS)
@pytest.mark.parametrize("make", [Watcher, regions], ids=["plain", "regions"])
def test_each_row_is_as_it_is_alone(name: str, make: Any) -> None:
    model = watched(make(), tiny_joint.model(name))
    together = sample(model, prompt(*PROMPTS), batch=2)
    for row, tokens in enumerate(PROMPTS):
        alone = sample(model, prompt(tokens), batch=2)[row]
        torch.testing.assert_close(together[row], alone, rtol=0, atol=2e-4)
        other = sample(model, prompt(PROMPTS[1 - row]), batch=2)[row]
        assert float((alone - other).abs().max()) > 0.05


@pytest.mark.parametrize("name", tiny_joint.CONFIGS)
def test_it_holds_where_no_method_acts_any_more(name: str) -> None:
    """A window that is over, or a method of another prompt, changes nothing about what a row reads."""
    over = watched(Watcher(key="another"), tiny_joint.model(name))
    together = sample(over, prompt(*PROMPTS), cfg=1.0, batch=2)
    alone = sample(tiny_joint.model(name), prompt(PROMPTS[0]), cfg=1.0, batch=2)
    torch.testing.assert_close(together[0], alone[0], rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", tiny_joint.CONFIGS)
def test_filled_up_and_read_it_would_be_another_picture(name: str) -> None:
    """The test above can fail."""
    bare = sample(tiny_joint.model(name), prompt(*PROMPTS), cfg=1.0, batch=2)
    alone = sample(tiny_joint.model(name), prompt(PROMPTS[0]), cfg=1.0, batch=2)
    assert float((bare[0] - alone[0]).abs().max()) > 1e-3


def test_nothing_stays_on_the_network() -> None:
    model = tiny_joint.model("zimage")
    sample(watched(Watcher(), model), prompt(*PROMPTS), cfg=1.0, batch=2)
    assert not model.model.diffusion_model.cap_embedder._forward_hooks


def test_a_mask_of_another_node_is_refused() -> None:
    model = tiny_joint.model("flux")
    positive = prompt(*PROMPTS)
    positive[0][1] |= {"attention_mask": torch.ones(1, 40 + 20, 40 + 20), "attention_mask_img_shape": (4, 5)}
    with pytest.raises(ValueError, match="prompts of unequal length cannot be in one batch where another node masks"):
        sample(watched(Watcher(), model), positive, cfg=1.0, batch=2)


def test_tokens_that_another_node_put_behind_them_are_refused() -> None:
    model, positive = tiny_joint.model("flux"), prompt(*PROMPTS)
    positive[0][0] = torch.cat((positive[0][0], torch.zeros(2, 5, tiny_joint.WIDTH)), 1)
    with pytest.raises(ValueError, match="prompts of unequal length, and another node put 5 tokens behind them"):
        sample(watched(Watcher(), model), positive, cfg=1.0, batch=2)
