"""The UNet's dialect in one model call: replacement slots and patches in which our methods act."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ...core.call import AttentionCall
from ...core.hooks import EditsOutputs, ReadsFeatures, ReadsInputs
from ...core.method import ModelCall
from ...core.network import LayerAddress
from ...core.sequence import image_axis, text_axis
from ..errors import DirectorError
from . import unet_foreign as other
from .family import CALL_KEY, note
from .kernel import join_heads, split_heads
from .unet_fit import PATCHES_KEY, fits, grid_of, label_of, name_of

# (slot of the host's patches_replace, key in it)
SlotAddress = tuple[str, tuple[str, int, int]]


def with_slots(options: dict[str, Any], layers: Mapping[SlotAddress, LayerAddress], call: ModelCall) -> dict[str, Any]:
    """A shallow copy of the options with a dispatcher where a method acts or observes, and the methods' patches.

    Slots of other layers stay as they are.
    """
    foreign = options.get("patches_replace", {})
    if foreign.get("attn1") or foreign.get("attn2"):
        slots = _slots(foreign, layers, call)
    else:
        made = call.scratch.once_of("slots", (call.chain,), lambda: _slots({}, layers, call))
        slots = {which: dict(found) for which, found in made.items()}
    patches = dict(options.get("patches", {}))
    for name, patch in _patches(call):
        patches[name] = [*patches.get(name, ()), patch]
    return {**options, "patches_replace": {**foreign, **slots}, "patches": patches, CALL_KEY: call,
            PATCHES_KEY: options.get("patches", {})}


def _slots(foreign: Mapping[str, Mapping[Any, other.Foreign]], layers: Mapping[SlotAddress, LayerAddress],
           call: ModelCall) -> dict[str, dict[Any, Any]]:
    """The host's slots with a dispatcher where a method wants the layer. foreign: what other packs have put there."""
    slots: dict[str, dict[Any, Any]] = {which: dict(foreign.get(which, {})) for which in ("attn1", "attn2")}
    for (which, key), layer in layers.items():
        if call.chain.wanting(layer):
            found = Dispatcher(layer, slots[which].get(key, slots[which].get(key[:2])))
            slots[which][key] = call.scratch.once(("dispatcher", layer, id(found.foreign)), lambda made=found: made)
    return slots


@dataclass(eq=False)
class Answers:
    """What other packs' patches do to the text's attention, by id: (sigma when asked, answer)."""

    known: dict[int, tuple[float, other.Addition]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Dispatcher:
    """Stands in a replacement slot of the host; ``foreign`` is what stood there before."""

    layer: LayerAddress
    foreign: other.Foreign | None

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any],
                 *_args: Any, **_kwargs: Any) -> torch.Tensor:
        model_call: ModelCall = extra_options[CALL_KEY]
        chain = model_call.chain
        grid = grid_of(extra_options, q.shape[1])
        acting = fits(q, k, extra_options, self.layer, model_call, grid is not None)
        note(model_call, self.layer, acting)
        grid = grid or (1, q.shape[1])
        call = to_call(q, k, v, extra_options, self.layer, grid, model_call)
        if not acting:
            return join_heads(self._without_us(call, extra_options))
        if not chain.selects(self.layer):
            return join_heads(chain.attend(call, lambda _: self._without_us(call, extra_options)))
        innermost = self._innermost(call, extra_options)
        if self.foreign is not None:
            call = other.with_residual(self.foreign, call, extra_options)
        return join_heads(chain.attend(call, innermost))

    def _without_us(self, call: AttentionCall, options: dict[str, Any]) -> torch.Tensor:
        return other.plain(call, options) if self.foreign is None else other.run_foreign(self.foreign, call, options)

    def _innermost(self, call: AttentionCall, options: dict[str, Any]) -> Callable[[AttentionCall], torch.Tensor]:
        foreign = self.foreign
        if foreign is None:
            return lambda inner: other.own_attention(inner, options)
        if self.layer.kind == "self":
            return other.attend_self(foreign, call, options)
        if self._addition(foreign, call, options) == "replaces":
            label = label_of(options[CALL_KEY], self.layer)
            raise DirectorError(label, f"{name_of(foreign)} replaces the text attention at {self.layer}, where "
                                       f"{label} acts; bypass one of the two nodes.")
        return lambda inner: other.own_attention(inner, options)

    def _addition(self, foreign: other.Foreign, call: AttentionCall, options: dict[str, Any]) -> other.Addition:
        """Asked when a patch is first met, and in each step until it first does something."""
        answers = call.scratch.of("other packs", Answers)
        sigma, answer = answers.known.get(id(foreign), (-1.0, "none"))
        if answer == "none" and sigma != call.step.sigma:
            answer = other.addition(foreign, call, options)
            answers.known[id(foreign)] = call.step.sigma, answer
        return answer

    def to(self, *args: Any, **kwargs: Any) -> Dispatcher:
        """The host moves patches between devices; hand that on to the patch we stand before."""
        move = getattr(self.foreign, "to", None)
        moved = move(*args, **kwargs) if move else self.foreign
        return self if moved is self.foreign else Dispatcher(self.layer, moved)


def to_call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict[str, Any], layer: LayerAddress,
            grid: tuple[int, int], model_call: ModelCall) -> AttentionCall:
    """One of the host's calls, heads packed, as an AttentionCall."""
    heads = options["n_heads"]
    latent = options["original_shape"]
    pixels = image_axis(grid)
    return AttentionCall(
        split_heads(q, heads), split_heads(k, heads), split_heads(v, heads), layer, pixels,
        pixels if layer.kind == "self" else text_axis(k.shape[1]),
        (int(latent[2]), int(latent[3])), model_call.rows, model_call.step, model_call.scratch)


def _patches(call: ModelCall) -> list[tuple[str, Callable[..., Any]]]:
    """(name of the host's list, patch) for the hooks that see hidden states, in the chain's order."""
    chain = call.chain
    features = [("output_block_patch", _features_patch(method, place, call)) for method in chain.having(ReadsFeatures)
                if (place := method.features_wanted(call))]
    outputs = [("attn1_output_patch", _outputs_patch(method, call)) for method in chain.having(EditsOutputs)]
    inputs = [("attn1_patch", _inputs_patch(method, call)) for method in chain.having(ReadsInputs)]
    return [*features, *outputs, *inputs]


def _features_patch(method: ReadsFeatures, place: str, call: ModelCall) -> Callable[..., Any]:
    def patch(h: torch.Tensor, skip: torch.Tensor, options: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        if "before {} {}".format(*options["block"]) == place:
            method.read_features(h, call)
        return h, skip

    return patch


def _outputs_patch(method: EditsOutputs, call: ModelCall) -> Callable[..., Any]:
    def patch(n: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        layer = _self_layer(options)
        return method.edit_outputs(layer, n, call) if method.edits_outputs(layer) else n

    return patch


def _inputs_patch(method: ReadsInputs, call: ModelCall) -> Callable[..., Any]:
    def patch(n: torch.Tensor, context: Any, value: Any, options: dict[str, Any]) -> tuple[Any, Any, Any]:
        layer = _self_layer(options)
        if method.reads_inputs(layer):
            method.read_inputs(layer, n, call)
        return n, context, value

    return patch


def _self_layer(options: dict[str, Any]) -> LayerAddress:
    """The self-attention that a patch of the host is called for."""
    stage, block = options["block"]
    return LayerAddress(stage, block, options["block_index"], "self")
