"""One dispatcher a layer, installed for one model call, around whatever sits there by then."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from ...core.call import RowSpan, Scratch, Step
from ...core.method import AttentionMethod, Chain, ObservesAttention
from ...core.network import LayerAddress
from ..errors import DirectorError
from ..families.unet import grid_of, join_heads, to_call
from . import foreign as other
from .hooks import AddsForwards, AddsPatches

CALL_KEY = "attention_director_call"
RUN_KEY = "attention_director_run"

log = logging.getLogger("attention_director")


@dataclass(frozen=True, eq=False)
class ModelCall:
    """What one call of the model knows: who its rows are, where in the run it is, which methods act.

    extra: a forward that a method asked for, whose output is dropped.
    """

    rows: tuple[RowSpan, ...]
    step: Step
    chain: Chain
    scratch: Scratch
    extra: bool = False


@dataclass(frozen=True, eq=False)
class Dispatcher:
    """Stands in a replacement slot of the host; ``foreign`` is what stood there before."""

    layer: LayerAddress
    foreign: other.Foreign | None

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any],
                 *_args: Any, **_kwargs: Any) -> torch.Tensor:
        model_call: ModelCall = extra_options[CALL_KEY]
        grid = grid_of(extra_options, q.shape[1])
        chain = model_call.chain
        acting = chain.selects(self.layer) or bool(grid and chain.observers(self.layer, grid))
        total = model_call.rows[-1].stop
        longer = self.layer.kind == "self" and k.shape[1] != q.shape[1]
        if acting and (grid is None or q.shape[0] != total or longer):
            model_call.scratch.once("regrouped", lambda: _warn_regrouped(self.layer))
            acting = False
        call = to_call(q, k, v, extra_options, self.layer, grid or (1, q.shape[1]), model_call)
        if not acting:
            return join_heads(self._without_us(call, extra_options))
        if not chain.selects(self.layer):  # somebody looks on, nobody changes anything
            return join_heads(chain.attend(call, lambda _: self._without_us(call, extra_options)))
        return join_heads(chain.attend(call, self._innermost(call, extra_options)))

    def _without_us(self, call, options):
        return other.plain(call, options) if self.foreign is None else other.run_foreign(self.foreign, call, options)

    def _innermost(self, call, options):
        foreign = self.foreign
        if foreign is None:
            return lambda inner: other.own_attention(inner, options)
        if self.layer.kind == "self":
            return other.attend_self(foreign, call, options)
        if not call.scratch.once(("additive", id(foreign)), lambda: other.is_additive(foreign, call, options)):
            raise DirectorError("Attention Director", f"{other.name_of(foreign)} replaces the text attention at "
                                                      f"{self.layer}, which cannot be combined with regions; bypass "
                                                      "one of the two nodes.")
        return other.attend_cross(foreign, call, options)

    def to(self, *args: Any, **kwargs: Any) -> Dispatcher:
        """The host moves patches between devices; hand that on to the patch we stand before."""
        move = getattr(self.foreign, "to", None)
        moved = move(*args, **kwargs) if move else self.foreign
        return self if moved is self.foreign else Dispatcher(self.layer, moved)


def _warn_regrouped(layer: LayerAddress) -> bool:
    log.warning("Attention Director: another node regroups the pixels at %s; regions do nothing there.", layer)
    return True


def rows_of(options: dict[str, Any], batch_rows: int, tags: dict[tuple[bool, Any], Any]) -> tuple[RowSpan, ...]:
    """Who the rows of a model call are, by the uuid of each chunk.

    tags: (from the first list of the call, uuid) -> tag. A conditioning copied into the negative
    list keeps its uuid, so the list index decides there.
    """
    uuids: Sequence[Any] = options.get("uuids") or ()
    lists: Sequence[int] = options.get("cond_or_uncond") or ()
    if not uuids or len(uuids) != len(lists) or batch_rows % len(uuids):
        return (RowSpan(0, batch_rows, None),)
    size = batch_rows // len(uuids)
    return tuple(RowSpan(i * size, (i + 1) * size, tags.get((lists[i] == 0, uuid)))
                 for i, uuid in enumerate(uuids))


def apply_model(executor: Any, x: torch.Tensor, t: torch.Tensor, c_concat: Any = None, c_crossattn: Any = None,
                control: Any = None, transformer_options: dict[str, Any] | None = None, **kwargs: Any) -> torch.Tensor:
    """APPLY_MODEL wrapper: give this one model call its dispatchers, on a copy of its options."""
    options = transformer_options or {}
    run = options.get(RUN_KEY)
    if run is None or not run.owns(executor.class_obj):
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    step = run.step_at(float(t.flatten()[0]), executor.class_obj)
    rows = rows_of(options, x.shape[0], run.tags)
    active = run.chain.active(step.progress, rows)
    run.record(step, rows, active)
    if not changes_model(active, run.addresses.values()):
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    with _without_compiled_graphs(options):
        for chain in extra_chains(active, step, rows, run.scratch):
            extra = with_dispatchers(options, run, ModelCall(rows, step, chain, run.scratch, extra=True))
            executor(x, t, c_concat, c_crossattn, copy_of_control(control), extra, **kwargs)
        options = with_dispatchers(options, run, ModelCall(rows, step, active, run.scratch))
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)


def changes_model(chain: Chain, layers: Iterable[LayerAddress]) -> bool:
    """False where every method at work does so outside the model's forward, and nobody looks on."""
    return (any(isinstance(m, (AddsForwards, AddsPatches, ObservesAttention)) for m in chain.methods)
            or any(chain.selects(layer) for layer in layers))


