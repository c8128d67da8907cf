"""Calls of a joint layer for tests of core, in float64."""

from __future__ import annotations

import torch
from attention_director.core.call import AttentionCall, RowSpan, Scratch, Step
from attention_director.core.network import LayerAddress
from attention_director.core.sequence import Axis, Segment
from region_cases import tag

TEXT, GRID = "a red hat and a dog", (5, 4)
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
