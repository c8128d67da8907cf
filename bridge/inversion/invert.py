"""From a picture and its caption to an inversion, with the host's own machinery around the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import comfy.model_management
import comfy.samplers
import comfy.utils
import torch

from ...core.inversion import ddim_inversion, edit_friendly, fixed_noise, midpoint_inversion, null_text
from ...core.noise import FLOW
from ..convert import psnr, require_pictures
from ..errors import DirectorError
from ..families import family_of
from ..families.checkpoint import family as family_name
from ..families.checkpoint import fingerprint
from ..families.differentiable_attention import with_differentiable_attention
from ..run.gradients import gradients, normal
from ..run.noise_law import noise_law
from ..text.prompt import Conditioning, encode, tag_of, take_prompt
from ..untrusted import require_number
from .inversion import Inversion
from .replay import replay, with_embedding

MOST_STEPS, MOST_CFG = 1000, 1000
ROUNDS = {"null-text": 3, "noise": 1}  # how often each noise level is counted; 2 in the others: up, and down again
SCHEDULERS: list[str] = list(comfy.samplers.KSampler.SCHEDULERS)


@dataclass(frozen=True)
class InversionSettings:
    """What the person chose. cfg counts for null-text and edit-friendly, seed for edit-friendly and noise."""

    method: str
    steps: int
    scheduler: str
    cfg: float = 7.5
    seed: int = 0

    @property
    def guidance(self) -> float:
        """Guidance of the inversion and of its replay; 1 means the caption alone."""
        return self.cfg if self.method in ("null-text", "edit-friendly") else 1.0


@dataclass(frozen=True)
class Inverted:
    """The node's outputs. reconstruction: [1, H, W, 3]; psnr in dB; samples: the picture's LATENT."""

    inversion: Inversion
    reconstruction: torch.Tensor
    psnr: float
    samples: dict[str, torch.Tensor]


def invert(node: str, model: Any, clip: Any, vae: Any, image: torch.Tensor, caption: str | Conditioning,
           settings: InversionSettings) -> Inverted:
    """Invert the first picture of ``image`` [B, H, W, C]. Raises DirectorError; inputs are left as they are."""
    family = family_of(model, node, joint=True)
    _check_method(node, settings.method, noise_law(model.get_model_object("model_sampling")) is FLOW, family.joint)
    if vae is None:
        raise DirectorError(node, "the vae input is empty; if the checkpoint contains no VAE, use Load VAE.")
    require_number(node, "steps", settings.steps, 2, MOST_STEPS)
    require_number(node, "cfg", settings.cfg, 0, MOST_CFG)
    require_pictures(node, "image", image)
    positive, text = _caption(clip, caption, node)
    positive = [[cond, values | family.unguided(model.model.diffusion_model)] for cond, values in positive]
    unconditional = encode(clip, "", node)
    samples = vae.encode(image[:1, ..., :3])
    bar = comfy.utils.ProgressBar(ROUNDS.get(settings.method, 2) * settings.steps)
    sigmas = _levels(node, model, settings)
    found = _run(model, positive, unconditional, settings.guidance, _Inverter(node, settings, bar), sigmas, samples)
    inversion = Inversion(
        settings.method, fingerprint(model), family_name(model), tuple(sigmas.tolist()), positive=positive,
        unconditional=unconditional, text=text, steps=settings.steps, scheduler=settings.scheduler,
        cfg=settings.guidance, **found)
    replayed = reconstruct(node, model, inversion, bar)
    picture, reached = vae.decode(samples), vae.decode(replayed)
    return Inverted(inversion, reached, psnr(reached, picture), {"samples": samples})


def _check_method(node: str, method: str, flow: bool, joint: bool) -> None:
    """Refuse what a model's kind of sampling, or of attention, does not allow."""
    if method == "fireflow" and not flow:
        raise DirectorError(node, "fireflow inversion is for models that are sampled as a flow, such as Flux and "
                                  "Z-Image; use method direct.")
    if method == "edit-friendly" and flow:
        raise DirectorError(node, "this model is sampled as a flow, whose samplers take other steps than edit-friendly "
                                  "inversion needs; use method direct.")
    if method in ("null-text", "negative-prompt") and joint:
        raise DirectorError(node, f"{method} inversion works through the negative, which models such as Flux and "
                                  "Z-Image mostly run without; use method direct.")


def _caption(clip: Any, caption: str | Conditioning, node: str) -> tuple[Conditioning, str]:
    if not isinstance(caption, str):
        tag = tag_of(caption)
        return caption, tag.rows[0].text if tag else ""
    return take_prompt(clip, caption, node)[0], caption


def _levels(node: str, model: Any, settings: InversionSettings) -> torch.Tensor:
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, settings.scheduler, settings.steps)
    if len(sigmas) < 2 or float(sigmas[-1]) != 0.0 or bool((sigmas[1:] >= sigmas[:-1]).any()):
        raise DirectorError(node, f"{settings.steps} steps of {settings.scheduler} repeat a noise level; use fewer "
                                  "steps or another scheduler.")
    return sigmas


