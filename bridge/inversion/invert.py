"""From a picture and its caption to an inversion, with the host's own machinery around the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import comfy.model_management
import comfy.samplers
import comfy.utils
import torch

from ...core.inversion import ddim_inversion, edit_friendly, null_text
from ..errors import DirectorError
from ..families import family_of
from ..families.checkpoint import family, fingerprint
from ..run.gradients import gradients, normal, with_differentiable_attention
from ..text.prompt import Conditioning, encode, tag_of, take_prompt
from .replay import Inversion, follow, with_embedding

SCHEDULERS: list[str] = list(comfy.samplers.KSampler.SCHEDULERS)
# Reported where the reconstruction equals the picture up to rounding.
MOST_DB = 100.0


@dataclass(frozen=True)
class Wish:
    """What the person chose. cfg counts for null-text and edit-friendly, seed for edit-friendly."""

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
           wish: Wish) -> Inverted:
    """Invert the first picture of ``image`` [B, H, W, C]. Raises DirectorError; inputs are left as they are."""
    family_of(model, node)
    if vae is None:
        raise DirectorError(node, "the vae input is empty; the checkpoint may hold none, use Load VAE.")
    positive, text = _caption(clip, caption, node)
    unconditional = encode(clip, "", node)
    samples = vae.encode(image[:1, ..., :3])
    bar = comfy.utils.ProgressBar((3 if wish.method == "null-text" else 2) * wish.steps)
    sigmas = _levels(node, model, wish)
    found = _run(model, positive, unconditional, wish.guidance, _Inverter(wish, bar), sigmas, samples)
    inversion = Inversion(
        wish.method, fingerprint(model), family(model), tuple(sigmas.tolist()), positive=positive,
        unconditional=unconditional, text=text, steps=wish.steps, scheduler=wish.scheduler, cfg=wish.guidance, **found)
    replayed = reconstruct(node, model, inversion, bar)
    picture, reached = vae.decode(samples), vae.decode(replayed)
    return Inverted(inversion, reached, psnr(reached, picture), {"samples": samples})


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in 0..1, at most MOST_DB."""
    error = float((a.double() - b.double()).square().mean())
    return MOST_DB if error <= 10.0 ** (-MOST_DB / 10.0) else float(-10.0 * torch.tensor(error).log10())


def _caption(clip: Any, caption: str | Conditioning, node: str) -> tuple[Conditioning, str]:
    if not isinstance(caption, str):
        tag = tag_of(caption)
        return caption, tag.rows[0].text if tag else ""
    return take_prompt(clip, caption, node)[0], caption


def _levels(node: str, model: Any, wish: Wish) -> torch.Tensor:
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), wish.scheduler, wish.steps)
    if len(sigmas) < 2 or float(sigmas[-1]) != 0.0 or bool((sigmas[1:] >= sigmas[:-1]).any()):
        raise DirectorError(node, f"{wish.steps} steps of {wish.scheduler} repeat a noise level; use fewer steps or "
                                  "another scheduler.")
    return sigmas


def _run(model: Any, positive: Conditioning, negative: Conditioning | None, cfg: float, sampler: _Inverter,
         sigmas: torch.Tensor, samples: torch.Tensor) -> dict[str, torch.Tensor]:
    """Let the host prepare and load the model, process the conditionings, and call our "sampler"."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    guider.sample(torch.zeros_like(samples), samples, sampler, sigmas, seed=sampler.wish.seed)
    return sampler.found


def reconstruct(node: str, model: Any, inversion: Inversion, bar: Any = None) -> torch.Tensor:
    """The latent [1, C, h, w], in the host's scale, that a run under the inversion's own rule ends in."""
    followed, negative = follow(node, "", model, inversion, 1, inversion.unconditional)
    guider = comfy.samplers.CFGGuider(followed)
    guider.set_conds(inversion.positive, negative)
    guider.set_cfg(inversion.cfg)
    empty = torch.zeros_like(inversion.latent)
    sampler, sigmas = comfy.samplers.ksampler("euler"), torch.tensor(inversion.sigmas)
    return guider.sample(empty, empty, sampler, sigmas, callback=lambda *_: bar and bar.update(1), disable_pbar=True,
                         seed=0)


@dataclass(eq=False)
class _Inverter(comfy.samplers.Sampler):
    """In a sampler's place: goes up the noise levels instead of down, and keeps what it finds."""

    wish: Wish
    bar: Any
    found: dict[str, torch.Tensor] = field(default_factory=dict)

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None,
               disable_pbar=False) -> torch.Tensor:
        del callback, denoise_mask, disable_pbar
        x0 = noise if latent_image is None else latent_image
        levels = tuple(sigmas.tolist())

        def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
            return model_wrap(x, x.new_full((1,), sigma), **extra_args)

        if self.wish.method == "edit-friendly":
            found = edit_friendly(denoise, x0, levels, _noise_maps(x0, len(levels) - 1, self.wish.seed), self._tell)
            self.found = dict(zip(("states", "predictions", "noises"), map(_kept, found), strict=True))
        elif self.wish.method == "null-text":
            states = ddim_inversion(partial(_caption_alone, model_wrap, extra_args), x0, levels, self._tell)
            self.found = {"states": _kept(states), "embeddings": _kept(self._embeddings(
                model_wrap, extra_args, states, levels))}
        else:
            self.found = {"states": _kept(ddim_inversion(denoise, x0, levels, self._tell))}
        return x0

    def _tell(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.bar.update(1)

    def _embeddings(self, guider: Any, extra_args: dict[str, Any], states: torch.Tensor,
                    levels: tuple[float, ...]) -> torch.Tensor:
        """Null-text: under autograd, in float32, with the weights where they are."""
        options = with_differentiable_attention(extra_args["model_options"])
        negative = guider.conds["negative"]
        with gradients(guider.inner_model):
            def unconditional(x: torch.Tensor, sigma: float, embedding: torch.Tensor) -> torch.Tensor:
                comfy.model_management.throw_exception_if_processing_interrupted()
                lists = [None, [with_embedding(cond, embedding) for cond in negative]]
                return _predictions(guider, lists, x, sigma, options)[1]

            start = normal(negative[0]["cross_attn"]).to(states.device, torch.float32)
            return null_text(partial(_caption_alone, guider, {**extra_args, "model_options": options}), unconditional,
                             normal(states), levels, start, self.wish.cfg, self._tell)


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
