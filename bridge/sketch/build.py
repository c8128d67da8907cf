"""SketchGuidance's work at graph time: check everything, then put one method on the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...core.schedule import Schedule
from ..convert import mask_to_bhw, require_pictures
from ..errors import DirectorError, signed
from ..run.install import install, key_of
from ..run.run import chain_of
from ..run.status import send_status
from ..untrusted import require_number, require_window
from .drawing import Drawing, read_picture
from .method import SketchGuidanceMethod
from .predictor import Predictor, require_match

MOST_STRENGTH = 10.0


@dataclass(frozen=True)
class SketchOptions:
    """What the node's widgets say. Percents are progress of the run, 0..1."""

    strength: float = 1.6
    start: float = 0.0
    end: float = 0.5
    lines: str = "auto"
    fit: str = "crop"
    grey_is_weight: bool = False
    sketch_in_noise: float = 0.0
    checkpointing: str = "auto"
    every_second_step: bool = False
    preview: bool = False


@dataclass(frozen=True)
class Outputs:
    """SketchGuidance's output."""

    model: Any


def build(node: str, unique_id: str, model: Any, vae: Any, predictor: Predictor, image: torch.Tensor,
          mask: torch.Tensor | None, options: SketchOptions) -> Outputs:
    """A clone of the model that follows the drawing; the model itself where there is nothing to follow."""
    _check(node, model, vae, predictor, options)
    require_pictures(node, "the drawing", image)
    masks = None if mask is None else _places(node, mask)
    picture = read_picture(image, options.lines, predictor.map_kind)
    drawing = Drawing(picture, predictor.map_kind, predictor.line_px, options.fit, masks, options.grey_is_weight, vae,
                      model.model.latent_format)
    if options.strength == 0 or options.start >= options.end:
        return Outputs(model)
    key = key_of(unique_id, picture, masks, predictor.fingerprint, predictor.steps, predictor.bias, options)
    if drawing.empty or (masks is not None and not bool((masks > 0).any())):
        what = "drawing" if drawing.empty else "mask"
        send_status(key, node, f"nothing happened: the {what} is empty")
        return Outputs(model)
    method = SketchGuidanceMethod(
        key, node, Schedule(options.start, options.end), predictor, drawing, options.strength, options.sketch_in_noise,
        options.checkpointing, 2 if options.every_second_step else 1, options.preview)
    return Outputs(install(model, method))


def _places(node: str, mask: torch.Tensor) -> torch.Tensor:
    """Where the picture may change: [M, H, W] in 0..1. Raises DirectorError for what is no mask."""
    with signed(node):
        masks = mask_to_bhw(mask).clamp(0, 1)
    if not torch.isfinite(masks).all():
        raise DirectorError(node, "the mask contains values that are not numbers; make it again.")
    return masks


def _check(node: str, model: Any, vae: Any, predictor: Predictor, options: SketchOptions) -> None:
    require_number(node, "strength", options.strength, 0, MOST_STRENGTH)
    require_number(node, "sketch_in_noise", options.sketch_in_noise, 0, 1)
    require_window(node, options.start, options.end)
    if vae is None:
        raise DirectorError(node, "the vae input is empty; wire the checkpoint's VAE.")
    require_match(predictor, model, node)
    chain = chain_of(model.model_options)
    if chain is not None and any(isinstance(m, SketchGuidanceMethod) for m in chain.methods):
        raise DirectorError(node, "this model already follows a drawing; combine both drawings in one picture.")
