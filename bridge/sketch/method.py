"""Method: Sketch-Guided Text-to-Image Diffusion, arXiv 2211.13752. Written from the paper; no code copied.

SketchGuidance in a run: the gradient is found while the positive is evaluated, and used on the
denoised prediction after guidance by the prompt.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from comfy.ldm.modules.attention import optimized_attention

from ...core.call import RowSpan, Scratch, Step
from ...core.schedule import Schedule
from ...core.sketch import agreement, edge_map, guided, next_sigma, sketched_noise
from ..errors import DirectorError
from ..run.hooks import CondCall, Evaluate, RunArguments, Sample, SamplerCall
from ..run.run import Run
from .drawing import Drawing, Encoded
from .guided_forward import GuidedForward
from .predictor import Predictor
from .preview import with_edge_preview

NO_BACKWARD = ("attention_sage", "attention3_sage", "attention_flash")

log = logging.getLogger("attention_director")


@dataclass(frozen=True, eq=False)
class SketchGuidance:
    """A drawing followed by gradient, on a model's chain; it changes no attention.

    strength: the paper's beta. every: guide every n-th step of the window. noise_share: how much of the
    drawing goes into the start noise, 0..1. preview: show the predicted lines while drawing.
    """

    key: str
    label: str
    schedule: Schedule
    predictor: Predictor
    drawing: Drawing
    strength: float
    noise_share: float = 0.0
    checkpointing: str = "auto"
    every: int = 1
    preview: bool = False

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        """It follows the whole run, whatever its prompts."""
        return True

    def before_run(self, arguments: RunArguments) -> RunArguments:
        """Encode the drawing while the VAE may still be loaded, and let the start noise lean towards it."""
        if arguments.latent.ndim != 4:
            raise DirectorError(self.label, "it draws pictures, not video; take it off this model.")
        encoded = self.drawing.at(_grid(arguments.latent))
        if self.noise_share <= 0 or arguments.sigmas.shape[-1] < 2:
            return arguments
        noise = arguments.noise
        rows = encoded.rows(list(range(len(noise))), noise)
        leaning = sketched_noise(noise, rows.drawn.to(noise.dtype), self.noise_share)
        if rows.where is not None:
            leaning = noise + rows.where * (leaning - noise)
        return replace(arguments, noise=leaning)

    def around_sampler(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor:
        """Refuse what has no gradient here, before the first step."""
        refuse(self.label, run, call)
        run.scratch.values[self.key, "positives"] = positives_of(call.guider.conds)
        if not self.preview:
            return sample(call)
        return sample(replace(call, callback=with_edge_preview(call.callback, lambda: self._edges(run.scratch))))

    def around_conds(self, run: Run, call: CondCall, step: Step, evaluate: Evaluate) -> list[torch.Tensor]:
        """Evaluate the positive with its gradient, the others without; once for each evaluation of the model."""
        positive = positive_list(call, run.scratch.values.get((self.key, "positives"), frozenset()))
        images = images_of(call)
        waiting = run.scratch.once((self.key, "waiting"), dict)
        if positive is None or tuple(images) in waiting or not self._due(run, step):
            return evaluate(call)
        forward = self._forward(run, call, step, images)
        alone = [c if i == positive else None for i, c in enumerate(call.conds)]
        others = [None if i == positive else c for i, c in enumerate(call.conds)]
        outputs = evaluate(replace(call, conds=alone, options=forward.options(call.options)))
        if any(c is not None for c in others):
            plain = evaluate(replace(call, conds=others))
            outputs = [a if i == positive else b for i, (a, b) in enumerate(zip(outputs, plain, strict=True))]
        if forward.gradient is not None:
            waiting[tuple(images)] = forward.gradient
            self._note(run, step, images, forward)
        return outputs

    def edit_denoised(self, run: Run, x: torch.Tensor, denoised: torch.Tensor, step: Step) -> torch.Tensor:
        """D' = D - kappa g / ||g||, with the gradients that this evaluation left."""
        waiting = run.scratch.values.pop((self.key, "waiting"), None)
        if not waiting:
            return denoised
        gradient = torch.zeros_like(denoised)
        for images, found in waiting.items():
            index = torch.tensor(images, device=denoised.device)
            gradient.index_add_(0, index, found.to(denoised))
        where = self._wanted(run, list(range(len(x))), denoised).where
        run.scratch.once((self.key, "guided"), set).add(sum(s >= step.sigma * (1 - 1e-4) for s in run.sigmas[:-1]))
        return guided(x, denoised, gradient, step.sigma, next_sigma(run.sigmas, step.sigma), self.strength, where)

    def records(self, scratch: Scratch) -> Mapping[str, Any]:
        """Of the last guided step: edges, the lines as the predictor saw them, [B, h, w] in 0..1.

        edges_wanted: those of the drawing, alike; edges_agreement: how near they came, [B].
        """
        edges = self._edges(scratch)
        if edges is None:
            return {}
        predicted, wanted = scratch.values[self.key, "last"]
        drawing = edge_map(wanted.drawn, wanted.blank, wanted.drawn)
        near = agreement(predicted, wanted.drawn, wanted.blank)
        return {"edges": edges.cpu(), "edges_wanted": drawing.cpu(), "edges_agreement": near.cpu()}

    def sum_up(self, scratch: Scratch) -> str:
        """For the line on the node: how many steps were guided, and how near the last one came."""
        steps = scratch.values.get((self.key, "guided"), ())
        found = scratch.values.get((self.key, "last"))
        near = ""
        if found is not None:
            predicted, wanted = found
            near = f"; agreement {float(agreement(predicted, wanted.drawn, wanted.blank).mean()):.2f}"
        return f"{len(steps)} step{'' if len(steps) == 1 else 's'} guided{near}"

    def _due(self, run: Run, step: Step) -> bool:
        """True for every n-th step of the schedule, counted from the first that falls into the window."""
        number = sum(s >= step.sigma * (1 - 1e-4) for s in run.sigmas[:-1])
        first = run.scratch.once((self.key, "first"), lambda: number)
        return (number - first) % self.every == 0

    def _forward(self, run: Run, call: CondCall, step: Step, images: list[int]) -> GuidedForward:
        device = call.x.device
        network = run.scratch.once((self.key, "network", device), lambda: self.predictor.network(device))
        return GuidedForward(self.label, network, self.predictor.taps, self._wanted(run, images, call.x), step.sigma,
                             _grid(call.x), self.checkpointing, run.scratch)

    def _wanted(self, run: Run, images: list[int], like: torch.Tensor) -> Encoded:
        def make() -> Encoded:
            with torch.inference_mode(False):
                return self.drawing.at(_grid(like)).rows(images, like)

        return run.scratch.once((self.key, "wanted", tuple(images), like.device), make)

    def _note(self, run: Run, step: Step, images: list[int], forward: GuidedForward) -> None:
        """Keep what the last guided evaluation predicted; of a window over the batch, that of its images."""
        predicted = torch.stack(forward.predicted).mean(0)
        run.scratch.values[self.key, "last"] = (predicted, forward.wanted)

    def _edges(self, scratch: Scratch) -> torch.Tensor | None:
        found = scratch.values.get((self.key, "last"))
        return None if found is None else edge_map(found[0], found[1].blank, found[1].drawn)


