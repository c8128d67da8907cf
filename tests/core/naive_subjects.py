"""ConsiStory as its paper writes it: loops, full matrices, minus infinity. Slow and plain, in float64."""

from __future__ import annotations

import math

import torch


def otsu(values: list[float]) -> float:
    """The border of 256 bins with the largest variance between classes; the first of equals."""
    low, high = min(values), max(values)
    if high == low:
        return high
    bins = [min(255, int((v - low) / (high - low) * 256)) for v in values]
    best, threshold = -1.0, high
    for border in range(1, 256):
        under, over = [b for b in bins if b < border], [b for b in bins if b >= border]
        if not under or not over:
            continue
        variance = len(under) * len(over) * (sum(over) / len(over) - sum(under) / len(under)) ** 2
        if variance > best * (1 + 1e-12):
            best, threshold = variance, low + border * (high - low) / 256
    return threshold


def joint_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, masks: torch.Tensor, anchors: int,
                    strength: float, alone: set[int], bias: torch.Tensor | None = None,
                    kinds: torch.Tensor | None = None, here: torch.Tensor | None = None) -> torch.Tensor:
    """Subject-driven self-attention over all images at once. q, k, v: [I, H, N, D]; masks: bool [I, N].

    Every image sees itself wholly and the masked pixels of the anchors other than itself; ln strength is
    added to what it sees of others. bias: [I, I, N, N] added to the logits. kinds, here: bool [I, N, S],
    a pixel sees another image's only where they share a subject.
    """
    images, heads, count, width = q.shape
    out = torch.zeros_like(v)
    for b in range(images):
        for h in range(heads):
            rows = []
            for i in range(count):
                scores, values = [], []
                for a in range(images):
                    for j in range(count):
                        own = a == b
                        seen = own or (a < anchors and bool(masks[a, j]) and b not in alone)
                        if seen and not own and kinds is not None and here is not None:
                            seen = bool((kinds[a, j] & here[b, i]).any())
                        if not seen:
                            continue
                        s = float(q[b, h, i] @ k[a, h, j]) / math.sqrt(width)
                        s += 0.0 if own else math.log(strength)
                        s += 0.0 if bias is None else float(bias[b, a, i, j])
                        scores.append(s)
                        values.append(v[a, h, j])
                weights = torch.softmax(torch.tensor(scores, dtype=q.dtype), 0)
                rows.append((weights[:, None] * torch.stack(values)).sum(0))
            out[b, h] = torch.stack(rows)
    return out


def smooth(features: torch.Tensor) -> torch.Tensor:
    """3 x 3 Gaussian of sigma 1, outermost pixels repeated. [C, h, w]."""
    channels, height, width = features.shape
    out = torch.zeros_like(features)
    for y in range(height):
        for x in range(width):
            total = 0.0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    weight = math.exp(-(dy * dy + dx * dx) / 2)
                    row, column = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
                    out[:, y, x] += weight * features[:, row, column]
                    total += weight
            out[:, y, x] /= total
    return out


def nearest(target: torch.Tensor, pool: torch.Tensor, valid: list[bool]) -> list[tuple[int, float]]:
    """For each patch the candidate at the least cosine distance, or distance 2 where there is none."""
    found = []
    for p in range(len(target)):
        best = (0, 2.0)
        for s in range(len(pool)):
            cosine = float(target[p] @ pool[s] / (target[p].norm() * pool[s].norm()))
            if valid[s] and 1 - cosine < best[1]:
                best = (s, 1 - cosine)
        found.append(best)
    return found
