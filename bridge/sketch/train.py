"""Method: Sketch-Guided Text-to-Image Diffusion, arXiv 2211.13752. Written from the paper; no code copied.

Training the predictor: noised latents through the frozen UNet under their captions, and the block
outputs regressed on the encoding of each picture's map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.model_sampling import CONST
from comfy.patcher_extension import WrappersMP

from ...core.edge_predictor import EdgePredictor
from ..errors import DirectorError
from ..families import family_of
from ..families.checkpoint import family, fingerprint
from ..families.unet_taps import Tap, capturing, taps_of
from ..run.gradients import with_transformer_options
from ..run.noise_law import noise_law, random_sigmas
from ..text.prompt import encode, filled
from .drawing import encode_maps
from .predictor import Predictor, require_match

TOGETHER = 16  # pictures encoded in one call


@dataclass(frozen=True, eq=False)
class Examples:
    """What is trained on, encoded once.

    latents, maps: one [C, h, w] a picture, in the model's own scale; sizes may differ. prompts: for
    each picture its row in ``texts``. texts: conditionings [1, T, C] with their pooled vectors or None. blank: that
    of the empty text.
    """

    latents: list[torch.Tensor]
    maps: list[torch.Tensor]
    prompts: list[int]
    texts: list[tuple[torch.Tensor, torch.Tensor | None]]
    blank: torch.Tensor

    def batch(self, size: int, generator: torch.Generator) -> list[int]:
        """Numbers of pictures, all of the size of the first one drawn."""
        first = int(torch.randint(len(self.latents), (1,), generator=generator))
        same = [i for i, x in enumerate(self.latents) if x.shape == self.latents[first].shape]
        return [first, *(same[int(torch.randint(len(same), (1,), generator=generator))] for _ in range(size - 1))]


@dataclass(frozen=True)
class TrainingOptions:
    steps: int = 3000
    batch_size: int = 4
    learning_rate: float = 1e-4
    seed: int = 0
    map_kind: str = "edges"
    line_px: int = 2


@dataclass(eq=False)
class Trained:
    """What a training leaves, whole or interrupted. losses: mean squared error of each step."""

    predictor: Predictor
    losses: list[float] = field(default_factory=list)
    interrupted: bool = False


Told = Callable[[int, float, Callable[[], Predictor]], None]


def encode_examples(node: str, model: Any, clip: Any, vae: Any, images: Sequence[torch.Tensor],
                    texts: Sequence[str], maps: Sequence[torch.Tensor]) -> Examples:
    """Pictures [H, W, 3] and maps [H, W] by the VAE, texts by the text encoder; each text once."""
    if len(texts) not in (1, len(images)):
        raise DirectorError(node, f"{len(texts)} texts for {len(images)} images; give one, or one per image.")
    latents, encoded = _encoded(vae, model.model.latent_format, images, maps)
    known: dict[str, int] = {}
    conditionings = []
    for text in dict.fromkeys(texts):
        known[text] = len(conditionings)
        (cond, values), *_ = encode(clip, text, node)
        conditionings.append((cond.cpu(), None if values.get("pooled_output") is None else
                              values["pooled_output"].cpu()))
    prompts = [known[texts[i] if len(texts) > 1 else texts[0]] for i in range(len(images))]
    return Examples(latents, encoded, prompts, conditionings, encode(clip, "", node)[0][0].cpu())


def _encoded(vae: Any, latent_format: Any, images: Sequence[torch.Tensor],
             maps: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Latents of pictures and maps in their order, neighbours of one size together."""
    latents: list[torch.Tensor] = []
    encoded: list[torch.Tensor] = []
    while len(latents) < len(images):
        comfy.model_management.throw_exception_if_processing_interrupted()
        first = len(latents)
        same = [i for i in range(first, min(first + TOGETHER, len(images))) if images[i].shape == images[first].shape]
        same = same[:next((n for n, i in enumerate(same) if i != first + n), len(same))]
        pictures = torch.stack([images[i][..., :3] for i in same])
        latents.extend(latent_format.process_in(vae.encode(pictures)).float().cpu())
        encoded.extend(encode_maps(vae, latent_format, torch.stack([maps[i] for i in same])))
    return latents, encoded


def train(node: str, model: Any, examples: Examples, options: TrainingOptions, start: Predictor | None = None,
          tell: Told | None = None) -> Trained:
    """Train a predictor, or go on with ``start``. An interrupt after the first step keeps what is there.

    tell: called after each step with its number (from 1), its loss, and a function that gives the
    predictor so far.
    """
    check_model(node, model)
    if start is not None:
        require_match(start, model, node)
    taps = taps_of(model.model.diffusion_model, node)
    network = _network(taps, model, options.seed, start).train()
    with torch.inference_mode(False):
        optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    generator = torch.Generator().manual_seed(options.seed + (start.steps if start else 0))
    losses: list[float] = []

    def so_far() -> Predictor:
        return _predictor(model, taps, options, start, network, len(losses))

    try:
        with running(model):
            for step in range(options.steps):
                comfy.model_management.throw_exception_if_processing_interrupted()
                chosen = examples.batch(options.batch_size, generator)
                losses.append(_step(node, model, network, optimiser, examples, chosen, taps, generator))
                if tell:
                    tell(step + 1, losses[-1], so_far)
                    comfy.model_management.load_models_gpu([model])  # a preview may have taken its place
    except comfy.model_management.InterruptProcessingException:
        if not losses:
            raise
        return Trained(so_far(), losses, True)
    return Trained(so_far(), losses)


