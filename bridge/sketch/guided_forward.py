"""One forward of the network that also says how its input should change: the gradient of the sketch's loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
import torch
from comfy.patcher_extension import WrappersMP

from ...core.call import Scratch
from ...core.edge_predictor import GuidancePredictor
from ...core.sketch import sketch_loss
from ..errors import DirectorError
from ..families import family_of_network
from ..families.differentiable_attention import with_differentiable_attention
from ..families.family import CALL_KEY
from ..families.foreign_patches import Guarded, guarded_patches, has_patches
from ..families.taps import Found, Taps
from ..run.dispatch import copy_of_control
from ..run.gradients import (
    WeightAliases,
    checkpointed,
    gradient_of,
    gradients,
    is_inference_error,
    trainable,
    with_transformer_options,
)
from ..run.network_call import NetworkCall
from .drawing import Encoded

WRAPPER_KEY = "attention_director_sketch"


@dataclass(eq=False)
class ForwardState:
    """What the guided forwards of one run learn. short_of_memory: a graph did not fit once.

    foreign_tensors: one met the graph. aliases: of the weights, by the network's id. guarded: patches of others.
    """

    short_of_memory: bool = False
    foreign_tensors: bool = False
    aliases: dict[int, WeightAliases] = field(default_factory=dict)
    guarded: Guarded = field(default_factory=dict)


@dataclass(eq=False)
class GuidedForward:
    """Stands around the network for one evaluation of the conditionings.

    positive: which of the evaluation's lists is guided. Collects, over the model calls of that evaluation:
    gradient and prediction [images, C, h, w] of its rows. checkpointing: "auto" (only after memory has run
    out), "on" or "off". regrouped: a call came whose rows could not be told apart.
    """

    label: str
    predictor: GuidancePredictor
    taps: Taps
    wanted: Encoded
    sigma: float
    grid: tuple[int, int]
    checkpointing: str
    scratch: Scratch
    state: ForwardState
    positive: int
    gradient: torch.Tensor | None = None
    predicted: list[torch.Tensor] = field(default_factory=list)
    regrouped: bool = False

    def options(self, model_options: dict[str, Any]) -> dict[str, Any]:
        """The options of the evaluation, with this forward in them."""
        wrappers = model_options.get("transformer_options", {}).get("wrappers", {})
        ours = {**wrappers.get(WrappersMP.DIFFUSION_MODEL, {}), WRAPPER_KEY: [self]}
        return with_transformer_options(with_differentiable_attention(model_options, self.label), {
            "wrappers": {**wrappers, WrappersMP.DIFFUSION_MODEL: ours}})

    def __call__(self, executor: Any, *args: Any, **named: Any) -> torch.Tensor:
        """DIFFUSION_MODEL wrapper. Without a row to guide it only passes on: crops, forwards that methods added."""
        call = NetworkCall(executor, args, named)
        rows = self._rows(call.x, call.options)
        if not rows:
            return call()
        if self.checkpointing == "off" or (self.checkpointing == "auto" and not self.state.short_of_memory):
            try:
                return self._differentiate(call, rows, [])
            except Exception as error:
                if not comfy.model_management.is_oom(error):
                    raise
                if self.checkpointing == "off":
                    raise DirectorError(self.label, "out of memory for the gradient; turn checkpointing on.") from error
            self.state.short_of_memory = True
            comfy.model_management.soft_empty_cache()
        return self._differentiate(call, rows, family_of_network(call.network).recomputed(call.network))

    def _rows(self, x: torch.Tensor, options: dict[str, Any]) -> list[int]:
        """The rows of a model call that are the positive's; the call holds the images once for each conditioning."""
        if tuple(x.shape[-2:]) != self.grid or getattr(options.get(CALL_KEY), "extra", False):
            return []
        images, lists = len(self.wanted.drawn), options.get("cond_or_uncond") or ()
        if x.shape[0] != images * len(lists):
            self.regrouped = True
            return []
        return [n * images + image for n, number in enumerate(lists) if number == self.positive
                for image in range(images)]

    def _differentiate(self, call: NetworkCall, rows: list[int], blocks: list[torch.nn.Module]) -> torch.Tensor:
        """Without a look at every argument where nothing of others is in the forward; with one if it was there."""
        foreign_tensors = self.state.foreign_tensors or has_foreign(call.options)
        try:
            return self._graph(call, rows, blocks, foreign_tensors)
        except RuntimeError as error:
            if foreign_tensors or not is_inference_error(error):
                raise
            self.state.foreign_tensors = True
        return self._graph(call, rows, blocks, True)

    def _graph(self, call: NetworkCall, rows: list[int], blocks: list[torch.nn.Module],
               foreign_tensors: bool) -> torch.Tensor:
        network, family = call.network, family_of_network(call.network)
        known = self.state.aliases.setdefault(id(network), WeightAliases())
        options = guarded_patches(call.options, self.state.guarded)
        with (gradients(network, known=known, foreign_tensors=foreign_tensors), family.differentiable(network),
              checkpointed(blocks, lambda: remembered(self.scratch)),
              family.capturing(network, self.taps, options, call.inputs, cut=True) as (its_options, found)):
            leaf = trainable(call.x)
            out = call.having(leaf, transformer_options=its_options,
                              control=copy_of_control(call.get("control")))().detach()
            taps = [_take(value, rows) for value in in_order(found, self.taps, self.label)]
            gradient = gradient_of(taps, leaf, self._at_the_taps(taps))
        if gradient is None:
            raise DirectorError(self.label, "the gradient is not finite, three times smaller ones neither; use a "
                                            "lower strength, or the model in float32 (--force-fp32).")
        self._add(_take(gradient, rows).float())
        return out

    def _at_the_taps(self, taps: list[torch.Tensor]) -> list[torch.Tensor]:
        """The loss's gradient at each block output; it frees the predictor's own graph at once.

        In float32: the loss is a mean over all pixels, and half precision would lose its gradient at a tap.
        """
        leaves = [trainable(tap, torch.float32) for tap in taps]
        rows = leaves[0].shape[0]
        images = len(self.wanted.drawn)
        index = [r % images for r in range(rows)]
        sigma = torch.full((rows,), self.sigma, device=leaves[0].device)
        predicted = self.predictor(leaves, sigma, self.grid)
        self.predicted.append(predicted.detach().unflatten(0, (rows // images, images)).mean(0))
        weight = None if self.wanted.weight is None else self.wanted.weight[index]
        return list(torch.autograd.grad(sketch_loss(predicted, self.wanted.drawn[index], weight), leaves))

    def _add(self, gradient: torch.Tensor) -> None:
        """Rows are images within each conditioning in turn; some models read more channels than they draw."""
        images, channels = self.wanted.drawn.shape[:2]
        total = gradient[:, :channels].unflatten(0, (-1, images)).sum(0)
        self.gradient = total if self.gradient is None else self.gradient + total


def in_order(found: Found, taps: Taps, node: str) -> list[torch.Tensor]:
    """What was found, in the order of the taps. Raises DirectorError where another node left a block out."""
    missing = next((tap for tap in taps.blocks if tap not in found), None)
    if missing is not None:
        raise DirectorError(node, f"another node leaves out {missing} of the model, which the predictor reads; bypass "
                                  "that node.")
    return [found[tap] for tap in taps.blocks]


def _take(x: torch.Tensor, rows: list[int]) -> torch.Tensor:
    return x if len(rows) == len(x) else x[rows]


def has_foreign(options: dict[str, Any]) -> bool:
    """May a forward with these options meet tensors of others: of patches, replacements or wrappers?"""
    wrappers = options.get("wrappers", {}).get(WrappersMP.DIFFUSION_MODEL, {})
    return has_patches(options) or any(found for key, found in wrappers.items() if key != WRAPPER_KEY)


def remembered(scratch: Scratch) -> Callable[[], Any]:
    """What methods remember now, to be put back while a block is computed again; what they write then is dropped."""
    values = Scratch(values=scratch.snapshot())

    @contextmanager
    def put_back() -> Iterator[None]:
        before = scratch.recording, scratch.values
        scratch.recording, scratch.values = False, values.snapshot()
        try:
            yield
        finally:
            scratch.recording, scratch.values = before

    return put_back
