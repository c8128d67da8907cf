"""One noise for a source and its targets: the start noise, and what samplers draw on the way."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler, default_noise_sampler
from comfy.samplers import KSAMPLER

from ..errors import DirectorError
from .hooks import RunArguments

NoiseSampler = Callable[[Any, Any], torch.Tensor]


def share_noise(node: str, prompts: int, arguments: RunArguments) -> RunArguments:
    """Give every row of a group of ``prompts`` rows the noise of the group's first.

    Row 0 draws what a batch of one with this seed draws. Each further group has a stream of its own,
    seeded by seed + its number. A batch that is no multiple of ``prompts`` is left as it is; the run's
    check refuses it. Raises DirectorError for a sampler whose noise cannot be shared.
    """
    images = arguments.noise.shape[0]
    if prompts < 2 or images % prompts:
        return arguments
    noise = arguments.noise[_sources(images, prompts)]
    return replace(arguments, noise=noise, sampler=share_sampler(node, prompts, arguments.sampler))


def _sources(images: int, prompts: int) -> torch.Tensor:
    return torch.arange(images) // prompts * prompts


def share_sampler(node: str, prompts: int, sampler: Any) -> Any:
    """A sampler whose rows share their step noise; the same one where it draws none."""
    if not isinstance(sampler, KSAMPLER):
        raise _refusal(node, type(sampler).__name__)
    function, options = sampler.sampler_function, sampler.extra_options
    if float(options.get("s_churn", 0.0)) > 0.0:
        raise DirectorError(node, f"s_churn is {options['s_churn']}, which adds noise that cannot be shared between "
                                  "source and targets; set it to 0.")
    takes_noise = _takes_noise_sampler(function)
    if not (takes_noise or _of_the_host(function)):
        raise _refusal(node, _name(function))
    if not takes_noise and not sampler.inpaint_options.get("random", False):
        return sampler
    return KSAMPLER(_sharing(function, prompts, takes_noise), sampler.extra_options, sampler.inpaint_options)


def _refusal(node: str, name: str) -> DirectorError:
    return DirectorError(node, f"this sampler ({name}) adds noise that cannot be shared between source and targets; "
                               "use one of ComfyUI's, such as euler or dpmpp_2m_sde.")


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _of_the_host(function: Any) -> bool:
    """The host's samplers without a noise_sampler draw no noise of their own."""
    return str(getattr(function, "__module__", "")).partition(".")[0] in ("comfy", "comfy_extras")


def _takes_noise_sampler(function: Any) -> bool:
    """dpm_adaptive stands behind a function that hands all its options on."""
    names = inspect.signature(function).parameters
    return "noise_sampler" in names or (_name(function) == "dpm_adaptive_function" and _of_the_host(function))


def _sharing(function: Any, prompts: int, takes_noise: bool) -> Any:
    """The sampler function with shared noise in place of its own."""

    @functools.wraps(function)
    def shared(model: Any, x: torch.Tensor, sigmas: torch.Tensor, extra_args: dict[str, Any] | None = None,
               callback: Any = None, disable: bool | None = None, **options: Any) -> torch.Tensor:
        if torch.is_tensor(getattr(model, "noise", None)):
            model.noise = model.noise[_sources(x.shape[0], prompts)]  # ddim draws anew for a noise mask
        if takes_noise:
            seed = (extra_args or {}).get("seed")
            options["noise_sampler"] = _shared_noise(function, prompts, x, sigmas, seed, options.get("noise_sampler"))
        return function(model, x, sigmas, extra_args=extra_args, callback=callback, disable=disable, **options)

    return shared


def _shared_noise(function: Any, prompts: int, x: torch.Tensor, sigmas: torch.Tensor, seed: int | None,
                  given: NoiseSampler | None) -> NoiseSampler:
    """Noise [B, C, h, w] equal within each group; of a sampler that was given one, its source rows' noise."""
    sources = _sources(x.shape[0], prompts)
    if given is not None:
        return lambda sigma, sigma_next: _spread(given(sigma, sigma_next), sources)
    groups = [_stock_noise(function, x[first:first + 1], sigmas, None if seed is None else seed + number)
              for number, first in enumerate(range(0, x.shape[0], prompts))]
    return lambda sigma, sigma_next: torch.cat([group(sigma, sigma_next) for group in groups])[sources // prompts]


def _spread(noise: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    return noise.expand(len(sources), *noise.shape[1:]) if noise.shape[0] == 1 else noise[sources]


def _stock_noise(function: Any, x: torch.Tensor, sigmas: torch.Tensor, seed: int | None) -> NoiseSampler:
    """The noise sampler that the function would have made for this one row."""
    name = _name(function)
    if not any(family in name for family in ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde")):
        return default_noise_sampler(x, seed=seed)
    return BrownianTreeNoiseSampler(x, sigmas[sigmas > 0].min(), sigmas.max(), seed=seed, cpu=not name.endswith("_gpu"))
