"""Method: Sketch-Guided Text-to-Image Diffusion, arXiv 2211.13752. Written from the paper; no code copied.

Training the predictor: noised latents through the frozen model under their captions, and the block
outputs regressed on the encoding of each picture's map.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP

from ...core.edge_predictor import GuidancePredictor, guidance_predictor
from ..errors import DirectorError
from ..families import family_of
from ..families.checkpoint import family, fingerprint
from ..families.taps import Found, Taps
from ..run.gradients import with_transformer_options
from ..run.network_call import NetworkCall
from ..run.noise_law import noise_law, random_sigmas
from .examples import Examples
from .guided_forward import in_order
from .predictor import Predictor, require_match

KEPT = 32  # batches, of which one is learned from again


@dataclass(frozen=True)
class TrainingOptions:
    """again: how often each forward's batch is followed by one of those kept, which cost no forward."""

    steps: int = 3000
    batch_size: int = 4
    learning_rate: float = 1e-4
    seed: int = 0
    map_kind: str = "edges"
    line_px: int = 2
    again: int = 0


@dataclass(frozen=True, eq=False)
class Batch:
    """features: [B, C_k, h_k, w_k] of each tap; sigma: [B]; wanted: [B, C, h, w]."""

    features: list[torch.Tensor]
    sigma: torch.Tensor
    wanted: torch.Tensor


@dataclass(eq=False)
class Trained:
    """What a training leaves, whole or interrupted. losses: mean squared error of each step."""

    predictor: Predictor
    losses: list[float] = field(default_factory=list)
    interrupted: bool = False


Told = Callable[[int, float, Callable[[], Predictor]], None]


def train(node: str, model: Any, examples: Examples, options: TrainingOptions, start: Predictor | None = None,
          tell: Told | None = None) -> Trained:
    """Train a predictor, or go on with ``start``. An interrupt after the first step keeps what is there.

    tell: called after each step with its number (from 1), its loss, and a function that gives the
    predictor so far.
    """
    taps = check_model(node, model)
    if start is not None:
        require_match(start, model, node)
    network = _network(taps, model, options.seed, start).train()
    with torch.inference_mode(False):
        optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    generator = torch.Generator().manual_seed(options.seed + (start.steps if start else 0))
    losses: list[float] = []
    kept: deque[Batch] = deque(maxlen=KEPT if options.again else 1)

    def so_far() -> Predictor:
        return _predictor(model, taps, options, start, network, len(losses))

    try:
        with running(model):
            for step in range(options.steps):
                comfy.model_management.throw_exception_if_processing_interrupted()
                kept.append(_batch(node, model, examples, options.batch_size, taps, generator))
                again = torch.randint(len(kept), (options.again,), generator=generator).tolist()
                losses.append([_step(node, network, optimiser, kept[n]) for n in (-1, *again)][0])
                if tell:
                    tell(step + 1, losses[-1], so_far)
                    comfy.model_management.load_models_gpu([model])  # a preview may have taken its place
    except comfy.model_management.InterruptProcessingException:
        if not losses:
            raise
        return Trained(so_far(), losses, True)
    return Trained(so_far(), losses)


def _predictor(model: Any, taps: Taps, options: TrainingOptions, start: Predictor | None,
               network: GuidancePredictor, steps: int) -> Predictor:
    """What has been trained after so many steps; what it is for stays that of the predictor it began with."""
    weights = {k: v.detach().to("cpu", copy=True) for k, v in network.state_dict().items()}
    map_kind, line_px, before = (start.map_kind, start.line_px, start.steps) if start else (
        options.map_kind, options.line_px, 0)
    return Predictor(taps, fingerprint(model), family(model), map_kind, line_px, weights, steps + before, network.law)


@contextmanager
def running(model: Any) -> Iterator[None]:
    """The model loaded and ready to be called outside of a sampler; within another such block it just stays."""
    comfy.model_management.load_models_gpu([model])
    if model.model.current_patcher is model:
        yield
        return
    model.pre_run()
    try:
        yield
    finally:
        model.cleanup()


def check_model(node: str, model: Any) -> Taps:
    """What is read of a model. Raises DirectorError for one whose blocks cannot be read."""
    return family_of(model, node, joint=True).taps(model.model.diffusion_model, node)


def _network(taps: Taps, model: Any, seed: int, start: Predictor | None) -> GuidancePredictor:
    """On the model's device. Moved there in inference mode, its weights could not be trained."""
    law = noise_law(model.get_model_object("model_sampling"))
    with torch.inference_mode(False):
        if start is not None:
            return start.network(model.load_device).requires_grad_()
        state = torch.get_rng_state()
        torch.manual_seed(seed)
        network = guidance_predictor(taps.channels, model.model.latent_format.latent_channels, taps.patch, law)
        torch.set_rng_state(state)
        return network.to(model.load_device)


