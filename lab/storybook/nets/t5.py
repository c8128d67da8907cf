"""A small T5 encoder over the rows of its token table that captions use; padding is attended, as the host does."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {"d_model": 256, "d_ff": 512, "d_kv": 64, "num_heads": 4, "num_layers": 3}
TOKENS = 64
BUCKETS, FARTHEST = 32, 128


class RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6).to(x.dtype))


def relative_buckets(length: int) -> torch.Tensor:
    """Bucket of key minus query, int64 [length, length]: near ones alone, far ones in logarithmic steps, by sign."""
    offset = torch.arange(length)[None] - torch.arange(length)[:, None]
    near = BUCKETS // 4
    far = near + (torch.log(offset.abs().clamp(min=1) / near) / math.log(FARTHEST / near) * near).long()
    size = torch.where(offset.abs() < near, offset.abs(), far.clamp(max=2 * near - 1))
    return size + (offset > 0) * 2 * near


def linear(inside: int, outside: int) -> nn.Linear:
    return nn.Linear(inside, outside, bias=False)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, head: int, biased: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (linear(width, heads * head) for _ in range(3))
        self.o = linear(heads * head, width)
        if biased:
            self.relative_attention_bias = nn.Embedding(BUCKETS, heads)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), scale=1.0)  # T5 scales no scores
        return self.o(out.transpose(1, 2).flatten(2))


class SelfAttentionLayer(nn.Module):
    def __init__(self, width: int, heads: int, head: int, biased: bool) -> None:
        super().__init__()
        self.SelfAttention = Attention(width, heads, head, biased)
        self.layer_norm = RmsNorm(width)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return x + self.SelfAttention(self.layer_norm(x), bias)


class FeedForwardLayer(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.DenseReluDense = nn.ModuleDict({"wi_0": linear(width, inner), "wi_1": linear(width, inner),
                                             "wo": linear(inner, width)})
        self.layer_norm = RmsNorm(width)

    def forward(self, x: torch.Tensor, _bias: torch.Tensor) -> torch.Tensor:
        dense, y = self.DenseReluDense, self.layer_norm(x)
        return x + dense["wo"](F.gelu(dense["wi_0"](y), approximate="tanh") * dense["wi_1"](y))


class T5(nn.Module):
    """Rows [B, T] of the table to the context [B, T, C] that the host's T5 gives for the same caption."""

    def __init__(self, rows: int, config: dict[str, int] = CONFIG, tokens: int = TOKENS) -> None:
        super().__init__()
        width, heads, head, inner = (config[key] for key in ("d_model", "num_heads", "d_kv", "d_ff"))
        self.shared = nn.Embedding(rows, width)
        self.encoder = nn.Module()
        self.encoder.block = nn.ModuleList()
        for number in range(config["num_layers"]):
            block = nn.Module()
            block.layer = nn.ModuleList([SelfAttentionLayer(width, heads, head, number == 0),
                                         FeedForwardLayer(width, inner)])
            self.encoder.block.append(block)
        self.encoder.final_layer_norm = RmsNorm(width)
        self.register_buffer("buckets", relative_buckets(tokens), persistent=False)
        self.reset()

    def reset(self) -> None:
        """T5's own scale of initial weights: scores are not divided by the root of the head's width."""
        for name, value in self.named_parameters():
            if name.endswith(("q.weight", "o.weight")):
                nn.init.normal_(value, std=(value.shape[1] * 64) ** -0.5)
            elif "shared" in name:
                nn.init.normal_(value, std=1.0)
            elif "relative" in name:
                nn.init.zeros_(value)
            elif value.ndim == 2:
                nn.init.normal_(value, std=value.shape[1] ** -0.5)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        x = self.shared(rows)
        first = self.encoder.block[0].layer[0].SelfAttention
        bias = first.relative_attention_bias(self.buckets).permute(2, 0, 1)[None]
        for block in self.encoder.block:
            for layer in block.layer:
                x = layer(x, bias)
        return self.encoder.final_layer_norm(x)