def _run(model: Any, positive: Conditioning, negative: Conditioning | None, cfg: float, sampler: _Inverter,
         sigmas: torch.Tensor, samples: torch.Tensor) -> dict[str, torch.Tensor]:
    """Let the host prepare and load the model, process the conditionings, and call our "sampler"."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    guider.sample(torch.zeros_like(samples), samples, sampler, sigmas, seed=sampler.settings.seed)
    return sampler.found


def reconstruct(node: str, model: Any, inversion: Inversion, bar: Any = None) -> torch.Tensor:
    """The latent [1, C, h, w], in the host's scale, that a run under the inversion's own rule ends in."""
    replaying, negative = replay(inversion, node, "", model, 1, inversion.unconditional)
    guider = comfy.samplers.CFGGuider(replaying)
    guider.set_conds(inversion.positive, negative)
    guider.set_cfg(inversion.cfg)
    empty = torch.zeros_like(inversion.latent)
    sampler, sigmas = comfy.samplers.ksampler("euler"), torch.tensor(inversion.sigmas)
    return guider.sample(empty, empty, sampler, sigmas, callback=lambda *_: bar and bar.update(1), disable_pbar=True,
                         seed=0)


@dataclass(eq=False)
class _Inverter(comfy.samplers.Sampler):
    """In a sampler's place: goes up the noise levels instead of down, and keeps what it finds."""

    node: str
    settings: InversionSettings
    bar: Any
    found: dict[str, torch.Tensor] = field(default_factory=dict)

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None,
               disable_pbar=False) -> torch.Tensor:
        del callback, denoise_mask, disable_pbar
        x0 = noise if latent_image is None else latent_image
        levels, law = tuple(sigmas.tolist()), noise_law(model_wrap.inner_model.model_sampling)

        def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
            return model_wrap(x, x.new_full((1,), sigma), **extra_args)

        if self.settings.method == "noise":
            self.found = {"states": _kept(fixed_noise(x0, levels, _noise_maps(x0, 1, self.settings.seed), law))}
        elif self.settings.method == "fireflow":
            self.found = {"states": _kept(midpoint_inversion(denoise, x0, levels, self._tell))}
        elif self.settings.method == "edit-friendly":
            noises = _noise_maps(x0, len(levels) - 1, self.settings.seed)
            found = edit_friendly(denoise, x0, levels, noises, law, self._tell)
            self.found = dict(zip(("states", "predictions", "noises"), map(_kept, found), strict=True))
        elif self.settings.method == "null-text":
            states = ddim_inversion(partial(_caption_alone, model_wrap, extra_args), x0, levels, law, self._tell)
            self.found = {"states": _kept(states), "embeddings": _kept(self._embeddings(
                model_wrap, extra_args, states, levels))}
        else:
            self.found = {"states": _kept(ddim_inversion(denoise, x0, levels, law, self._tell))}
        return x0

    def _tell(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.bar.update(1)

    def _embeddings(self, guider: Any, extra_args: dict[str, Any], states: torch.Tensor,
                    levels: tuple[float, ...]) -> torch.Tensor:
        """Null-text: under autograd, in float32, with the weights where they are."""
        options = with_differentiable_attention(extra_args["model_options"], self.node)
        negative, law = guider.conds["negative"], noise_law(guider.inner_model.model_sampling)
        with gradients(guider.inner_model):
            def unconditional(x: torch.Tensor, sigma: float, embedding: torch.Tensor) -> torch.Tensor:
                comfy.model_management.throw_exception_if_processing_interrupted()
                lists = [None, [with_embedding(cond, embedding) for cond in negative]]
                return _predictions(guider, lists, x, sigma, options)[1]

            start = normal(negative[0]["cross_attn"]).to(states.device, torch.float32)
            return null_text(partial(_caption_alone, guider, {**extra_args, "model_options": options}), unconditional,
                             normal(states), levels, start, self.settings.cfg, law, self._tell)


def _caption_alone(guider: Any, extra_args: dict[str, Any], x: torch.Tensor, sigma: float) -> torch.Tensor:
    """D(x, sigma) under the caption, without guidance."""
    return _predictions(guider, [guider.conds["positive"], None], x, sigma, extra_args["model_options"])[0]


def _predictions(guider: Any, lists: Any, x: torch.Tensor, sigma: float, options: dict[str, Any]) -> list[torch.Tensor]:
    """D(x, sigma) of each list of conditionings; None is left out."""
    return comfy.samplers.calc_cond_batch(guider.inner_model, lists, x, x.new_full((1,), sigma), options)


def _noise_maps(x0: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
    """[n, C, h, w], independent, the same on every machine."""
    return torch.randn((steps, *x0.shape[1:]), generator=torch.Generator().manual_seed(seed)).to(x0)


def _kept(value: torch.Tensor) -> torch.Tensor:
    return value.detach().to("cpu", torch.float32)
