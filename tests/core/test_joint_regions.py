"""Regions in a joint sequence of text and image, against the rule built block by block."""

from __future__ import annotations

from dataclasses import replace

import naive_regions as naive
import pytest
import torch
from attention_director.core.attention import explicit_attention
from attention_director.core.call import AttentionCall, RowSpan, Scratch
from attention_director.core.joint_regions import JointRegionAttention, JointRule
from attention_director.core.method import Chain
from attention_director.core.network import LayerAddress
from attention_director.core.range_rule import classes_of, gain_of
from attention_director.core.ruled import attend
from attention_director.core.schedule import Schedule
from joint_cases import GRID, LAYER, PIXELS, TEXT, WORDS, joint_call
from region_cases import KEY, boxes, innermost, layout, phrase, run, tag

PHRASES = ["red hat", "dog"]
MASKS = boxes(10, 8, (0, 0, 6, 4), (4, 3, 10, 8))


def method(rule: JointRule, strengths: tuple[float, float] = (1.0, 0.7)) -> JointRegionAttention:
    return JointRegionAttention(KEY, tuple(map(phrase, PHRASES)), MASKS[None], strengths, rule,
                                Schedule(0.0, 1.0, 0.5))


def block_bias(line: torch.Tensor, inside: list[bool], foremost: list[bool], a: float, rule: JointRule) -> torch.Tensor:
    """What one pixel's logits on one block get: the paper's rule, a margin, and then what its share asks for."""
    low, high = float(line.min()), float(line.max())
    bias = torch.zeros_like(line)
    for j, score in enumerate(line.tolist()):
        bias[j] = a * ((high - low) * inside[j] + rule.margin * foremost[j] + rule.flatten * (low - score))
    if rule.share == "keep":
        return bias + float(line.logsumexp(0) - (line + bias).logsumexp(0))
    return bias - a * (high - low + rule.margin) if rule.share == "lower" else bias


def expected(call: AttentionCall, made: JointRegionAttention, row: int) -> torch.Tensor:
    """The four blocks of b written out, added, one softmax over all keys: [H, N, D]."""
    rule, prompt = made.rule, layout(TEXT, WORDS)
    assert isinstance(rule, JointRule)
    weight = (1.0 - call.step.progress) ** 0.5
    q, k, v = call.q[row], call.k[row], call.v[row]
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    drawn = naive.pixel_sets(made.masks[0], GRID, False)
    pixels = naive.pixel_sets(made.masks[0], GRID, rule.background)
    words = naive.token_sets(WORDS, [p.find(prompt) for p in made.phrases], prompt.own(), rule.everywhere)
    bias = torch.zeros_like(scores)
    text, image = slice(0, WORDS), slice(WORDS, WORDS + PIXELS)
    for head in range(scores.shape[0]):
        for i, regions in enumerate(pixels):
            own = max((made.strengths[r] for r in drawn[i]), default=made.uncovered)
            inside = [bool(of & regions) or naive.EVERYWHERE in of for of in words]
            foremost = [bool(of & regions) or (naive.EVERYWHERE in of and not drawn[i]) for of in words]
            row = WORDS + i
            a = min(1.0, rule.cross_strength * weight * own)
            bias[head, row, text] = block_bias(scores[head, row, text], inside, foremost, a, rule)
            a = min(1.0, rule.self_strength * weight * own)
            shared = [bool(of & regions) for of in pixels]
            bias[head, row, image] = block_bias(scores[head, row, image], shared, shared, a, rule)
        for j, of in enumerate(words):
            mine = of - {naive.EVERYWHERE}
            line = scores[head, j, image]
            a = min(1.0, rule.text_strength * weight * max((made.strengths[r] for r in mine), default=0.0))
            for i, regions in enumerate(drawn):
                bias[head, j, WORDS + i] = a * (float(line.max() - line.min()) + rule.margin) * bool(mine & regions)
    return torch.softmax(scores + bias, -1) @ v


@pytest.mark.parametrize("rule", [
    JointRule(), JointRule(share="raise"), JointRule(text_strength=0.0), JointRule(cross_strength=0.0),
    JointRule(self_strength=0.4), JointRule(everywhere=False, background=False, margin=0.0),
    JointRule(cross_strength=0.5, text_strength=0.3, self_strength=0.2, margin=2.0),
    JointRule(share="lower", self_strength=0.3), JointRule(flatten=1.0, self_strength=0.3, margin=0.0),
    JointRule(flatten=0.5, self_strength=0.3, share="raise")])
def test_it_is_the_rule_block_by_block(rule: JointRule) -> None:
    call, made = joint_call(), method(rule)
    got, plain = run(call, made), innermost(call)
    for row in (1, 2):
        torch.testing.assert_close(got[row], expected(call, made, row), rtol=0, atol=1e-10)
    torch.testing.assert_close(got[0], plain[0], rtol=0, atol=1e-12)
    assert float((got[1] - plain[1]).abs().max()) > 1e-3