def _grid(latent: torch.Tensor) -> tuple[int, int]:
    return int(latent.shape[-2]), int(latent.shape[-1])


def images_of(call: CondCall) -> list[int]:
    """The numbers in the batch of the images in this evaluation; a context window holds some of them."""
    window = call.options.get("transformer_options", {}).get("context_window")
    count = len(call.x)
    if window is None or getattr(window, "dim", 0) != 0:
        return list(range(count))
    anchor = getattr(window, "causal_anchor_index", None)  # an image that the host puts before those of the window
    images = [*([] if anchor is None else [anchor]), *window.index_list]
    return images if len(images) == count else list(range(count))


def positives_of(conds: Mapping[str, Any]) -> frozenset[Any]:
    """The uuids of a guider's positive; of all that is not negative where a guider has other names."""
    names = [name for name in conds if name == "positive"] or [name for name in conds if "negative" not in name]
    return frozenset(cond["uuid"] for name in names for cond in conds[name])


def positive_list(call: CondCall, positives: frozenset[Any]) -> int | None:
    """Which list of this evaluation is the positive; None where there is none.

    The host copies entries with an area into the other lists, uuid and all, beside entries of their own.
    """
    return next((i for i, conds in enumerate(call.conds)
                 if conds and all(c.get("uuid") in positives for c in conds)), None)


def refuse(label: str, run: Run, call: SamplerCall) -> None:
    """Raise DirectorError for a run in which there is no gradient to be had."""
    options = call.extra_args["model_options"]
    if options.get("multigpu_clones"):
        raise DirectorError(label, "it cannot follow a drawing on several GPUs at once; take the multi-GPU node away.")
    window = options.get("context_handler")
    if window is not None and window.dim != 0:
        raise DirectorError(label, "context windows cut each picture into parts here; take them away.")
    patched = any(options.get("transformer_options", {}).get("patches_replace", {}).get(k) for k in ("attn1", "attn2"))
    if patched and getattr(optimized_attention, "__name__", "") in NO_BACKWARD:
        raise DirectorError(label, f"another node's patch calls {optimized_attention.__name__}, which has no gradient; "
                                   "start ComfyUI with --use-pytorch-cross-attention.")
