"""Whether a layer's call still holds what the run thinks: its rows, its pixels, its words; else who changed it.

Other packs' patches stand before the slot where our methods act. Pixels that were regrouped (HyperTile) or merged
(ToMe) are left to them in that layer. Other rows or fewer words are refused: no method could act truly there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ...core.method import ModelCall
from ...core.network import LayerAddress
from ..errors import DirectorError

# Where a dispatcher finds the patches that stood before it, which the host keeps from replacements.
PATCHES_KEY = "attention_director_patches"

Patches = Mapping[str, Sequence[Callable[..., Any]]]
_BEFORE = {"self": "attn1_patch", "cross": "attn2_patch"}


def grid_of(options: dict[str, Any], queries: int) -> tuple[int, int] | None:
    """(h, w) of the layer's pixels, or None when another pack has regrouped them."""
    shape = options.get("activations_shape")
    if shape is None or shape[2] * shape[3] != queries:
        return None
    return int(shape[2]), int(shape[3])


def fits(q: torch.Tensor, k: torch.Tensor, options: dict[str, Any], layer: LayerAddress, call: ModelCall,
         whole: bool) -> bool:
    """True where methods may act, False where they stand aside: q [B, Nq, C] was regrouped, or k [B, Nk, C] lengthened.

    whole: q holds the layer's pixels (``grid_of``). Raises DirectorError for rows that are not the run's, and for lost
    words.
    """
    rows = call.rows[-1].stop
    if q.shape[0] != rows and not _regrouped(q, options, rows):
        raise DirectorError(label_of(call, layer), f"{_others(layer, options)} makes {q.shape[0]} rows of the {rows} "
                            f"of the attention at {layer}, so the node cannot act beside it; bypass one of the two "
                            "nodes.")
    if layer.kind == "cross" and (words := _longest(call)) > k.shape[1]:
        raise DirectorError(label_of(call, layer), f"{_others(layer, options)} gives the text attention at {layer} "
                            f"{k.shape[1]} tokens of a prompt of {words}, so the node cannot act beside it; bypass one "
                            "of the two nodes.")
    return whole and q.shape[0] == rows and (layer.kind == "cross" or k.shape[1] == q.shape[1])


def name_of(foreign: Any) -> str:
    """What to call another pack's function in a message: its module and name."""
    source = foreign if hasattr(foreign, "__qualname__") else type(foreign)
    return f"{getattr(source, '__module__', '?')}.{getattr(source, '__qualname__', '?')}"


def label_of(call: ModelCall, layer: LayerAddress) -> str:
    """The node to sign a message with: the first whose method wants the layer."""
    return next((method.label for method in call.chain.wanting(layer)), "Attention Director")


def _regrouped(q: torch.Tensor, options: dict[str, Any], rows: int) -> bool:
    """True where the rows hold the same pixels in other groups."""
    shape = options.get("activations_shape")
    return shape is not None and q.shape[0] * q.shape[1] == rows * shape[2] * shape[3]


def _longest(call: ModelCall) -> int:
    """Tokens of the longest prompt of the call whose places are known."""
    return call.scratch.once_of("longest prompt", (call.rows,), lambda: max(
        (span.tag.width + span.tag.appended for span in call.rows if span.tag is not None), default=0))


def _others(layer: LayerAddress, options: dict[str, Any]) -> str:
    """Whose patches come before the layer's attention."""
    patches: Patches = options[PATCHES_KEY]
    return " and ".join(name_of(patch) for patch in patches.get(_BEFORE[layer.kind], ())) or "another node"