def _batch(node: str, model: Any, examples: Examples, size: int, taps: Taps, generator: torch.Generator) -> Batch:
    """One forward of the model on pictures drawn by the generator."""
    chosen = examples.batch(size, generator)
    wanted = torch.stack([examples.maps[i] for i in chosen])
    features, sigma = noised_features(node, model, examples, chosen, taps, generator)
    with torch.inference_mode(False):
        return Batch([f.clone() for f in features], sigma.clone(), wanted.clone().to(sigma))


def _step(node: str, network: GuidancePredictor, optimiser: torch.optim.Optimizer, batch: Batch) -> float:
    """One step of Adam on sum |P(F, t) - E(e)|^2, as a mean. Raises DirectorError when it is not finite."""
    with torch.inference_mode(False), torch.enable_grad():
        grid = int(batch.wanted.shape[-2]), int(batch.wanted.shape[-1])
        predicted = network(batch.features, batch.sigma, grid)
        loss = (predicted - batch.wanted.to(predicted)).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DirectorError(node, "the loss is no longer a number; use a lower learning_rate.")
    return value


@torch.no_grad()
def noised_features(node: str, model: Any, examples: Examples, chosen: list[int], taps: Taps,
                    generator: torch.Generator) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Block outputs [B, C_k, h_k, w_k] of the pictures at random noise levels, and those levels [B]."""
    inner, device = model.model, model.load_device
    sampling = inner.model_sampling
    latents = torch.stack([examples.latents[i] for i in chosen]).to(device)
    sigma = random_sigmas(sampling, len(chosen), generator).to(device)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    x = sampling.noise_scaling(sigma, noise, latents.clone())
    return features_of(node, model, x, sigma, examples, chosen, taps), sigma


def features_of(node: str, model: Any, x: torch.Tensor, sigma: torch.Tensor, examples: Examples, chosen: list[int],
                taps: Taps) -> list[torch.Tensor]:
    """Block outputs of the model's own forwards on x [B, C, h, w] at levels [B] under their texts, in float32."""
    groups = examples.by_length(chosen)
    found = [_forward(node, model, x[own], sigma[own], examples.conditioning([chosen[n] for n in own]), taps)
             for own in groups]
    order = torch.tensor([n for own in groups for n in own], device=x.device).argsort()
    return [torch.cat(parts)[order] for parts in zip(*found, strict=True)]


def _forward(node: str, model: Any, x: torch.Tensor, sigma: torch.Tensor, conditioning: list[list[Any]],
             taps: Taps) -> list[torch.Tensor]:
    found: Found = {}
    network = model.model.diffusion_model
    its = family_of(model, node, joint=True)

    def read(executor: Any, *args: Any, **named: Any) -> torch.Tensor:
        call = NetworkCall(executor, args, named)
        with its.capturing(network, taps, call.options, call.inputs, cut=False) as (options, kept):
            out = call.having(call.x, transformer_options=options)()
        for tap, value in kept.items():
            found[tap] = torch.cat([found[tap], value]) if tap in found else value
        return out

    options = with_transformer_options(model.model_options, {
        "wrappers": {WrappersMP.DIFFUSION_MODEL: {"attention_director_features": [read]}}})
    conds = {"positive": comfy.sampler_helpers.convert_cond(conditioning)}
    conds = comfy.samplers.process_conds(model.model, x, conds, x.device)
    comfy.samplers.calc_cond_batch(model.model, [conds["positive"]], x, sigma, options)
    return [value.float() for value in in_order(found, taps, node)]


def predict(node: str, model: Any, predictor: Predictor, examples: Examples, which: int, progress: float,
            seed: int) -> torch.Tensor:
    """The predicted map's encoding [1, C, h, w] of one picture at a progress of a run, for a preview."""
    latent = examples.latents[which][None].to(model.load_device)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed)).to(latent)
    with torch.no_grad(), running(model):
        sampling = model.model.model_sampling
        level = torch.tensor([sampling.percent_to_sigma(progress)], device=latent.device)
        x = sampling.noise_scaling(level, noise, latent.clone())
        features = features_of(node, model, x, level, examples, [which], predictor.taps)
        grid = (int(latent.shape[-2]), int(latent.shape[-1]))
        return predictor.network(latent.device)(features, level, grid)