def text_read(call: AttentionCall, rule: JointRule | None) -> torch.Tensor:
    """How much text the pixels of our rows read: what comes of a value that is 1 on the text alone."""
    counting = torch.zeros_like(call.v)
    counting[:, :, :WORDS, 0] = 1.0
    call = replace(call, v=counting)
    out = run(call, method(rule)) if rule else innermost(call)
    return out[1:, :, WORDS:WORDS + PIXELS, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rule", [JointRule(), JointRule(text_strength=0.0, margin=1.0, padding=True),
                                  JointRule(self_strength=0.3, flatten=1.0, margin=0.0)])
def test_half_precision_stays_near(rule: JointRule, dtype: torch.dtype) -> None:
    """As near as the same precision comes without regions, times a few: columns of 20 logits stand beside them."""
    call = joint_call()
    half = replace(call, q=call.q.to(dtype), k=call.k.to(dtype), v=call.v.to(dtype), scratch=Scratch())
    exact = replace(call, q=half.q.double(), k=half.k.double(), v=half.v.double(), scratch=Scratch())
    got, wanted = run(half, method(rule)).double(), run(exact, method(rule))
    plain = float((innermost(half).double() - innermost(exact)).abs().mean())
    assert got.isfinite().all() and float((got - wanted).abs().mean()) < 4 * plain + 1e-4


@pytest.mark.parametrize("changes", [{}, {"self_strength": 0.5}, {"self_strength": 0.3, "flatten": 1.0}])
def test_the_share_of_text_is_kept_raised_or_lowered(changes: dict) -> None:
    call = joint_call()
    plain = text_read(call, None)
    torch.testing.assert_close(text_read(call, JointRule(**changes)), plain, rtol=0, atol=1e-10)
    if not changes:
        assert float((text_read(call, JointRule(share="raise")) - plain).min()) > 0.0
        assert float((text_read(call, JointRule(share="lower")) - plain).max()) < 0.0


def test_levelled_and_kept_it_is_the_papers_softmax_in_each_block() -> None:
    """The text that a pixel reads, as shares of that text, is what DenseDiffusion gives in a layer of text alone."""
    call = joint_call()
    call = replace(call, v=torch.eye(call.v.shape[2], dtype=torch.float64).expand(3, 2, -1, -1))
    got = Chain((method(JointRule(flatten=1.0, margin=0.0, self_strength=0.3)),)).attend(
        call, lambda c: attend(c, explicit_attention))
    read = got[1, :, WORDS:WORDS + PIXELS, :WORDS]
    made, prompt = method(JointRule()), layout(TEXT, WORDS)
    drawn = naive.pixel_sets(made.masks[0], GRID, False)
    pixels = [of | {naive.EVERYWHERE} for of in naive.pixel_sets(made.masks[0], GRID, True)]
    words = naive.token_sets(WORDS, [p.find(prompt) for p in made.phrases], prompt.own(), True)
    a = [0.8 ** 0.5 * max((made.strengths[r] for r in of), default=1.0) for of in drawn]
    for head in range(2):
        naively = naive.probabilities(call.q[1, head, WORDS:WORDS + PIXELS], call.k[1, head, :WORDS],
                                      naive.shares_region(pixels, words), a)
        torch.testing.assert_close(read[head] / read[head].sum(-1, keepdim=True), naively, rtol=0, atol=1e-10)


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


@pytest.mark.parametrize("spread", [1.0, 60.0, 130.0])
@pytest.mark.parametrize("flatten", [0.0, 0.3])
def test_the_share_that_is_kept_is_right_for_sharp_logits_too(spread: float, flatten: float) -> None:
    """In single precision, against log-sum-exps in double: a class far below the others may be the one that rises."""
    draw = torch.Generator().manual_seed(1)
    scores = torch.rand(4, 40, generator=draw)
    scores[:, :8] *= 0.01
    scores = (scores - scores.amin(-1, keepdim=True)) / (scores.amax(-1, keepdim=True) - scores.amin(-1, keepdim=True))
    scores = scores * spread
    right = torch.zeros(40, 1)
    right[:8] = 1.0
    low, high = (end(-1, keepdim=True) for end in (scores.amin, scores.amax))
    bias = torch.cat((high - low + 4.0, torch.zeros(4, 1)), -1)
    level = torch.full((4, 1), flatten) if flatten else None
    got = gain_of(scores, low, high, bias, classes_of(right), level)
    exact = scores.double()
    biased = exact + (bias.double() @ classes_of(right).double().T) + flatten * (low.double() - exact)
    wanted = biased.logsumexp(-1, keepdim=True) - exact.logsumexp(-1, keepdim=True)
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-4)
