"""Which runs an inversion holds for, and how each of them starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import comfy.samplers
import torch

from ...core.schedule import SAME_LEVEL
from ..errors import DirectorError
from ..run.hooks import SamplerCall
from ..run.samplers import SOLVERS, sampler_name
from .inversion import HELD, Inversion

# On the negative that an inversion brings: which inversion's it is.
MARK = "attention_director_inversion"
# How far a latent may be from the inversion's, as a share of its largest number, and still be that one: rounding
# of a run that came back to it, or of half precision.
SAME_LATENT = 1e-2


@dataclass(frozen=True, eq=False)
class StoredNoise:
    """A noise sampler of the host's kind: (sigma, next) -> [1, C, h, w], the same for every row."""

    inversion: Inversion

    def __call__(self, sigma: Any, _next: Any) -> torch.Tensor:
        assert self.inversion.noises is not None
        k = self.inversion.step_of(float(sigma))
        return self.inversion.noises[k:k + 1].to(sigma.device)


def check(node: str, inversion: Inversion, mark: str, call: SamplerCall) -> None:
    """Refuse, before the first step, a run that the inversion's method does not hold for."""
    if inversion.states.shape[1:] != call.noise.shape[1:]:
        (h, w), (there_h, there_w) = inversion.states.shape[2:], call.noise.shape[2:]
        raise DirectorError(node, f"the inverted picture is {w} x {h} in latents, the run's {there_w} x {there_h}; use "
                                  "the inversion's latent output, and the model from before this node for a second "
                                  "pass.")
    _check_sampler(node, inversion, call)
    _check_levels(node, inversion, call)
    _check_negative(node, inversion, mark, call)


def _check_sampler(node: str, inversion: Inversion, call: SamplerCall) -> None:
    """What was measured to hold: a held path with every sampler of the host, the others as samplers.py lists them."""
    name, options = sampler_name(call.sampler), getattr(call.sampler, "extra_options", None) or {}
    if not isinstance(call.sampler, comfy.samplers.KSAMPLER):
        raise DirectorError(node, "this sampler is not of ComfyUI's own kind, so its start cannot be set; use euler.")
    churns = bool(options.get("s_churn"))
    holds = {**dict.fromkeys(HELD, True), "null-text": name == "euler" and not churns, "edit-friendly":
             isinstance(options.get("noise_sampler"), StoredNoise)}
    if not holds.get(inversion.method, name in SOLVERS and not churns):
        listed = {"null-text": "euler or ddim", "edit-friendly": "euler, ddim, euler_ancestral or ddpm"}
        use = listed.get(inversion.method, "euler, ddim, dpmpp_2m or heun")
        raise DirectorError(node, f"{inversion.method} inversion does not hold with the sampler "
                                  f"{name or 'of another pack'}{' with churn' if churns else ''}; use {use}, or invert "
                                  "with method direct.")


def _check_levels(node: str, inversion: Inversion, call: SamplerCall) -> None:
    if not inversion.own_levels:
        return
    run = [float(s) for s in call.sigmas]
    first = inversion.step_of(run[0])
    stored = inversion.sigmas[first:first + len(run)]
    same = len(stored) == len(run) and all(math.isclose(a, b, rel_tol=SAME_LEVEL, abs_tol=1e-6)
                                           for a, b in zip(run, stored, strict=True))
    if not same:
        raise DirectorError(node, f"{inversion.method} inversion holds for its own {inversion.steps} steps of "
                                  f"{inversion.scheduler} only; connect the inversion's steps and scheduler to the "
                                  "sampler, with denoise 1.")


def _check_negative(node: str, inversion: Inversion, mark: str, call: SamplerCall) -> None:
    cfg = getattr(call.guider, "cfg", None)
    if inversion.method == "null-text" and cfg is not None and not math.isclose(cfg, inversion.cfg, rel_tol=1e-3):
        raise DirectorError(node, f"the null-text inversion was made for cfg {inversion.cfg:g}, the run has {cfg:g}; "
                                  "use the same number in both.")
    if not inversion.replaces_negative or cfg == 1.0:
        return
    if not any(cond.get(MARK) == mark for entries in call.guider.conds.values() for cond in entries):
        raise DirectorError(node, f"{inversion.method} inversion brings its own negative; connect this node's negative "
                                  "output to the sampler.")


def is_partway(inversion: Inversion, call: SamplerCall) -> bool:
    """True for a run that begins below the inversion's first noise level."""
    return float(call.sigmas[0]) < inversion.sigmas[0] * (1 - SAME_LEVEL)


def brings_its_own(inversion: Inversion, call: SamplerCall) -> bool:
    """True for a run that is given another picture than the inversion's, such as an edit of it.

    An empty latent, of one number per channel, is no picture.
    """
    latent = call.latent_image
    if latent is None or not bool((latent != latent[..., :1, :1]).any()):
        return False
    own = inversion.latent.to(latent)
    return float((latent - own).abs().max()) > SAME_LATENT * float(own.abs().max())


def check_goes_on(node: str, inversion: Inversion) -> None:
    """Refuse to go on from another picture where every step's noise belongs to the inversion's own."""
    if inversion.noises is not None:
        raise DirectorError(node, f"{inversion.method} inversion cannot go on from another latent than its own; use "
                                  "the model from before this node for a second pass, or invert with method direct.")
