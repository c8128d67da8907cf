"""Method: Sketch-Guided Text-to-Image Diffusion, arXiv 2211.13752. Written from the paper; no code copied.

The method in a run: the gradient is found while the conditionings are evaluated, and used on the denoised
prediction after guidance by the prompt.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...core.call import RowSpan, Scratch, Step
from ...core.edge_predictor import GuidancePredictor
from ...core.schedule import Schedule, next_sigma, step_number
from ...core.sketch import agreement, edge_map, guided, sketched_noise
from ..errors import DirectorError
from ..families.differentiable_attention import backend_without_gradient
from ..families.foreign_patches import replaces_attention
from ..run.checks import require_one_gpu
from ..run.dispatch import without_compiled_graphs
from ..run.hooks import CondCall, Evaluate, RunArguments, Sample, SamplerCall
from ..run.noise_law import noise_law
from ..run.run import Run
from .drawing import Drawing, Encoded
from .guided_forward import ForwardState, GuidedForward
from .predictor import Predictor
from .preview import with_edge_preview

log = logging.getLogger("attention_director")


@dataclass(eq=False)
class SketchRun:
    """What one run keeps.

    positives: uuids of the guider's positive. pending: gradients of the evaluation under way, by the images it
    held. guided: numbers of the guided steps; first: that of the first step in the window. last: the last
    guided prediction, and what was wanted. networks: a predictor for each device. wanted: the drawing's rows.
    """

    positives: frozenset[Any] = frozenset()
    pending: dict[tuple[int, ...], torch.Tensor] = field(default_factory=dict)
    guided: set[int] = field(default_factory=set)
    first: int | None = None
    last: tuple[torch.Tensor, Encoded] | None = None
    networks: dict[torch.device, GuidancePredictor] = field(default_factory=dict)
    wanted: dict[tuple[tuple[int, ...], torch.device], Encoded] = field(default_factory=dict)
    forwards: ForwardState = field(default_factory=ForwardState)


@dataclass(frozen=True, eq=False)
class SketchGuidanceMethod:
    """A drawing followed by gradient, on a model's chain; it changes no attention.

    strength: the paper's beta. every: guide every n-th step of the window. noise_share: how much of the
    drawing goes into the start noise, 0..1. preview: show the predicted lines while sampling.
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
    acts_in_joint_layers: bool = True

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        """It follows the whole run, whatever its prompts."""
        return True

    def before_run(self, arguments: RunArguments) -> RunArguments:
        """Encode the drawing while the VAE may still be loaded, and let the start noise lean towards it."""
        if arguments.latent.ndim != 4:
            raise DirectorError(self.label, "it works on pictures, not video; bypass it.")
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
        self._state(run.scratch).positives = positives_of(call.guider.conds)
        if not self.preview:
            return sample(call)
        return sample(replace(call, callback=with_edge_preview(call.callback, lambda: self._edges(run.scratch))))

    def around_conds(self, run: Run, call: CondCall, step: Step, evaluate: Evaluate) -> list[torch.Tensor]:
        """Evaluate as ever, with the gradient of the positive's rows; once for each evaluation of the model."""
        state = self._state(run.scratch)
        positive = positive_list(call, state.positives)
        images = images_of(call)
        if positive is None or tuple(images) in state.pending or not self._due(run, step):
            return evaluate(call)
        forward = self._forward(run, call, step, images, positive)
        with without_compiled_graphs(call.options.get("transformer_options", {})):
            outputs = evaluate(replace(call, options=forward.options(call.options)))
        if forward.gradient is None and forward.regrouped:
            raise DirectorError(self.label, "another node regroups the images before the model sees them, so the "
                                            "drawing's cannot be told; bypass one of the two nodes.")
        if forward.gradient is not None:
            state.pending[tuple(images)] = forward.gradient
            state.last = torch.stack(forward.predicted).mean(0), forward.wanted
        return outputs

    def edit_denoised(self, run: Run, x: torch.Tensor, denoised: torch.Tensor, step: Step) -> torch.Tensor:
        """D' = D - kappa g / ||g||, with the gradients that this evaluation left."""
        state = self._state(run.scratch)
        pending, state.pending = state.pending, {}
        if not pending:
            return denoised
        gradient = torch.zeros_like(denoised)
        for images, found in pending.items():
            index = torch.tensor(images, device=denoised.device)
            gradient.index_add_(0, index, found.to(denoised))
        where = self._wanted(run, list(range(len(x))), denoised).where
        state.guided.add(step_number(run.sigmas, step.sigma))
        return guided(x, denoised, gradient, step.sigma, next_sigma(run.sigmas, step.sigma), self.strength,
                      noise_law(run.model.model_sampling), where)

    def records(self, scratch: Scratch) -> Mapping[str, Any]:
        """Of the last guided step: edges, the lines as the predictor saw them, [B, h, w] in 0..1.

        edges_wanted: those of the drawing, alike; edges_agreement: how near they came, [B].
        """
        edges, last = self._edges(scratch), self._state(scratch).last
        if edges is None or last is None:
            return {}
        predicted, wanted = last
        drawing = edge_map(wanted.drawn, wanted.blank, wanted.drawn)
        near = agreement(predicted, wanted.drawn, wanted.blank)
        return {"edges": edges.cpu(), "edges_wanted": drawing.cpu(), "edges_agreement": near.cpu()}

    def sum_up(self, scratch: Scratch) -> str:
        """For the line on the node: how many steps were guided, and how near the last one came."""
        state, near = self._state(scratch), ""
        if state.last is not None:
            predicted, wanted = state.last
            near = f"; agreement {float(agreement(predicted, wanted.drawn, wanted.blank).mean()):.2f}"
        return f"{len(state.guided)} step{'' if len(state.guided) == 1 else 's'} guided{near}"

    def _state(self, scratch: Scratch) -> SketchRun:
        return scratch.of(self.key, SketchRun)

    def _due(self, run: Run, step: Step) -> bool:
        """True for every n-th step of the schedule, counted from the first that falls into the window."""
        state, number = self._state(run.scratch), step_number(run.sigmas, step.sigma)
        if state.first is None:
            state.first = number
        return (number - state.first) % self.every == 0

    def _forward(self, run: Run, call: CondCall, step: Step, images: list[int], positive: int) -> GuidedForward:
        state, device = self._state(run.scratch), call.x.device
        if device not in state.networks:
            state.networks[device] = self.predictor.network(device)
        return GuidedForward(self.label, state.networks[device], self.predictor.taps,
                             self._wanted(run, images, call.x), step.sigma, _grid(call.x), self.checkpointing,
                             run.scratch, state.forwards, positive)

    def _wanted(self, run: Run, images: list[int], like: torch.Tensor) -> Encoded:
        kept, key = self._state(run.scratch).wanted, (tuple(images), like.device)
        if key not in kept:
            with torch.inference_mode(False):
                kept[key] = self.drawing.at(_grid(like)).rows(images, like)
        return kept[key]

    def _edges(self, scratch: Scratch) -> torch.Tensor | None:
        last = self._state(scratch).last
        return None if last is None else edge_map(last[0], last[1].blank, last[1].drawn)


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
    require_one_gpu(label, "it follows a drawing", options)
    window = options.get("context_handler")
    if window is not None and window.dim != 0:
        raise DirectorError(label, "context windows split each picture here; bypass them.")
    backend = backend_without_gradient()
    if backend and replaces_attention(options.get("transformer_options", {})):
        raise DirectorError(label, f"another node's patch calls {backend}, which has no gradient; start ComfyUI with "
                                   "--use-pytorch-cross-attention.")
