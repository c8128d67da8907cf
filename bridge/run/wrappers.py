"""The wrappers around a run of the host, each letting methods play their roles (roles.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ...core.call import Scratch, Step
from ...core.method import Chain
from ..families.unet import hook_addresses
from ..record.store import filed, finish_recordings, start_recordings
from .checks import check_run, conds_of
from .dispatch import RUN_KEY
from .hooks import (
    AsksForRecords,
    CondCall,
    EditsPrediction,
    ReplacesArguments,
    RunArguments,
    SamplerCall,
    SurroundsConds,
    SurroundsSampling,
)
from .run import Run, chain_of, tags_of
from .status import report


def outer_sample(executor: Any, noise: torch.Tensor, latent_image: torch.Tensor, sampler: Any, sigmas: torch.Tensor,
                 denoise_mask: Any = None, callback: Any = None, disable_pbar: bool = False,
                 seed: int | None = None, **kwargs: Any) -> torch.Tensor:
    """OUTER_SAMPLE wrapper: let acting methods replace the run's arguments; file its record by its result."""
    guider = executor.class_obj
    arguments = RunArguments(noise, latent_image, sampler, sigmas, seed, getattr(guider, "conds", {}))
    for method in (chain_of(guider.model_options) or Chain()).methods:
        if isinstance(method, ReplacesArguments) and conds_of(method, guider, noise.shape[0]):
            arguments = method.replace_arguments(arguments)
    with filed() as file:
        samples = executor(arguments.noise, arguments.latent, arguments.sampler, arguments.sigmas, denoise_mask,
                           callback, disable_pbar, arguments.seed, **kwargs)
        file(samples)
    return samples


def sampler_sample(executor: Any, guider: Any, sigmas: torch.Tensor, extra_args: dict[str, Any], callback: Any,
                   noise: torch.Tensor, latent_image: torch.Tensor | None = None,
                   denoise_mask: torch.Tensor | None = None, disable_pbar: bool = False) -> torch.Tensor:
    """SAMPLER_SAMPLE wrapper: make the run, pass it along in a copy of the options, report, drop it."""
    call = SamplerCall(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar,
                       executor.class_obj)
    sample: Callable[[SamplerCall], torch.Tensor] = partial(_sample, executor)
    options = extra_args["model_options"]
    chain = chain_of(options)
    if chain is None:
        return sample(call)
    check_run(chain, guider, options, noise.shape[0])
    run = _start(chain, call)
    start_recordings(run, call)
    transformer_options = {**options.get("transformer_options", {}), RUN_KEY: run}
    call = replace(call, extra_args={
        **extra_args, "model_options": {**options, "transformer_options": transformer_options}})
    for method in reversed(chain.methods):
        if isinstance(method, SurroundsSampling):
            sample = partial(_surround, method, run, sample)
    try:
        samples = sample(call)
        finish_recordings(run)
        report(run)
        return samples
    finally:
        run.scratch.values.clear()


def _start(chain: Chain, call: SamplerCall) -> Run:
    model = call.guider.inner_model
    clones = call.extra_args["model_options"].get("multigpu_clones") or {}
    recording = any(isinstance(m, AsksForRecords) and m.recording for m in chain.methods)
    return Run(chain, model, tuple(c.model for c in clones.values()), hook_addresses(model.diffusion_model),
               tags_of(call.guider.conds), tuple(call.sigmas.tolist()), Scratch(recording))


def _sample(executor: Any, call: SamplerCall) -> torch.Tensor:
    return executor(call.guider, call.sigmas, call.extra_args, call.callback, call.noise, call.latent_image,
                    call.denoise_mask, call.disable_pbar)


def _surround(method: SurroundsSampling, run: Run, sample: Any, call: SamplerCall) -> torch.Tensor:
    return method.around_sampling(run, call, sample)


def predict_noise(executor: Any, x: torch.Tensor, timestep: torch.Tensor, model_options: dict[str, Any] | None = None,
                  seed: int | None = None) -> torch.Tensor:
    """PREDICT_NOISE wrapper: let methods edit the denoised prediction, first in the chain first."""
    options = model_options or {}
    denoised = executor(x, timestep, options, seed)
    run = run_of(options)
    editors = [m for m in run.chain.methods if isinstance(m, EditsPrediction)] if run else []
    if run is not None and editors:
        step = run.step_at(float(timestep.flatten()[0]), run.model)
        for method in editors:
            if method.schedule.active(step.progress):
                denoised = method.edit_prediction(run, x, denoised, step)
    return denoised


def calc_cond_batch(executor: Any, model: Any, conds: Any, x: torch.Tensor, timestep: torch.Tensor,
                    model_options: dict[str, Any]) -> list[torch.Tensor]:
    """CALC_COND_BATCH wrapper: let methods evaluate the conditionings in their own way."""
    run = run_of(model_options)
    call = CondCall(model, conds, x, timestep, model_options)
    evaluate = partial(_evaluate, executor)
    methods = [m for m in run.chain.methods if isinstance(m, SurroundsConds)] if run and run.owns(model) else []
    if run is not None and methods:
        step = run.step_at(float(timestep.flatten()[0]), model)
        for method in reversed(methods):
            if method.schedule.active(step.progress):
                evaluate = partial(_surround_conds, method, run, step, evaluate)
    return evaluate(call)


def _evaluate(executor: Any, call: CondCall) -> list[torch.Tensor]:
    return executor(call.model, call.conds, call.x, call.timestep, call.options)


def _surround_conds(method: SurroundsConds, run: Run, step: Step, evaluate: Any, call: CondCall) -> list[torch.Tensor]:
    return method.around_conds(run, call, step, evaluate)


def run_of(options: dict[str, Any]) -> Run | None:
    """The run these options belong to, None outside of one."""
    return options.get("transformer_options", {}).get(RUN_KEY)
