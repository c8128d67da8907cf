"""Calls, prompts and methods for the tests of the region rule, in float64."""

from __future__ import annotations

import naive_regions as naive
import torch
from attention_director.core.call import AttentionCall, RowSpan, Scratch, Step
from attention_director.core.method import Chain
from attention_director.core.network import LayerAddress
from attention_director.core.regions import RegionAttention, RegionRule
from attention_director.core.ruled import attend, with_fixed_rules
from attention_director.core.schedule import Schedule
from attention_director.core.text import Phrase, PromptTag, TextLayout
from axes import axes
from layouts import padded

KEY = "7/regions"
PAPER = RegionRule(everywhere=False, background=False)
SAME = {torch.float32: {"rtol": 1e-3, "atol": 1e-4}, torch.float16: {"rtol": 0.05, "atol": 0.05},
        torch.bfloat16: {"rtol": 0.5, "atol": 0.5}}


def layout(text: str, length: int = 77) -> TextLayout:
    """One token a word, between a begin token and the padding."""
    return padded(text, length)


def phrase(text: str, occurrence: int = 1) -> Phrase:
    return Phrase(text, layout(text), occurrence)


def tag(*texts: str, key: str = KEY, length: int = 77) -> PromptTag:
    return PromptTag(tuple(layout(text, length) for text in texts), frozenset({key}))


def plain_kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """A kernel that, like the host's, scales by its own head width and knows no bias."""
    assert q.shape[-1] == k.shape[-1] == v.shape[-1] and q.shape[-1] % 8 == 0
    return naive.plain_attention(q, k, v)


def innermost(call: AttentionCall) -> torch.Tensor:
    return attend(call, plain_kernel)


def by_columns(call: AttentionCall) -> torch.Tensor:
    """As where nobody has the logits in sight."""
    return attend(with_fixed_rules(call), plain_kernel)


def make_call(kind: str, grid: tuple[int, int], rows: tuple[RowSpan, ...], *, latent: tuple[int, int] | None = None,
              heads: int = 2, width: int = 40, keys: int | None = None, progress: float = 0.0, seed: int = 0,
              dtype: torch.dtype = torch.float64) -> AttentionCall:
    """A random call; its scores have a spread of about three, as trained models' have."""
    generator = torch.Generator().manual_seed(seed)
    pixels = grid[0] * grid[1]
    keys = keys or (pixels if kind == "self" else 77)

    def draw(count: int, spread: float) -> torch.Tensor:
        shape = (rows[-1].stop, heads, count, width)
        drawn = (torch.randn(shape, generator=generator, dtype=torch.float64) * spread).to(dtype)
        return drawn.transpose(1, 2).contiguous().transpose(1, 2)  # heads beside each other, as the host has them

    return AttentionCall(draw(pixels, 3.0), draw(keys, 1.0), draw(keys, 1.0), LayerAddress("input", 1, 0, kind),
                         *axes(kind, grid, keys), latent or grid, rows, Step(1.0, progress), Scratch())


def method(phrases: list[str], masks: torch.Tensor, strengths: tuple[float, ...] | None = None,
           rule: RegionRule = PAPER, schedule: Schedule | None = None, key: str = KEY) -> RegionAttention:
    """masks: [R, H, W] for one layout, or [I, R, H, W]."""
    masks = masks[None] if masks.ndim == 3 else masks
    return RegionAttention(key, tuple(phrase(p) for p in phrases), masks, strengths or (1.0,) * len(phrases), rule,
                           schedule or Schedule())


def run(call: AttentionCall, *methods: RegionAttention) -> torch.Tensor:
    """Both ways to work a rule out give the same."""
    got = Chain(methods).attend(call, innermost)
    columns = Chain(methods).attend(call, by_columns)
    torch.testing.assert_close(columns, got, **SAME.get(call.q.dtype, {"rtol": 0, "atol": 1e-10}))
    return got


def expected(call: AttentionCall, made: RegionAttention, row: int, prompt: TextLayout, image: int = 0) -> torch.Tensor:
    """The naive answer for one row of a call: [H, Nq, D]."""
    rule, kind = made.rule, call.layer.kind
    there = [p.empty or bool(prompt.occurrences(p.layout)) for p in made.phrases]
    if not any(there):
        return innermost(call)[row]
    masks = made.masks[image % len(made.masks)] & torch.tensor(there)[:, None, None]
    queries = naive.pixel_sets(masks, call.grid, rule.background)
    strength = rule.cross_strength if kind == "cross" else rule.self_strength
    weight = strength * (1.0 - call.step.progress) ** made.schedule.decay_power
    a = naive.amounts(queries, weight, rule.size_adaptation, made.strengths)
    if kind == "self":
        keys = queries
    else:
        spans = [p.find(prompt) if is_there else () for p, is_there in zip(made.phrases, there, strict=True)]
        keys = naive.token_sets(len(prompt.tokens), spans, prompt.own(), rule.everywhere)
        keys = keys * (call.k.shape[2] // len(keys))
        queries = [regions | {naive.EVERYWHERE} for regions in queries]
    return naive.regions_attention(call.q[row], call.k[row], call.v[row], queries, keys, a)


def boxes(height: int, width: int, *corners: tuple[int, int, int, int]) -> torch.Tensor:
    """Masks [R, H, W] of boxes (y0, x0, y1, x1)."""
    masks = torch.zeros(len(corners), height, width, dtype=torch.bool)
    for mask, (y0, x0, y1, x1) in zip(masks, corners, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks
