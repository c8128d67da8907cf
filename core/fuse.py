"""Method: FastComposer, arXiv 2305.10431. Written from the paper; no code copied.

The fuse module: a word's vector and the vector of a picture become one vector of the same width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class FuseMlp(nn.Module):
    """fc2(GELU(fc1(LayerNorm(x)))), exact GELU, LayerNorm's eps 1e-5. [..., wide] to [..., width]."""

    def __init__(self, wide: int, width: int) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(wide)
        self.fc1 = nn.Linear(wide, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(self.layernorm(x))))


class FuseModule(nn.Module):
    """The published module, by its published names; 2,958,336 parameters at width 768."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp1 = FuseMlp(2 * width, width)
        self.mlp2 = FuseMlp(width, width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, words: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """u' = LN(z), z = MLP2(y) + y, y = MLP1([u; v]) + u (FastComposer, section 3). [..., C] each."""
        y = self.mlp1(torch.cat((words, images), dim=-1)) + words
        return self.layer_norm(self.mlp2(y) + y)


def fused_rows(context: torch.Tensor, positions: Sequence[int], fused: Sequence[torch.Tensor],
               strengths: Sequence[float]) -> torch.Tensor:
    """A copy of ``context`` [T, C] with rows u at ``positions`` moved to u + strength (u' - u).

    fused: u' of each position, [C]. Strength 1 puts u' itself there, 0 leaves u bitwise.
    """
    out = context.clone()
    for position, row, strength in zip(positions, fused, strengths, strict=True):
        if strength == 1.0:
            out[position] = row.to(out.dtype)
        elif strength:
            out[position] = torch.lerp(context[position].to(row.dtype), row, strength).to(out.dtype)
    return out
