"""The host's attention as core's kernel, for every family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.ldm.modules.attention import get_attention_function, optimized_attention

from ...core.attention import Kernel, attend_with_bias, row_range
from ...core.call import AttentionCall, LowRankBias

# Where the host looks for another pack's attention, and joint families put ours.
OVERRIDE = "optimized_attention_override"
_EIGHT_BIT_BACKENDS = ("attention_sage", "attention3_sage")
# Computes the same of heads that are split already; to others memory laid out in another way is another rounding.
_WITH_HEADS = "attention_pytorch"
# Queries whose logits are looked at, the range these get, and a bias that regions may well have beside them.
_ASKED, _SHARP, _LARGE = 8, 12.0, 30.0


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """[B, N, H*D] to [B, H, N, D]."""
    rows, tokens, width = x.shape
    return x.view(rows, tokens, heads, width // heads).transpose(1, 2)


def join_heads(x: torch.Tensor) -> torch.Tensor:
    """[B, H, N, D] to [B, N, H*D]."""
    return x.transpose(1, 2).flatten(2)


def exact(backend: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A back end of the host that keeps a bias: those of eight bits and less would round it away."""
    if getattr(backend, "__name__", "") not in _EIGHT_BIT_BACKENDS:
        return backend
    return get_attention_function("pytorch", backend) or backend


def host_kernel(options: dict[str, Any], biased: bool) -> Kernel:
    """The host's attention on [B, H, N, D]."""
    backend = exact(optimized_attention) if biased else optimized_attention

    more = {"attn_precision": options.get("attn_precision"), "transformer_options": options}
    if OVERRIDE not in options and getattr(backend, "__name__", "") == _WITH_HEADS:
        more |= {"skip_reshape": True, "skip_output_reshape": True}
        return lambda q, k, v: backend(q, k, v, q.shape[1], **more)

    def kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        heads = q.shape[1]
        return split_heads(backend(join_heads(q), join_heads(k), join_heads(v), heads, **more), heads)

    return kernel


@torch.no_grad()
def takes_bias(kernel: Kernel, call: AttentionCall) -> bool:
    """True where a kernel of unknown make keeps bias columns as it keeps the rest of the heads.

    Asked of the call itself, its queries made sharp so that a lost logit shows: two large columns that cancel each
    other must change nothing. Kernels of eight bits lose the logits beside them, others refuse heads of that width.
    """
    assert call.bias is not None
    reach = row_range(call.q[:, :, :_ASKED], call.k).mean()
    q = call.q * (_SHARP / reach.clamp(min=1e-6)).to(call.q.dtype)
    pairs = -(-call.bias.left.shape[-1] // 2)
    left = torch.tensor([_LARGE, -_LARGE], device=q.device).repeat(pairs).expand(*q.shape[:3], -1)
    right = torch.ones((*call.k.shape[:1], 1, call.k.shape[2], 2 * pairs), device=q.device)
    right[:, :, ::2] = -1.0
    plain = kernel(q, call.k, call.v).float()
    try:
        biased = attend_with_bias(q, call.k, call.v, LowRankBias(left, right), kernel).float()
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False
    return bool((biased - plain).abs().mean() < 0.05 * plain.abs().mean())


def backend_name() -> str:
    """The host's attention that is in use, by its own name."""
    return getattr(optimized_attention, "__name__", type(optimized_attention).__name__)
