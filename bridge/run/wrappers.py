"""The wrappers around a run of the host, each letting methods use their hooks (hooks.py)."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ...core.call import Scratch, Step
from ...core.method import Chain
from ..families import family_of_network
from .checks import check_run, conds_of
from .dispatch import RUN_KEY
from .hooks import (
    AroundConds,
    AroundSampler,
    AsksForRecords,
    BeforeRun,
    BeginsRun,
    CondCall,
    EditsDenoised,
    EndsRun,
    File,
    RunArguments,
    SamplerCall,
)
from .known_sigmas import known
from .parts import refuse_tiles
from .run import Run, areas_of, chain_of, tags_of
from .status import report

# What the methods of a run want to keep under its result, which only the outermost wrapper sees.
_filing: ContextVar[list[File] | None] = ContextVar("attention_director_filing", default=None)


def outer_sample(executor: Any, noise: torch.Tensor, latent_image: torch.Tensor, sampler: Any, sigmas: torch.Tensor,
                 denoise_mask: Any = None, callback: Any = None, disable_pbar: bool = False,
                 seed: int | None = None, **kwargs: Any) -> torch.Tensor:
    """OUTER_SAMPLE wrapper: let acting methods replace the run's arguments, and file what it left by its result."""
    guider = executor.class_obj
    arguments = RunArguments(noise, latent_image, sampler, sigmas, seed, getattr(guider, "conds", {}))
    for method in (chain_of(guider.model_options) or Chain()).methods:
        if isinstance(method, BeforeRun) and conds_of(method, guider, noise.shape[0]):
            arguments = method.before_run(arguments)
    token = _filing.set(None)
    try:
        samples = executor(arguments.noise, arguments.latent, arguments.sampler, arguments.sigmas, denoise_mask,
                           callback, disable_pbar, arguments.seed, **kwargs)
        for file in _filing.get() or ():
            file(samples)
        return samples
    finally:
        _filing.reset(token)


def sampler_sample(executor: Any, guider: Any, sigmas: torch.Tensor, extra_args: dict[str, Any], callback: Any,
                   noise: torch.Tensor, latent_image: torch.Tensor | None = None,
                   denoise_mask: torch.Tensor | None = None, disable_pbar: bool = False) -> torch.Tensor:
    """SAMPLER_SAMPLE wrapper: make the run, pass it along in a copy of the options, report, drop it."""
    call = SamplerCall(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar,
                       executor.class_obj)
    options = extra_args["model_options"]
    chain = chain_of(options)
    if chain is None:
        return _sample(executor, call)
    check_run(chain, guider, options, noise.shape[0])
    run = _start(chain, call)
    run.wrapped = "model_function_wrapper" in options
    call = replace(call, sigmas=known(call.sigmas, run.sigmas))
    transformer_options = {**options.get("transformer_options", {}), RUN_KEY: run}
    call = replace(call, extra_args={
        **extra_args, "model_options": {**options, "transformer_options": transformer_options}})
    try:
        samples = _around(run, partial(_sample, executor))(call)
        ended = [method.end_run(run) for method in run.chain.methods if isinstance(method, EndsRun)]
        _filing.set([file for file in ended if file is not None])
        report(run)
        return samples
    finally:
        run.scratch.values.clear()


def _around(run: Run, sample: Callable[[SamplerCall], torch.Tensor]) -> Callable[[SamplerCall], torch.Tensor]:
    """``sample`` inside every method that surrounds it, first in the chain outermost."""
    for method in reversed(run.chain.methods):
        if isinstance(method, AroundSampler):
            sample = partial(_surround, method, run, sample)
    return sample


def _start(chain: Chain, call: SamplerCall) -> Run:
    model = call.guider.inner_model
    clones = call.extra_args["model_options"].get("multigpu_clones") or {}
    recording = any(isinstance(m, AsksForRecords) and m.recording for m in chain.methods)
    family = family_of_network(model.diffusion_model)
    latent_grid = (int(call.noise.shape[-2]), int(call.noise.shape[-1]))
    network = family.network(model.diffusion_model, latent_grid)
    run = Run(chain.fitted(network, latent_grid), model, tuple(c.model for c in clones.values()), family, network,
              tags_of(call.guider.conds), tuple(call.sigmas.tolist()), Scratch(recording),
              call.noise.shape[0], areas_of(call.guider.conds))
    for method in run.chain.methods:
        if isinstance(method, BeginsRun):
            method.begin_run(run, call)
    return run


def _sample(executor: Any, call: SamplerCall) -> torch.Tensor:
    return executor(call.guider, call.sigmas, call.extra_args, call.callback, call.noise, call.latent_image,
                    call.denoise_mask, call.disable_pbar)


def _surround(method: AroundSampler, run: Run, sample: Any, call: SamplerCall) -> torch.Tensor:
    return method.around_sampler(run, call, sample)


def predict_noise(executor: Any, x: torch.Tensor, timestep: torch.Tensor, model_options: dict[str, Any] | None = None,
                  seed: int | None = None) -> torch.Tensor:
    """PREDICT_NOISE wrapper: let methods edit the denoised prediction, first in the chain first."""
    options = model_options or {}
    run = run_of(options)
    if run is None:
        return executor(x, timestep, options, seed)
    with run.at(timestep) as (sigma, timestep):
        denoised = executor(x, timestep, options, seed)
    if editors := run.chain.having(EditsDenoised):
        step = run.step_at(sigma, run.model)
        for method in editors:
            if method.schedule.active(step.progress):
                denoised = method.edit_denoised(run, x, denoised, step)
    return denoised


def calc_cond_batch(executor: Any, model: Any, conds: Any, x: torch.Tensor, timestep: torch.Tensor,
                    model_options: dict[str, Any]) -> list[torch.Tensor]:
    """CALC_COND_BATCH wrapper: let methods evaluate the conditionings in their own way."""
    run = run_of(model_options)
    call = CondCall(model, conds, x, timestep, model_options)
    evaluate = partial(_evaluate, executor)
    methods = run.chain.having(AroundConds) if run and run.owns(model) else ()
    if run is not None and methods:
        step = run.step_at(run.sigma_of(timestep), model)
        acting = [method for method in methods if method.schedule.active(step.progress)]
        refuse_tiles(run, x, acting)
        for method in reversed(acting):
            evaluate = partial(_surround_conds, method, run, step, evaluate)
    return evaluate(call)


def _evaluate(executor: Any, call: CondCall) -> list[torch.Tensor]:
    return executor(call.model, call.conds, call.x, call.timestep, call.options)


def _surround_conds(method: AroundConds, run: Run, step: Step, evaluate: Any, call: CondCall) -> list[torch.Tensor]:
    return method.around_conds(run, call, step, evaluate)


def run_of(options: dict[str, Any]) -> Run | None:
    """The run these options belong to, None outside of one."""
    return options.get("transformer_options", {}).get(RUN_KEY)