def extra_chains(chain: Chain, step: Step, rows: tuple[RowSpan, ...], scratch: Scratch) -> list[Chain]:
    """The chain of each extra forward that a method asks for; nobody looks on there."""
    return [chain.with_instead(method, stand_in).without_observers()
            for method in chain.methods if isinstance(method, AddsForwards)
            for stand_in in method.forwards(step, rows, scratch)]


def copy_of_control(control: dict[str, list[Any]] | None) -> dict[str, list[Any]] | None:
    """A forward empties the lists of a ControlNet's residuals; an extra one gets its own."""
    return None if control is None else {name: list(values) for name, values in control.items()}


def with_dispatchers(options: dict[str, Any], run: Any, model_call: ModelCall) -> dict[str, Any]:
    """A shallow copy of the options with a dispatcher in every attention slot and the methods' patches.

    Where no acting method changes attention or looks on, the slots stay as they are.
    """
    slots = {which: dict(options.get("patches_replace", {}).get(which, {})) for which in ("attn1", "attn2")}
    attending = any(isinstance(method, (AttentionMethod, ObservesAttention)) for method in model_call.chain.methods)
    for (which, key), layer in run.addresses.items() if attending else ():
        found = Dispatcher(layer, slots[which].get(key, slots[which].get(key[:2])))
        slots[which][key] = run.scratch.once(("dispatcher", layer, id(found.foreign)), lambda made=found: made)
    replacements = {**options.get("patches_replace", {}), **slots}
    patches = dict(options.get("patches", {}))
    for method in model_call.chain.methods:
        if isinstance(method, AddsPatches):
            for name, added in method.patches(model_call.step, model_call.rows, run.scratch).items():
                patches[name] = [*patches.get(name, ()), *added]
    return {**options, "patches_replace": replacements, "patches": patches, CALL_KEY: model_call}


def _without_compiled_graphs(options: dict[str, Any]):
    """torch.compile's host wrapper ignores patches set after its first trace; run such calls eagerly."""
    compiled = options.get("wrappers", {}).get("apply_model", {}).get("torch.compile")
    if not compiled:
        return nullcontext()
    if not hasattr(torch.compiler, "set_stance"):
        raise DirectorError("Attention Director", "this torch cannot pause torch.compile; bypass TorchCompileModel.")
    return torch.compiler.set_stance("force_eager")
