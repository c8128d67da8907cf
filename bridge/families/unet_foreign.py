"""Another pack's replacement at a layer where we act: compose with it, or refuse by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from ...core.attention import attend_with_bias, fits_kernel
from ...core.call import Attend, AttentionCall
from ..errors import DirectorError
from .kernel import host_kernel, join_heads, split_heads

Foreign = Callable[..., torch.Tensor]
_TOLERANCE = 1e-2


def name_of(foreign: Foreign) -> str:
    """What to call it in a message."""
    source = foreign if hasattr(foreign, "__qualname__") else type(foreign)
    return f"{getattr(source, '__module__', '?')}.{getattr(source, '__qualname__', '?')}"


def run_foreign(foreign: Foreign, call: AttentionCall, options: dict[str, Any]) -> torch.Tensor:
    """The other pack's attention on the call's q, k, v: [B, H, Nq, D]. Raises when it changes the shape."""
    q = join_heads(call.q)
    own = {**options, "n_heads": call.q.shape[1], "dim_head": call.q.shape[-1]}
    out = foreign(q, join_heads(call.k), join_heads(call.v), own)
    if out.shape != q.shape:
        raise DirectorError("Attention Director", f"{name_of(foreign)} at {call.layer} returns {tuple(out.shape)} for "
                                                  f"{tuple(q.shape)}; bypass one of the two nodes.")
    return split_heads(out, call.q.shape[1])


def plain(call: AttentionCall, options: dict[str, Any]) -> torch.Tensor:
    """The host's attention, without our bias."""
    return host_kernel(options, biased=False)(call.q, call.k, call.v)


def is_additive(foreign: Foreign, call: AttentionCall, options: dict[str, Any]) -> bool:
    """True for a patch that adds its own attention to the text's, as IPAdapter does.

    What it adds, foreign(q, k, v) - plain(q, k, v), must then be what it gives when v is zero. What
    rounding makes of that difference is allowed for: a patch faded to nothing adds nothing else.
    """
    basis = plain(call, options)
    added = run_foreign(foreign, call, options) - basis
    alone = run_foreign(foreign, replace(call, v=torch.zeros_like(call.v)), options)
    size = torch.maximum(added.abs().amax(), alone.abs().amax())
    rounding = max(1e-5, 4 * torch.finfo(basis.dtype).eps) * basis.abs().amax()
    return bool((added - alone).abs().amax() <= _TOLERANCE * size + rounding)


def with_residual(foreign: Foreign, call: AttentionCall, options: dict[str, Any]) -> AttentionCall:
    """The call, knowing what the patch adds to the plain attention of its rows; found once, when it is needed."""
    return replace(call, residual=cache(lambda: run_foreign(foreign, call, options) - plain(call, options)))


def attend_self(foreign: Foreign, original: AttentionCall, options: dict[str, Any]) -> Attend:
    """Innermost self-attention with a patch: run it on our q, k, v where their layout is unchanged.

    With a bias it gets the widened, padded heads. With gathered keys, or more columns than heads can
    be widened by, or for some of the rows only, what it adds is added instead.
    """
    def attend(inner: AttentionCall) -> torch.Tensor:
        same_layout = inner.k.shape[:3] == original.k.shape[:3]
        if not same_layout or not fits_kernel(inner.q, inner.bias):
            return own_attention(inner, options)

        def kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return run_foreign(foreign, replace(inner, q=q, k=k, v=v, bias=None), options)

        return attend_with_bias(inner.q, inner.k, inner.v, inner.bias, kernel)

    return attend


def own_attention(call: AttentionCall, options: dict[str, Any]) -> torch.Tensor:
    """The host's attention with our bias, and what an additive patch of another pack adds to it."""
    kernel = host_kernel(options, biased=call.bias is not None)
    out = attend_with_bias(call.q, call.k, call.v, call.bias, kernel)
    return out if call.residual is None else out + call.residual()