def _predictor(model: Any, taps: tuple[Tap, ...], options: TrainingOptions, start: Predictor | None,
               network: EdgePredictor, steps: int) -> Predictor:
    """What has been trained after so many steps; what it is for stays that of the predictor it began with."""
    weights = {k: v.detach().to("cpu", copy=True) for k, v in network.state_dict().items()}
    map_kind, line_px, before = (start.map_kind, start.line_px, start.steps) if start else (
        options.map_kind, options.line_px, 0)
    return Predictor(taps, fingerprint(model), family(model), map_kind, line_px, weights, steps + before)


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


def check_model(node: str, model: Any) -> None:
    """Raise DirectorError for a model whose blocks cannot be read."""
    family_of(model, node)
    if isinstance(model.get_model_object("model_sampling"), CONST):
        raise DirectorError(node, "this model is sampled as a flow, which the predictor does not know yet.")


def _network(taps: tuple[Tap, ...], model: Any, seed: int, start: Predictor | None) -> EdgePredictor:
    """On the model's device. Moved there in inference mode, its weights could not be trained."""
    law = noise_law(model.get_model_object("model_sampling"))
    with torch.inference_mode(False):
        if start is not None:
            return start.network(model.load_device, law).requires_grad_()
        state = torch.get_rng_state()
        torch.manual_seed(seed)
        network = EdgePredictor([tap.channels for tap in taps], model.model.latent_format.latent_channels, law=law)
        torch.set_rng_state(state)
        return network.to(model.load_device)


def _step(node: str, model: Any, network: EdgePredictor, optimiser: torch.optim.Optimizer, examples: Examples,
          chosen: list[int], taps: tuple[Tap, ...], generator: torch.Generator) -> float:
    """One step of Adam on sum |P(F, t) - E(e)|^2, as a mean. Raises DirectorError when it is not finite."""
    wanted = torch.stack([examples.maps[i] for i in chosen])
    features, sigma = noised_features(model, examples, chosen, taps, generator)
    with torch.inference_mode(False), torch.enable_grad():
        features = [f.clone() for f in features]
        predicted = network(features, sigma.clone(), (int(wanted.shape[-2]), int(wanted.shape[-1])))
        loss = (predicted - wanted.clone().to(predicted)).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DirectorError(node, "the loss is no longer a number; use a lower learning_rate.")
    return value


@torch.no_grad()
def noised_features(model: Any, examples: Examples, chosen: list[int], taps: tuple[Tap, ...],
                    generator: torch.Generator) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Block outputs [B, C_k, h_k, w_k] of the pictures at random noise levels, and those levels [B]."""
    inner, device = model.model, model.load_device
    sampling = inner.model_sampling
    latents = torch.stack([examples.latents[i] for i in chosen]).to(device)
    sigma = random_sigmas(sampling, len(chosen), generator).to(device)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    x = sampling.noise_scaling(sigma, noise, latents.clone())
    return features_of(model, x, sigma, _conditioning(examples, chosen), taps), sigma


def features_of(model: Any, x: torch.Tensor, sigma: torch.Tensor, conditioning: list[list[Any]],
                taps: tuple[Tap, ...]) -> list[torch.Tensor]:
    """Block outputs of the model's own forward on x [B, C, h, w] at levels [B], in float32."""
    found: dict[Tap, torch.Tensor] = {}

    def read(executor: Any, x: torch.Tensor, timesteps: Any = None, context: Any = None, y: Any = None,
             control: Any = None, transformer_options: dict[str, Any] | None = None, **kwargs: Any) -> torch.Tensor:
        with capturing(executor.class_obj, taps, transformer_options or {}, cut=False) as (options, kept):
            out = executor(x, timesteps, context, y, control, options, **kwargs)
        for tap, value in kept.items():
            found[tap] = torch.cat([found[tap], value]) if tap in found else value
        return out

    options = with_transformer_options(model.model_options, {
        "wrappers": {WrappersMP.DIFFUSION_MODEL: {"attention_director_features": [read]}}})
    conds = {"positive": comfy.sampler_helpers.convert_cond(conditioning)}
    conds = comfy.samplers.process_conds(model.model, x, conds, x.device)
    comfy.samplers.calc_cond_batch(model.model, [conds["positive"]], x, sigma, options)
    return [found[tap].float() for tap in taps]


def _conditioning(examples: Examples, chosen: list[int]) -> list[list[Any]]:
    """Row i is the text of picture i, all as long as the longest of them."""
    rows = [examples.texts[examples.prompts[i]] for i in chosen]
    longer = filled([cond for cond, _ in rows], examples.blank)
    width = max(cond.shape[1] for cond in longer)
    joined = torch.cat([cond.repeat(1, width // cond.shape[1], 1) for cond in longer])
    pooled = [p for _, p in rows if p is not None]
    return [[joined, {"pooled_output": torch.cat(pooled)} if len(pooled) == len(rows) else {}]]


def predict(model: Any, predictor: Predictor, examples: Examples, which: int, sigma: float, seed: int) -> torch.Tensor:
    """The predicted map's encoding [1, C, h, w] of one picture at a noise level, for a preview."""
    latent = examples.latents[which][None].to(model.load_device)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed)).to(latent)
    level = torch.tensor([sigma], device=latent.device)
    with torch.no_grad(), running(model):
        x = model.model.model_sampling.noise_scaling(level, noise, latent.clone())
        features = features_of(model, x, level, _conditioning(examples, [which]), predictor.taps)
        grid = (int(latent.shape[-2]), int(latent.shape[-1]))
        law = noise_law(model.model.model_sampling)
        return predictor.network(latent.device, law)(features, level, grid)
