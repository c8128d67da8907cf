"""Attention with a backward pass, wherever the host's options reach; sage and flash attention have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.ldm.modules.attention import attention_pytorch, optimized_attention

from ..errors import DirectorError
from .kernel import OVERRIDE

NO_BACKWARD = ("attention_sage", "attention3_sage", "attention_flash")
# Probabilities [B, H, Nq, Nk] that a graph may keep for each layer: 16 MB in float32.
MOST_PROBABILITIES = 4 * 1024 * 1024

Override = Callable[..., torch.Tensor]


def with_differentiable_attention(model_options: dict[str, Any], node: str = "Attention Director") -> dict[str, Any]:
    """The options with attention by torch's own operations in the place of the host's back end.

    Another pack's override stays: it is given ours as the back end that it overrides. Calling it raises
    DirectorError, naming ``node``, where its own result has no gradient.
    """
    options = model_options.get("transformer_options", {})
    foreign: Override | None = options.get(OVERRIDE)
    override = _instead_of_backend if foreign is None else _inside(foreign, node)
    return {**model_options, "transformer_options": {**options, OVERRIDE: override}}


def backend_without_gradient() -> str:
    """The name of the host's back end where it has no backward pass, for those who call it directly; "" else."""
    name = getattr(optimized_attention, "__name__", "")
    return name if name in NO_BACKWARD else ""


def _instead_of_backend(_backend: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    return _differentiable(*args, **kwargs)


def _inside(foreign: Override, node: str) -> Override:
    def override(_backend: Any, q: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        out = foreign(_differentiable, q, *args, **kwargs)
        if torch.is_grad_enabled() and q.requires_grad and not out.requires_grad:
            name = getattr(foreign, "__module__", None) or type(foreign).__name__
            raise DirectorError(node, f"{name} replaces the attention by one without a gradient; bypass one of the "
                                      "two nodes.")
        return out

    return override


def _differentiable(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args: Any,
                    **kwargs: Any) -> torch.Tensor:
    """As a back end of the host is called."""
    if not args and _better_explicit(q, k, heads, kwargs):
        return _explicit(q, k, v, heads, kwargs)
    return attention_pytorch(q, k, v, heads, *args, **kwargs)


def _better_explicit(q: torch.Tensor, k: torch.Tensor, heads: int, options: dict[str, Any]) -> bool:
    """On a CPU the fused kernel's backward takes twice as long as matmul and softmax, where these are small."""
    unusual = any(options.get(name) is not None for name in ("mask", "scale")) or options.get("enable_gqa")
    size = q.shape[0] * heads * q.shape[-2] * k.shape[-2]
    return q.device.type == "cpu" and q.dtype == torch.float32 and not unusual and size <= MOST_PROBABILITIES


def _explicit(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, options: dict[str, Any]) -> torch.Tensor:
    """softmax(q k^T / sqrt(D)) v, in and out as the host's backends have it: [B, N, H*D], or [B, H, N, D]."""
    if not options.get("skip_reshape"):
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    out = torch.softmax(q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2), -1) @ v
    return out if options.get("skip_output_reshape") else out.transpose(1, 2).flatten(2)
