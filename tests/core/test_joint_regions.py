"""Regions in a joint sequence of text and image, against the rule built block by block."""

from __future__ import annotations

from dataclasses import replace

import naive_regions as naive
import pytest
import torch
from attention_director.core.call import AttentionCall, RowSpan, Scratch, Step
from attention_director.core.joint_regions import JointRegionAttention, JointRule
from attention_director.core.network import LayerAddress
from attention_director.core.schedule import Schedule
from attention_director.core.sequence import Axis, Segment
from region_cases import KEY, boxes, innermost, layout, phrase, run, tag

TEXT, GRID = "a red hat and a dog", (5, 4)
PHRASES = ["red hat", "dog"]
MASKS = boxes(10, 8, (0, 0, 6, 4), (4, 3, 10, 8))
WORDS, PIXELS, REFERENCE = 12, 20, 6
LAYER = LayerAddress("single", 0, 0, "joint")


def joint_axis() -> Axis:
    return Axis((Segment("text", 0, WORDS), Segment("image", WORDS, WORDS + PIXELS, GRID),
                 Segment("reference", WORDS + PIXELS, WORDS + PIXELS + REFERENCE, (2, 3))), WORDS + PIXELS + REFERENCE)


def joint_call(seed: int = 0, progress: float = 0.2) -> AttentionCall:
    """Row 0 is not ours, rows 1 and 2 are two images of the prompt."""
    generator = torch.Generator().manual_seed(seed)
    axis = joint_axis()
    q, k, v = (torch.randn(3, 2, axis.length, 16, generator=generator, dtype=torch.float64) * s for s in (3, 1, 1))
    rows = (RowSpan(0, 1, None), RowSpan(1, 3, tag(TEXT, length=WORDS)))
    return AttentionCall(q, k, v, LAYER, axis, axis, GRID, rows, Step(1.0, progress), Scratch())


def method(rule: JointRule, strengths: tuple[float, float] = (1.0, 0.7)) -> JointRegionAttention:
    return JointRegionAttention(KEY, tuple(map(phrase, PHRASES)), MASKS[None], strengths, rule,
                                Schedule(0.0, 1.0, 0.5))


def expected(call: AttentionCall, made: JointRegionAttention, row: int) -> torch.Tensor:
    """The four blocks of b written out, added, one softmax over all keys: [H, N, D]."""
    rule, prompt = made.rule, layout(TEXT, WORDS)
    assert isinstance(rule, JointRule)
    weight = (1.0 - call.step.progress) ** 0.5
    q, k, v = call.q[row], call.k[row], call.v[row]
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    drawn = naive.pixel_sets(made.masks[0], call.latent_grid, GRID, False)
    pixels = naive.pixel_sets(made.masks[0], call.latent_grid, GRID, rule.background)
    words = naive.token_sets(WORDS, [p.find(prompt) for p in made.phrases], prompt.own(), rule.everywhere)
    bias = torch.zeros_like(scores)
    text, image = slice(0, WORDS), slice(WORDS, WORDS + PIXELS)
    for head in range(scores.shape[0]):
        for i, regions in enumerate(pixels):
            own = max((made.strengths[r] for r in drawn[i]), default=made.uncovered)
            line = scores[head, WORDS + i]
            a = min(1.0, rule.cross_strength * weight * own)
            reach = float(line[text].max() - line[text].min())
            for j, of in enumerate(words):
                inside = bool(of & regions) or naive.EVERYWHERE in of
                foremost = bool(of & regions) or (naive.EVERYWHERE in of and not drawn[i])
                bias[head, WORDS + i, j] = a * (reach * inside + rule.margin * foremost)
            b = min(1.0, rule.self_strength * weight * own)
            reach = float(line[image].max() - line[image].min())
            for j, of in enumerate(pixels):
                bias[head, WORDS + i, WORDS + j] = b * (reach + rule.margin) * bool(of & regions)
        for j, of in enumerate(words):
            mine = of - {naive.EVERYWHERE}
            line = scores[head, j, image]
            a = min(1.0, rule.text_strength * weight * max((made.strengths[r] for r in mine), default=0.0))
            for i, regions in enumerate(drawn):
                bias[head, j, WORDS + i] = a * (float(line.max() - line.min()) + rule.margin) * bool(mine & regions)
    if rule.share == "keep":
        shift = (scores + bias)[:, image, text].logsumexp(-1) - scores[:, image, text].logsumexp(-1)
        bias[:, image, text] -= shift[..., None]
    return torch.softmax(scores + bias, -1) @ v


@pytest.mark.parametrize("rule", [
    JointRule(), JointRule(share="raise"), JointRule(text_strength=0.0), JointRule(cross_strength=0.0),
    JointRule(self_strength=0.4), JointRule(everywhere=False, background=False, margin=0.0),
    JointRule(cross_strength=0.5, text_strength=0.3, self_strength=0.2, margin=2.0)])
def test_it_is_the_rule_block_by_block(rule: JointRule) -> None:
    call, made = joint_call(), method(rule)
    got, plain = run(call, made), innermost(call)
    for row in (1, 2):
        torch.testing.assert_close(got[row], expected(call, made, row), rtol=0, atol=1e-10)
    torch.testing.assert_close(got[0], plain[0], rtol=0, atol=1e-12)
    assert float((got[1] - plain[1]).abs().max()) > 1e-3


def test_kept_pixels_read_as_much_text_as_before() -> None:
    """A column of values that is 1 on the text counts it."""
    call = joint_call()
    counting = torch.zeros_like(call.v)
    counting[:, :, :WORDS, 0] = 1.0
    call = replace(call, v=counting)
    image = slice(WORDS, WORDS + PIXELS)
    plain, kept, raised = (innermost(call), run(call, method(JointRule())), run(call, method(JointRule(share="raise"))))
    torch.testing.assert_close(kept[1:, :, image, 0], plain[1:, :, image, 0], rtol=0, atol=1e-10)
    assert float((raised - plain)[1:, :, image, 0].min()) > 0.0


def test_a_prompt_that_lacks_every_phrase_is_left_alone() -> None:
    call = joint_call()
    call = replace(call, rows=(RowSpan(0, 1, None), RowSpan(1, 3, tag(TEXT, "a tall green tree", length=WORDS))))
    got, plain = run(call, method(JointRule(self_strength=0.4))), innermost(call)
    torch.testing.assert_close(got[2], plain[2], rtol=0, atol=1e-12)
    assert float((got[1] - plain[1]).abs().max()) > 1e-3


def test_only_joint_layers_are_its_own() -> None:
    from attention_director.core.regions import RegionAttention, RegionRule

    joint, ordinary = method(JointRule()), RegionAttention(KEY, (), MASKS[None], (), RegionRule(), Schedule())
    for kind in ("self", "cross"):
        layer = LayerAddress("input", 1, 0, kind)
        assert not joint.selects(layer) and ordinary.selects(layer)
    assert joint.selects(LAYER) and not ordinary.selects(LAYER)
    assert not method(JointRule(cross_strength=0.0, text_strength=0.0)).selects(LAYER)
