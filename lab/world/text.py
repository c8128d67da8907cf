"""The world's text encoder in training: the host's CLIP layers behind a small table of embeddings.

Only the token rows that captions use are trained and stored. Every other token of the stock CLIP
vocabulary shares one neutral row, which a loader copies into the full table.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from .caption import vocabulary
from .nets import TEXT_CONFIG, initialise

TOKENS = 77
BOS, EOS = 49406, 49407


def stock_tokenizer():
    """The host's stock CLIP-L tokenizer."""
    from comfy.sd1_clip import SDTokenizer

    return SDTokenizer()


class Words:
    """Captions to rows of the small embedding table; row 0 is the neutral one."""

    def __init__(self) -> None:
        self.tokenizer = stock_tokenizer()
        ids = {BOS, EOS}
        for word in vocabulary():
            ids.update(self.tokenizer.tokenizer(word, add_special_tokens=False)["input_ids"])
        self.ids = sorted(ids)
        self.row = {token: i + 1 for i, token in enumerate(self.ids)}
        self._phrases: dict[str, list[int]] = {}

    def phrase(self, text: str) -> list[int]:
        """Rows of the table for a phrase, without begin and end."""
        if text not in self._phrases:
            ids = self.tokenizer.tokenizer(text, add_special_tokens=False)["input_ids"]
            self._phrases[text] = [self.row.get(token, 0) for token in ids]
        return self._phrases[text]

    def rows(self, texts: list[str]) -> torch.Tensor:
        """Rows of the table for each caption, padded as the host pads: int64 [B, 77]."""
        out = torch.full((len(texts), TOKENS), self.row[EOS], dtype=torch.long)
        for i, text in enumerate(texts):
            line = [self.row[BOS], *self.phrase(text)[:TOKENS - 2]]
            out[i, :len(line)] = torch.tensor(line)
        return out


def text_config() -> dict:
    """The host's CLIP-L settings with the world's sizes."""
    import comfy.sd1_clip

    stock = json.loads((Path(comfy.sd1_clip.__file__).parent / "sd1_clip_config.json").read_text())
    return {**stock, **TEXT_CONFIG}


class TextEncoder(nn.Module):
    """Rows [B, 77] to the context [B, 77, C] that the host's CLIP gives for the same caption."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        import comfy.ops
        from comfy.clip_model import CLIPTextModel_

        config = text_config()
        self.model = initialise(CLIPTextModel_(config, torch.float32, None, comfy.ops.disable_weight_init))
        width = config["hidden_size"]
        self.model.embeddings.token_embedding = nn.Embedding(rows, width)
        for table in (self.model.embeddings.token_embedding, self.model.embeddings.position_embedding):
            nn.init.normal_(table.weight, std=0.02)
            table.weight.requires_grad_(True)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        embeddings = self.model.embeddings
        x = embeddings.token_embedding(rows) + embeddings.position_embedding.weight
        # The host's CLIPLayer adds in place, which breaks a backward pass: the same sums, out of place.
        for layer in self.model.encoder.layers:
            x = x + causal_attention(layer.self_attn, layer.layer_norm1(x))
            x = x + layer.mlp(layer.layer_norm2(x))
        return self.model.final_layer_norm(x)


def causal_attention(attn: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The host's CLIPAttention under a causal mask, explicit for a fast backward. x: [B, T, C]."""
    q, k, v = (proj(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
               for proj in (attn.q_proj, attn.k_proj, attn.v_proj))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
    weights = torch.softmax(scores.masked_fill(future, -1e4), dim=-1)
    return attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
