"""The host's attention as core's kernel, for every family."""

from __future__ import annotations

from typing import Any

import torch
from comfy.ldm.modules.attention import get_attention_function, optimized_attention

from ...core.attention import Kernel

_EIGHT_BIT_BACKENDS = ("attention_sage", "attention3_sage")


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """[B, N, H*D] to [B, H, N, D]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: torch.Tensor) -> torch.Tensor:
    """[B, H, N, D] to [B, N, H*D]."""
    return x.transpose(1, 2).flatten(2)


def host_kernel(options: dict[str, Any], biased: bool) -> Kernel:
    """The host's attention on [B, H, N, D]. Back ends of eight bits and less would round a bias away."""
    backend = optimized_attention
    if biased and getattr(backend, "__name__", "") in _EIGHT_BIT_BACKENDS:
        backend = get_attention_function("pytorch", optimized_attention) or optimized_attention

    def kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        heads = q.shape[1]
        out = backend(join_heads(q), join_heads(k), join_heads(v), heads,
                      attn_precision=options.get("attn_precision"), transformer_options=options)
        return split_heads(out, heads)

    return kernel
