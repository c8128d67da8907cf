"""Gradients through the host's networks, whose weights are inference tensors inside a running graph.

    with gradients(model.diffusion_model):
        x = trainable(x)
        ... = torch.autograd.grad(loss_of(x), x)

The host runs nodes in inference mode, so weights loaded there cannot be saved for a backward pass. A
tensor taken through DLPack outside that mode is a normal one on the same storage: nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from comfy.ldm.modules.attention import attention_pytorch
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

ATTENTION_OVERRIDE = "optimized_attention_override"
# id of a weight -> (the weight, its stand-in)
StandIns = dict[int, tuple[torch.Tensor, torch.Tensor]]
START = 1.0  # largest entry of a direction in half precision


@contextmanager
def gradients(*modules: torch.nn.Module, known: StandIns | None = None) -> Iterator[None]:
    """Autograd on, inference mode off, and gradients can pass through the modules.

    known: a dict to keep while the same modules are entered again and again, which then is faster.
    Whatever else meets the graph there, such as a patch's keys made in inference mode, is taken by alias.
    """
    with torch.inference_mode(False), torch.enable_grad(), _AliasedArguments(), ExitStack() as stack:
        for module in modules:
            stack.enter_context(differentiable_weights(module, known))
        yield


class _AliasedArguments(TorchFunctionMode):
    """Hands every torch function aliases of its inference tensors, which autograd may save."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _HARMLESS or not (any(map(_unfit, args)) or (kwargs and any(map(_unfit, kwargs.values())))):
            return func(*args, **(kwargs or {}))
        return func(*[_ordinary(a) for a in args], **{name: _ordinary(a) for name, a in (kwargs or {}).items()})


# What reads a tensor's facts, or aliases it, needs none.
_HARMLESS = frozenset((torch.Tensor.is_inference, torch.Tensor.detach, torch.Tensor.data_ptr, torch.Tensor.__dlpack__,
                       torch.Tensor.__dlpack_device__, torch.Tensor.size, torch.Tensor.dim, torch.Tensor.numel,
                       *(getattr(torch.Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim",
                                                                          "requires_grad"))))


def _unfit(value: Any) -> bool:
    """True for what ``_ordinary`` has to look at."""
    return value.is_inference() if isinstance(value, torch.Tensor) else type(value) in (list, tuple)


def _ordinary(value: Any) -> Any:
    """An argument of a torch function, or a list of them, without inference tensors."""
    if type(value) is torch.Tensor or type(value) is torch.nn.Parameter:
        return _alias(value.detach()) if value.is_inference() else value
    if type(value) in (list, tuple) and any(isinstance(v, torch.Tensor) for v in value):
        return type(value)(_ordinary(v) for v in value)
    return value


@contextmanager
def differentiable_weights(module: torch.nn.Module, known: StandIns | None = None) -> Iterator[None]:
    """For the duration, stand constants of the same storage in for the module's weights and buffers.

    No gradient is kept for them, only passed on to what goes through them. The objects that were
    there are put back afterwards, save where the host has set others meanwhile (its weight hooks do).
    """
    with torch.inference_mode(False):
        places = list(_places(module))
        stand_ins = {} if known is None else known
        for _, _, value in places:
            held = stand_ins.get(id(value))
            if held is None or held[1].data_ptr() != value.data_ptr():
                stand_ins[id(value)] = value, constant(value)
    try:
        for values, name, value in places:
            values[name] = stand_ins[id(value)][1]
        yield
    finally:
        for values, name, value in places:
            if values.get(name) is stand_ins[id(value)][1]:
                values[name] = value


def _places(module: torch.nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    """(store, name, value) of every weight and buffer that a graph cannot take as it is."""
    for part in module.modules():
        stores: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)
        for values in stores:
            for name, value in values.items():
                if value is not None and (value.is_inference() or value.requires_grad):
                    yield values, name, value


def constant(value: torch.Tensor) -> torch.Tensor:
    """A normal tensor (or Parameter) on the storage of ``value`` that wants no gradient.

    Quantised subclasses and devices that DLPack does not know are cloned instead.
    """
    alias = _alias(value.detach())
    if not isinstance(value, torch.nn.Parameter):
        return alias
    made = torch.nn.Parameter(alias, requires_grad=False)
    vars(made).update(vars(value))  # notes that the host keeps on its parameters
    return made


def _alias(value: torch.Tensor) -> torch.Tensor:
    if not value.is_inference():
        return value
    if type(value) is not torch.Tensor:
        return value.clone()
    try:
        return torch.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError):
        return value.clone()


def trainable(value: torch.Tensor) -> torch.Tensor:
    """A copy of ``value`` to differentiate by: a leaf of a new graph."""
    return value.detach().clone().requires_grad_()


def normal(value: torch.Tensor) -> torch.Tensor:
    """``value`` as a tensor that autograd may save; copied only where it has to be."""
    return value.clone() if value.is_inference() else value


def with_differentiable_attention(model_options: dict[str, Any]) -> dict[str, Any]:
    """The options with attention by torch's own kernel; sage and flash attention have no backward."""

    def override(_backend: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        return attention_pytorch(*args, **kwargs)

    return with_transformer_options(model_options, {ATTENTION_OVERRIDE: override})


def with_transformer_options(model_options: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """A shallow copy of the options with entries in its transformer_options."""
    return {**model_options, "transformer_options": {**model_options.get("transformer_options", {}), **added}}


@contextmanager
def checkpointed(blocks: list[torch.nn.Module]) -> Iterator[None]:
    """For the duration, let the blocks keep only their inputs and compute the rest again going backward.

    The backward pass belongs inside. Options (dicts) are passed on as they were at the first call,
    because the host writes the block's address into them as it goes.
    """
    try:
        for block in blocks:
            block.__dict__["forward"] = _recomputing(block.forward)
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


def _recomputing(forward: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        kept = [_copied(a) for a in args], {name: _copied(a) for name, a in kwargs.items()}
        return checkpoint(lambda: forward(*map(_copied, kept[0]), **{n: _copied(a) for n, a in kept[1].items()}),
                          use_reentrant=False)

    return run


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def gradient_of(outputs: list[torch.Tensor], by: torch.Tensor, directions: list[torch.Tensor],
                tries: int = 3) -> torch.Tensor | None:
    """The direction, not the size, of sum_i <directions_i, d outputs_i / d by>; None when never finite.

    Half precision holds a narrow range: there the directions are scaled to a largest entry of
    ``START``, and by 1/64 of that at each further try.
    """
    half = any(o.dtype in (torch.float16, torch.bfloat16) for o in outputs)
    for attempt in range(tries):
        scaled = _scaled(directions, START * 64.0 ** -attempt) if half else directions
        found, = torch.autograd.grad(outputs, by, [d.to(o.dtype) for d, o in zip(scaled, outputs, strict=True)],
                                     retain_graph=half and attempt + 1 < tries)
        if found.isfinite().all():
            return found
        if not half:
            break
    return None


def _scaled(directions: list[torch.Tensor], largest: float) -> list[torch.Tensor]:
    peak = torch.stack([d.abs().amax().float() for d in directions]).amax().clamp_min(torch.finfo(torch.float32).tiny)
    return [d * (largest / peak) for d in directions]
