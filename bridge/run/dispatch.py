"""One call of the model: whose its rows are, and the methods that act in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from ...core.hooks import AddsForwards, BeginsCall, EditsOutputs, ReadsFeatures, ReadsInputs
from ...core.method import Chain, ModelCall, ObservesAttention
from ...core.network import LayerAddress
from ..errors import DirectorError
from ..families.family import inputs_of
from .parts import is_area, refuse_split_batch, refuse_tiles

RUN_KEY = "attention_director_run"
_SEES_THE_NETWORK = (AddsForwards, EditsOutputs, ReadsFeatures, ReadsInputs, ObservesAttention)


def apply_model(executor: Any, x: torch.Tensor, t: torch.Tensor, c_concat: Any = None, c_crossattn: Any = None,
                control: Any = None, transformer_options: dict[str, Any] | None = None, **kwargs: Any) -> torch.Tensor:
    """APPLY_MODEL wrapper: let methods act in this one model call, on a copy of its options."""
    options = transformer_options or {}
    run = options.get(RUN_KEY)
    if run is None or not run.owns(executor.class_obj):
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    step = run.step_at(run.sigma_of_call(t, options), executor.class_obj)
    rows = run.rows(options, x.shape[0])
    call = ModelCall(rows, step, run.active(step, rows), run.scratch)
    acts = run.scratch.once_of("changes the model", (call.chain,), lambda: changes_model(call.chain, run.layers))
    if not is_area(run, options):
        refuse_tiles(run, x, call.chain.methods)
    if acts:
        refuse_split_batch(run, x.shape[0], options, call.chain.methods)
    run.record(step, rows, call.chain)
    network = _uncompiled(executor.class_obj.diffusion_model)
    inputs = inputs_of(x, c_crossattn, kwargs.get("ref_latents"), rows)
    if not acts and inputs.filled is None:
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    for method in call.chain.having(BeginsCall):
        method.begin_call(call)
    with without_compiled_graphs(options), run.family.padding(network, inputs):
        for extra in extra_calls(call):
            its_options = run.family.install(network, options, extra, inputs)
            executor(x, t, c_concat, c_crossattn, copy_of_control(control), its_options, **kwargs)
        options = run.family.install(network, options, call, inputs)
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)


def changes_model(chain: Chain, layers: Sequence[LayerAddress]) -> bool:
    """False where every method at work does so outside the model's forward, and none observes it."""
    return any(map(chain.having, _SEES_THE_NETWORK)) or any(chain.selects(layer) for layer in layers)


def extra_calls(call: ModelCall) -> list[ModelCall]:
    """A call for each extra forward that a method asks for; nobody observes there."""
    return [ModelCall(call.rows, call.step, call.chain.with_instead(method, stand_in).without_observers(),
                      call.scratch, extra=True)
            for method in call.chain.having(AddsForwards) for stand_in in method.forwards(call)]


def copy_of_control(control: dict[str, list[Any]] | None) -> dict[str, list[Any]] | None:
    """A forward empties the lists of a ControlNet's residuals; an extra one gets its own."""
    return None if control is None else {name: list(values) for name, values in control.items()}


def _uncompiled(network: Any) -> Any:
    """The network itself, where the host has put torch.compile's stand-in in its place, which is of no family."""
    return getattr(network, "_orig_mod", network)


def without_compiled_graphs(options: dict[str, Any]) -> AbstractContextManager[Any]:
    """torch.compile's host wrapper ignores patches set after its first trace; run such calls eagerly."""
    compiled = options.get("wrappers", {}).get("apply_model", {}).get("torch.compile")
    if not compiled:
        return nullcontext()
    if not hasattr(torch.compiler, "set_stance"):
        raise DirectorError("Attention Director", "this torch cannot pause torch.compile; bypass TorchCompileModel.")
    return torch.compiler.set_stance("force_eager")
