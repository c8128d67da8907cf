"""Prompts, edits and calls for the tests of Prompt-to-Prompt, and the paper's formula written naively."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attention_director.core.call import AttentionCall, RowSpan
from attention_director.core.edit_attention import EditAttention, TargetEdit
from attention_director.core.schedule import Schedule
from attention_director.core.text import PromptTag, TextLayout
from attention_director.core.token_map import TokenMap, refine_map, replace_map
from layouts import pieces
from region_cases import make_call

KEY = "9/edit"
NEVER = Schedule(0.0, 0.0)
ALWAYS = Schedule(0.0, 1.0)


def layout(text: str, length: int = 77) -> TextLayout:
    """One token a word; "bi+cycle" is one word of two tokens."""
    cut = [piece + "+" * (n < len(parts) - 1) for word in text.split()
           for parts in [word.split("+")] for n, piece in enumerate(parts)]
    chunks = [cut[i:i + length - 2] for i in range(0, len(cut), length - 2)] or [[]]
    return pieces(*(p for chunk in chunks for p in (None, *chunk, *[None] * (length - 1 - len(chunk)))))


def tag(*texts: str, key: str = KEY, appended: int = 0) -> PromptTag:
    rows = tuple(layout(text) for text in texts)
    longest = max(len(row.tokens) for row in rows)
    return PromptTag(rows, frozenset({key}), length=longest, appended=appended)


def edit(source: str, target: str, kind: str, factors: dict[int, float] | None = None,
         windows: Sequence[tuple[tuple[int, ...], Schedule]] = ()) -> TargetEdit:
    make = {"replace": replace_map, "refine": refine_map}[kind]
    weights = torch.ones(len(layout(target).tokens), dtype=torch.float64)
    for position, factor in (factors or {}).items():
        weights[position] = factor
    return TargetEdit(make(layout(source), layout(target)), weights, tuple(windows))


def method(*edits: TargetEdit, cross_window: Schedule = ALWAYS, self_window: Schedule = NEVER, **more) -> EditAttention:
    return EditAttention(KEY, edits, cross_window, self_window, **more)


def cross_call(prompts: PromptTag, images: int, **options) -> AttentionCall:
    """A positive of ``images`` rows behind two rows of another conditioning."""
    rows = (RowSpan(0, 2, None), RowSpan(2, 2 + images, prompts))
    return make_call("cross", (6, 5), rows, keys=options.pop("keys", prompts.starts(0).stop + prompts.appended),
                     **options)


def probabilities(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1)


def edited_map(source: torch.Tensor, target: torch.Tensor, token_map: TokenMap, factors: torch.Tensor,
               gate: torch.Tensor) -> torch.Tensor:
    """A_final of the paper for one row: maps [H, N, T], everything else a token."""
    a = token_map.copied
    changed = ((source @ token_map.sources) * a + (1 - a) * target) * factors
    return gate * changed + (1 - gate) * target
