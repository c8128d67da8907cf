"""Another pack's replacement at a layer where we act: compose with it, or refuse by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import torch

from ...core.attention import attend_with_bias, fits_kernel
from ...core.call import Attend, AttentionCall
from ...core.ruled import attend, by_columns, with_fixed_rules
from ..errors import DirectorError
from .kernel import OVERRIDE, host_kernel, join_heads, split_heads
from .unet_fit import name_of

Foreign = Callable[..., torch.Tensor]
Addition = Literal["none", "adds", "replaces"]
_TOLERANCE = 1e-2


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


def addition(foreign: Foreign, call: AttentionCall, options: dict[str, Any]) -> Addition:
    """What a patch at the text's attention does to it.

    IPAdapter adds its own attention, PuLID one made orthogonal to the text's: of twice the values v they give once
    the text's attention more, foreign(q, k, 2v) - foreign(q, k, v) = plain(q, k, v). What stands in the text's
    place does not. A patch that adds nothing yet may begin later in the run.
    """
    basis, once = plain(call, options), run_foreign(foreign, call, options)
    more = run_foreign(foreign, replace(call, v=2 * call.v), options) - once
    size = torch.maximum(basis.abs().amax(), once.abs().amax())
    rounding = max(1e-5, 4 * torch.finfo(basis.dtype).eps) * size
    added = (once - basis).abs().amax()
    follows = (more - basis).abs().amax() <= _TOLERANCE * added + rounding
    replaces, idle = torch.stack((~follows, added <= rounding)).tolist()
    return "replaces" if replaces else "none" if idle else "adds"


def with_residual(foreign: Foreign, call: AttentionCall, options: dict[str, Any]) -> AttentionCall:
    """The call, knowing what the patch adds to the plain attention of its rows; found once, when it is needed."""
    return replace(call, residual=cache(lambda: run_foreign(foreign, call, options) - plain(call, options)))


def attend_self(foreign: Foreign, original: AttentionCall, options: dict[str, Any]) -> Attend:
    """Innermost self-attention with a patch: run it on our q, k, v where their layout is unchanged.

    With a bias it gets the widened, padded heads. With gathered keys, or more columns than heads can
    be widened by, or for some of the rows only, what it adds is added instead.
    """
    def around(inner: AttentionCall) -> torch.Tensor:
        same_layout = inner.k.shape[:3] == original.k.shape[:3]
        inner = with_fixed_rules(inner)
        if not same_layout or not fits_kernel(inner.q, inner.bias):
            return own_attention(inner, options)

        def kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return run_foreign(foreign, replace(inner, q=q, k=k, v=v, bias=None), options)

        return attend_with_bias(inner.q, inner.k, inner.v, inner.bias, kernel)

    return around


def own_attention(call: AttentionCall, options: dict[str, Any]) -> torch.Tensor:
    """The host's attention with our bias, and what an additive patch of another pack adds to it."""
    way = by_columns if OVERRIDE in options else attend  # another pack's attention is asked, whatever it is
    out = way(call, host_kernel(options, biased=call.bias is not None or bool(call.rules)))
    return out if call.residual is None else out + call.residual()
