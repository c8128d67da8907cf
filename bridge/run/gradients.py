"""Gradients through the host's networks, whose weights are inference tensors inside a running graph.

    with gradients(model.diffusion_model):
        x = trainable(x)
        ... = torch.autograd.grad(loss_of(x), x)

The host runs nodes in inference mode, so weights loaded there cannot be saved for a backward pass. A
tensor taken through DLPack outside that mode is a normal one on the same storage: nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

START = 1.0  # largest entry of a direction in half precision


class Place(NamedTuple):
    """A weight or buffer, the dict it stands in, and its alias; address: of the storage that both have."""

    store: dict[str, Any]
    name: str
    value: torch.Tensor
    alias: torch.Tensor
    address: int


@dataclass
class WeightAliases:
    """Cache of weight aliases, reused across steps: places, until a weight is another one or has moved."""

    places: list[Place] = field(default_factory=list)

    def of(self, module: torch.nn.Module) -> list[Place]:
        if not self.places or any(at.store.get(at.name) is not at.value or at.value.data_ptr() != at.address
                                  for at in self.places):
            self.places = list(_places(module, {id(at.value): at for at in self.places}))
        return self.places


@contextmanager
def gradients(*modules: torch.nn.Module, known: WeightAliases | None = None,
              foreign_tensors: bool = True) -> Iterator[None]:
    """Autograd on, inference mode off, and gradients can pass through the modules.

    known: to keep while the same module is entered again and again, which then is faster.
    foreign_tensors: whatever else meets the graph there, such as a patch's keys made in inference mode, is taken
    by alias. That looks at every torch call, so it can be left out where there is nothing of the kind.
    """
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as stack:
        if foreign_tensors:
            stack.enter_context(_AliasedArguments())
        for module in modules:
            stack.enter_context(differentiable_weights(module, known))
        yield


def is_inference_error(error: RuntimeError) -> bool:
    """Did autograd refuse a tensor that was made in inference mode?"""
    return "Inference tensors cannot be saved" in str(error)


class _AliasedArguments(TorchFunctionMode):
    """Hands every torch function aliases of its inference tensors, which autograd may save."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in _HARMLESS or not (any(map(is_inference, args)) or any(map(is_inference, named.values()))):
            return func(*args, **named)
        return func(*map(as_autograd, args), **{name: as_autograd(value) for name, value in named.items()})


# What reads a tensor's facts, or aliases it, needs none.
_HARMLESS = frozenset((torch.Tensor.is_inference, torch.Tensor.detach, torch.Tensor.data_ptr, torch.Tensor.__dlpack__,
                       torch.Tensor.__dlpack_device__, torch.Tensor.size, torch.Tensor.dim, torch.Tensor.numel,
                       *(getattr(torch.Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim",
                                                                          "requires_grad"))))


def is_inference(value: Any) -> bool:
    """True for an inference tensor, and for a list, which may hold one."""
    return value.is_inference() if isinstance(value, torch.Tensor) else type(value) in (list, tuple)


def as_autograd(value: Any) -> Any:
    """An argument of a torch function, or a list of them, without inference tensors."""
    if type(value) is torch.Tensor or type(value) is torch.nn.Parameter:
        return _alias(value.detach()) if value.is_inference() else value
    if type(value) in (list, tuple) and any(isinstance(v, torch.Tensor) for v in value):
        return type(value)(as_autograd(v) for v in value)
    return value


@contextmanager
def differentiable_weights(module: torch.nn.Module, known: WeightAliases | None = None) -> Iterator[None]:
    """For the duration, put constants of the same storage in the place of the module's weights and buffers.

    No gradient is kept for them, only passed on to what goes through them. The objects that were
    there are put back afterwards, save where the host has set others meanwhile (its weight hooks do).
    """
    with torch.inference_mode(False):
        places = (known or WeightAliases()).of(module)
    try:
        for at in places:
            at.store[at.name] = at.alias
        yield
    finally:
        for at in places:
            if at.store.get(at.name) is at.alias:
                at.store[at.name] = at.value


def _places(module: torch.nn.Module, before: dict[int, Place]) -> Iterator[Place]:
    """Every weight and buffer that a graph cannot take as it is. before: by the id of the value, those known."""
    for part in module.modules():
        for store in (part._parameters, part._buffers):
            for name, value in store.items():
                if value is None or not (value.is_inference() or value.requires_grad):
                    continue
                held, address = before.get(id(value)), value.data_ptr()
                alias = held.alias if held and held.address == address else constant(value)
                before[id(value)] = Place(store, name, value, alias, address)
                yield before[id(value)]


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


def trainable(value: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A copy of ``value`` to differentiate by, in its own precision or another: a leaf of a new graph."""
    return value.detach().to(dtype or value.dtype, copy=True).requires_grad_()


def normal(value: torch.Tensor) -> torch.Tensor:
    """``value`` as a tensor that autograd may save; copied only where it has to be."""
    return value.clone() if value.is_inference() else value


def with_transformer_options(model_options: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """A shallow copy of the options with entries in its transformer_options."""
    return {**model_options, "transformer_options": {**model_options.get("transformer_options", {}), **added}}


# Asked when a block is entered first; what it returns is entered each time the block is computed again.
Remember = Callable[[], Callable[[], AbstractContextManager[Any]]]


@contextmanager
def checkpointed(blocks: list[torch.nn.Module], remember: Remember = lambda: nullcontext) -> Iterator[None]:
    """For the duration, let the blocks keep only their inputs and compute the rest again going backward.

    The backward pass belongs inside. Options (dicts) are passed on as they were at the first call, because the host
    writes the block's address into them as it goes, and tensors as copies, because some blocks add to them in place.
    remember: puts back whatever else a block's outputs depend on.
    """
    calls: list[_BlockCall] = []
    try:
        for block in blocks:
            block.__dict__["forward"] = _recomputing(block.forward, remember, calls)
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)
        for call in calls:
            call.forget()


@dataclass(eq=False)
class _BlockCall:
    """One call of a block, to be made again. begun: it was made once, so ``again`` puts its surroundings back.

    The graph holds this call, and its options lead to outputs of later blocks, which hold the graph: a ring through
    autograd that Python's collector cannot see. A backward pass opens it; a run stopped before one would keep it for
    good. So whoever opened the block forgets its calls at the end.
    """

    forward: Callable[..., Any]
    args: list[Any]
    named: dict[str, Any]
    again: Callable[[], AbstractContextManager[Any]]
    begun: bool = False

    def __call__(self) -> Any:
        with self.again() if self.begun else nullcontext():
            self.begun = True
            return self.forward(*map(_copied, self.args), **{name: _copied(a) for name, a in self.named.items()})

    def forget(self) -> None:
        self.args, self.named, self.again = [], {}, nullcontext


def _recomputing(forward: Any, remember: Remember, calls: list[_BlockCall]) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        calls.append(_BlockCall(forward, list(map(_kept, args)), {n: _kept(a) for n, a in kwargs.items()}, remember()))
        return checkpoint(calls[-1], use_reentrant=False)

    return run


def _kept(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else _kept(value)


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
