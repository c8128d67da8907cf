"""A small CLIP text encoder over the rows of its token table that captions use."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4, "num_hidden_layers": 4}
TOKENS = 77


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for part in (self.q_proj, self.k_proj, self.v_proj))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(out.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn = Attention(width, heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        y = self.mlp["fc1"](self.layer_norm2(x))
        return x + self.mlp["fc2"](y * torch.sigmoid(1.702 * y))


class Clip(nn.Module):
    """Rows [B, 77] of the table to the context [B, 77, C] that the host's CLIP gives for the same caption."""

    def __init__(self, rows: int, config: dict[str, int] = CONFIG, tokens: int = TOKENS) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.embeddings = nn.ModuleDict({"token_embedding": nn.Embedding(rows, width),
                                         "position_embedding": nn.Embedding(tokens, width)})
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(
            Layer(width, config["intermediate_size"], config["num_attention_heads"])
            for _ in range(config["num_hidden_layers"]))
        self.final_layer_norm = nn.LayerNorm(width)
        for table in self.embeddings.values():
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        x = self.embeddings["token_embedding"](rows) + self.embeddings["position_embedding"].weight
        for layer in self.encoder.layers:
            x = layer(x)
        return self.final_layer_norm(x)
