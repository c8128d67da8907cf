"""One forward of the UNet that also says how its input should change: the gradient of the sketch's loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
import torch
from comfy.patcher_extension import WrappersMP

from ...core.edge_predictor import EdgePredictor
from ...core.sketch import sketch_loss
from ..errors import DirectorError
from ..families import family_of_network
from ..families.family import CALL_KEY
from ..families.unet_taps import Tap, capturing
from ..run.dispatch import copy_of_control
from ..run.gradients import (
    StandIns,
    checkpointed,
    gradient_of,
    gradients,
    met_a_stranger,
    trainable,
    with_differentiable_attention,
    with_transformer_options,
)
from .drawing import Encoded

WRAPPER_KEY = "attention_director_sketch"


@dataclass(eq=False)
class GuidedForward:
    """Stands around the network for one evaluation of a positive conditioning.

    Collects, over the model calls of that evaluation: gradient and prediction [images, C, h, w].
    checkpointing: "auto" (only after memory has run out), "on" or "off".
    """

    label: str
    predictor: EdgePredictor
    taps: tuple[Tap, ...]
    wanted: Encoded
    sigma: float
    grid: tuple[int, int]
    checkpointing: str
    scratch: Any
    gradient: torch.Tensor | None = None
    predicted: list[torch.Tensor] = field(default_factory=list)

    def options(self, model_options: dict[str, Any]) -> dict[str, Any]:
        """The options of the evaluation, with this forward in them."""
        wrappers = model_options.get("transformer_options", {}).get("wrappers", {})
        ours = {**wrappers.get(WrappersMP.DIFFUSION_MODEL, {}), WRAPPER_KEY: [self]}
        return with_transformer_options(with_differentiable_attention(model_options), {
            "wrappers": {**wrappers, WrappersMP.DIFFUSION_MODEL: ours}})

    def __call__(self, executor: Any, x: torch.Tensor, timesteps: Any = None, context: Any = None, y: Any = None,
                 control: Any = None, transformer_options: dict[str, Any] | None = None, **kwargs: Any) -> torch.Tensor:
        """DIFFUSION_MODEL wrapper. A crop of the latent, or a forward some method added, is only passed on."""
        options = transformer_options or {}
        if tuple(x.shape[-2:]) != self.grid or getattr(options.get(CALL_KEY), "extra", False):
            return executor(x, timesteps, context, y, control, options, **kwargs)

        def forward(leaf: torch.Tensor, its_options: dict[str, Any]) -> torch.Tensor:
            return executor(leaf, timesteps, context, y, copy_of_control(control), its_options, **kwargs)

        network = executor.class_obj
        if self.checkpointing == "off" or (self.checkpointing == "auto" and not self._short_of_memory()):
            try:
                return self._differentiate(forward, network, x, options, [])
            except Exception as error:
                if not comfy.model_management.is_oom(error):
                    raise
                if self.checkpointing == "off":
                    raise DirectorError(self.label, "out of memory for the gradient; turn checkpointing on.") from error
            self.scratch.values["short of memory"] = True
            comfy.model_management.soft_empty_cache()
        return self._differentiate(forward, network, x, options, family_of_network(network).recomputed(network))

    def _short_of_memory(self) -> bool:
        return bool(self.scratch.values.get("short of memory"))

    def _differentiate(self, forward: Any, network: Any, x: torch.Tensor, options: dict[str, Any],
                       blocks: list[torch.nn.Module]) -> torch.Tensor:
        """Without a look at every argument where nothing of others is in the forward; with one if it was there."""
        strangers = self.scratch.values.get("strangers") or has_strangers(options)
        try:
            return self._graph(forward, network, x, options, blocks, strangers)
        except RuntimeError as error:
            if strangers or not met_a_stranger(error):
                raise
            self.scratch.values["strangers"] = True
        return self._graph(forward, network, x, options, blocks, True)

    def _graph(self, forward: Any, network: Any, x: torch.Tensor, options: dict[str, Any],
               blocks: list[torch.nn.Module], strangers: bool) -> torch.Tensor:
        known = self.scratch.once(("stand-ins", id(network)), StandIns)
        with (gradients(network, known=known, strangers=strangers), checkpointed(blocks),
              capturing(network, self.taps, options, cut=True) as (its_options, found)):
            leaf = trainable(x)
            out = forward(leaf, its_options).detach()
            taps = [found[tap] for tap in self.taps]
            directions = self._at_the_taps(taps)
            with _Quiet(self.scratch, bool(blocks)):
                gradient = gradient_of(taps, leaf, directions)
        if gradient is None:
            raise DirectorError(self.label, "the gradient is not finite, three times smaller ones neither; use a "
                                            "lower strength, or the model in float32 (--force-fp32).")
        self._add(gradient.float())
        return out

    def _at_the_taps(self, taps: list[torch.Tensor]) -> list[torch.Tensor]:
        """The loss's gradient at each block output, in float32; it frees the predictor's own graph at once."""
        leaves = [trainable(tap.float()) for tap in taps]
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


def has_strangers(options: dict[str, Any]) -> bool:
    """May a forward with these options meet tensors of others: of patches, replacements or wrappers?"""
    wrappers = options.get("wrappers", {}).get(WrappersMP.DIFFUSION_MODEL, {})
    kinds = (options.get("patches", {}), options.get("patches_replace", {}),
             {key: found for key, found in wrappers.items() if key != WRAPPER_KEY})
    return any(any(kind.values()) for kind in kinds)


class _Quiet:
    """While blocks are computed again, what methods write into the scratch is dropped."""

    def __init__(self, scratch: Any, on: bool) -> None:
        self.scratch, self.on = scratch, on

    def __enter__(self) -> None:
        self.before = self.scratch.recording, self.scratch.values
        if self.on:
            self.scratch.recording, self.scratch.values = False, dict(self.scratch.values)

    def __exit__(self, *_: Any) -> None:
        self.scratch.recording, self.scratch.values = self.before
