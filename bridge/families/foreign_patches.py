"""Other packs' patches inside a graph: they may write into what they are given, and autograd keeps just that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks

from .unet_slots import Dispatcher

_OURS = __name__.rpartition("bridge.")[0] or __name__
# id of a patch -> (the patch, what is called instead), so that one patch is the same object in every step.
Guarded = dict[int, tuple[Any, Callable[..., Any]]]


def guarded_patches(options: dict[str, Any], known: Guarded) -> dict[str, Any]:
    """A shallow copy of transformer options in which every patch works on copies.

    What stands in a replacement slot as ``foreign`` of one of our own is guarded where it stands.
    """
    patches = {name: [_guarded(patch, known) for patch in found] for name, found in options.get("patches", {}).items()}
    slots = {which: {key: _guarded(patch, known) for key, patch in found.items()}
             for which, found in options.get("patches_replace", {}).items()}
    return {**options, **({"patches": patches} if patches else {}), **({"patches_replace": slots} if slots else {})}


def has_patches(options: dict[str, Any]) -> bool:
    """True where a patch of any kind acts in a forward with these options."""
    return any(any(options.get(kind, {}).values()) for kind in ("patches", "patches_replace"))


def replaces_attention(options: dict[str, Any]) -> bool:
    """True where another pack's function stands in an attention slot of a UNet."""
    return any(options.get("patches_replace", {}).get(slot) for slot in ("attn1", "attn2"))


def _guarded(patch: Any, known: Guarded) -> Any:
    if isinstance(patch, Dispatcher):
        return patch if patch.foreign is None else replace(patch, foreign=_guarded(patch.foreign, known))
    if not callable(patch) or str(getattr(patch, "__module__", "")).startswith(_OURS):
        return patch
    return known.setdefault(id(patch), (patch, partial(_on_copies, patch)))[1]


def _on_copies(patch: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The patch on copies of its tensors; what it makes autograd save is saved as it is at that moment."""
    if not torch.is_grad_enabled():
        return patch(*args, **kwargs)
    copies: dict[int, torch.Tensor] = {}  # one tensor may be several arguments, and stays one
    with saved_tensors_hooks(torch.clone, lambda saved: saved):
        return patch(*(_copied(a, copies) for a in args), **{n: _copied(a, copies) for n, a in kwargs.items()})


def _copied(value: Any, copies: dict[int, torch.Tensor]) -> Any:
    """A copy of a tensor, or of those in a dict of arguments; the host's options are handed on as they are."""
    if isinstance(value, torch.Tensor):
        return copies.setdefault(id(value), value.clone())
    if type(value) is dict and "transformer_options" in value:
        return {name: _copied(held, copies) if isinstance(held, torch.Tensor) else held
                for name, held in value.items()}
    return value
