"""Sharing in joint layers as DIT.md 4.3 writes it: unroped keys, roped at their places, one joint mask. In float64."""

from __future__ import annotations

import math

import torch


def rope(x: torch.Tensor, positions: torch.Tensor, axes: tuple[int, ...], theta: float) -> torch.Tensor:
    """x [..., N, D] at positions [N, axes], number by number."""
    out, at = x.clone(), 0
    for axis, width in enumerate(axes):
        for i in range(0, width, 2):
            angle = positions[:, axis] * theta ** (-i / width)
            a, b = x[..., at + i], x[..., at + i + 1]
            out[..., at + i] = a * angle.cos() - b * angle.sin()
            out[..., at + i + 1] = a * angle.sin() + b * angle.cos()
        at += width
    return out


def affine(cell: tuple[float, float], source: list[tuple[int, int]],
           target: list[tuple[int, int]]) -> tuple[float, float]:
    """A cell of one subject in the other's box: middle on middle, scaled by its sides' ratio between 1/2 and 2."""
    out = []
    for axis in (0, 1):
        ends = [(min(c[axis] for c in cells), max(c[axis] for c in cells)) for cells in (source, target)]
        sizes = [high - low + 1 for low, high in ends]
        middles = [(low + high) / 2 for low, high in ends]
        out.append(middles[1] + (cell[axis] - middles[0]) * min(2.0, max(0.5, sizes[1] / sizes[0])))
    return out[0], out[1]


def shared_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, stand: torch.Tensor, turn: tuple,
                     image: slice, masks: torch.Tensor, kept: torch.Tensor, grid: tuple[int, int], anchors: int,
                     strength: float, gains: list[float] | None = None) -> torch.Tensor:
    """q, k, v [I, H, L, D] before any rope, at positions stand [I, L, axes]; turn: (axes, theta). masks, kept (what
    dropout leaves of them): bool [I, N] of the image tokens. A row in its image's mask also reads the kept keys of the
    other anchors at the places where they belong; ln (strength gain) is added to these, a gain for each image.
    """
    images, heads, length, width = q.shape
    out = torch.zeros_like(v)
    cells = [(y, x) for y in range(grid[0]) for x in range(grid[1])]
    inside = [[cell for n, cell in enumerate(cells) if masks[i, n]] for i in range(images)]
    for b in range(images):
        gain = gains[b] if gains else 1.0
        own_q, own_k = (rope(x[b], stand[b], *turn) for x in (q, k))
        more_k, more_v = [], []
        for a in range(anchors):
            for n, cell in enumerate(cells):
                if a == b or not kept[a, n] or not inside[b]:
                    continue
                there = stand[b, image.start].clone()
                there[1:3] += torch.tensor(affine(cell, inside[a], inside[b]), dtype=q.dtype)
                more_k.append(rope(k[a, :, image.start + n, None], there[None], *turn)[:, 0])
                more_v.append(v[a, :, image.start + n])
        for i in range(length):
            reads = image.start <= i < image.stop and bool(masks[b, i - image.start]) and bool(more_k)
            for h in range(heads):
                scores = [float(own_q[h, i] @ own_k[h, j]) / math.sqrt(width) for j in range(length)]
                values = list(v[b, h])
                if reads:
                    scores += [float(own_q[h, i] @ key[h]) / math.sqrt(width) + math.log(strength * gain)
                               for key in more_k]
                    values += [value[h] for value in more_v]
                weights = torch.softmax(torch.tensor(scores, dtype=q.dtype), 0)
                out[b, h, i] = (weights[:, None] * torch.stack(values)).sum(0)
    return out
