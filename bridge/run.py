"""One sampling run: what it knows, the wrappers around it, and the line it leaves on each node."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch

from ..core.call import RowSpan, Scratch, Step
from ..core.layers import LayerAddress
from ..core.method import Chain, Method
from ..core.schedule import Schedule
from ..core.tokens import PromptTag
from .dispatch import RUN_KEY
from .errors import DirectorError
from .prompt import TAG_KEY
from .status import report_line, send_status
from .unet import HookAddress, hook_addresses

CHAIN_KEY = "attention_director_chain"
TIMESTEPS = 1000.0


@dataclass(frozen=True)
class RunArguments:
    """What a method may replace before a run starts. noise, latent: [B, C, h, w]; sigmas: [n + 1]."""

    noise: torch.Tensor
    latent: torch.Tensor
    sampler: Any
    sigmas: torch.Tensor
    seed: int | None


@runtime_checkable
class ReplacesArguments(Protocol):
    """A method that changes the run's arguments, such as noise shared by rows."""

    def replace_arguments(self, arguments: RunArguments) -> RunArguments: ...


@runtime_checkable
class EditsPrediction(Protocol):
    """A method that changes the denoised prediction [B, C, h, w] of a step; x itself is never edited."""

    @property
    def schedule(self) -> Schedule: ...

    def edit_prediction(self, x: torch.Tensor, denoised: torch.Tensor, step: Step,
                        scratch: Scratch) -> torch.Tensor: ...


@dataclass(eq=False)
class Run:
    """State of one run; made when its sampler starts, dropped when it ends."""

    chain: Chain
    model: Any
    clones: tuple[Any, ...]
    addresses: dict[HookAddress, LayerAddress]
    tags: dict[tuple[bool, Any], PromptTag]
    sigmas: tuple[float, ...]
    scratch: Scratch = field(default_factory=Scratch)
    calls: list[tuple[float, int, frozenset[str]]] = field(default_factory=list)
    first_progress: float | None = None
    seen_keys: set[str] = field(default_factory=set)

    def owns(self, model: Any) -> bool:
        """Another guider may send our options to a second model; that one is not ours to change."""
        return model is self.model or any(model is clone for clone in self.clones)

    def step_at(self, sigma: float, model: Any) -> Step:
        """Progress from the model's own timesteps, so that second-order samplers come out right."""
        def progress() -> float:
            sampling = model.model_sampling
            timestep = sampling.timestep(torch.tensor([sigma], device=sampling.sigma_max.device
                                                      if torch.is_tensor(sampling.sigma_max) else None))
            return min(1.0, max(0.0, 1.0 - float(timestep.flatten()[0]) / TIMESTEPS))

        return Step(sigma, self.scratch.once(("progress", sigma), progress))

    def record(self, step: Step, rows: Iterable[RowSpan], active: Chain) -> None:
        """Note which methods acted in this call, for the line after the run."""
        if self.first_progress is None:
            self.first_progress = step.progress
        number = sum(s >= step.sigma * (1 - 1e-4) for s in self.sigmas[:-1])
        self.calls.append((time.perf_counter(), max(1, number), frozenset(m.key for m in active.methods)))
        self.seen_keys.update(key for span in rows if span.tag is not None for key in span.tag.keys)


def chain_of(model_options: dict[str, Any]) -> Chain | None:
    return model_options.get("transformer_options", {}).get(CHAIN_KEY)


def tags_of(conds: dict[str, list[dict[str, Any]]]) -> dict[tuple[bool, Any], PromptTag]:
    """(first list of a call?, uuid) -> tag, from a guider's processed conditionings."""
    negative = {cond["uuid"] for name, entries in conds.items() if "negative" in name for cond in entries}
    tags: dict[tuple[bool, Any], PromptTag] = {}
    for name, entries in conds.items():
        for cond in entries if "negative" not in name else ():
            if TAG_KEY in cond:
                tag = _with_appended(cond[TAG_KEY], cond["cross_attn"].shape[1])
                tags[True, cond["uuid"]] = tag
                if cond["uuid"] not in negative:
                    tags[False, cond["uuid"]] = tag
    return tags


def _with_appended(tag: PromptTag, tokens: int) -> PromptTag:
    """The tag, knowing how many tokens a node such as ConditioningConcat put behind its own."""
    return replace(tag, appended=max(0, tokens - tag.starts(0).stop))


def check_run(chain: Chain, guider: Any, options: dict[str, Any], images: int) -> None:
    """Refuse before the first step what a node could not know when it ran."""
    positives = [cond for name, entries in guider.conds.items() if "negative" not in name for cond in entries]
    for method in chain.methods:
        ours = [c for c in positives if TAG_KEY in c and method.key in c[TAG_KEY].keys]
        if not ours:
            continue  # it will not act, so nothing is wrong
        if any(c.get("area") is not None for c in ours):
            raise DirectorError(method.label, "its positive was limited to an area; the regions already say what goes "
                                              "where, take ConditioningSetArea away.")
        spans = [RowSpan(0, images, c[TAG_KEY]) for c in ours]
        try:
            method.check_run(spans, images)
        except ValueError as error:
            raise DirectorError(method.label, f"{str(error).removeprefix(method.label + ': ')}.") from error
        prompts = max((len(span.tag.rows) for span in spans if span.tag), default=1)
        if images % prompts:
            raise DirectorError(method.label, f"{images} latents for {prompts} prompts; use a multiple of {prompts}.")
        window = options.get("context_handler")
        if window is not None and window.dim == 0 and window.context_length < images:
            _check_window(method, spans, prompts, window.context_length)


def _check_window(method: Method, spans: list[RowSpan], prompts: int, length: int) -> None:
    """A window over the batch hides which image is which: refuse what differs from image to image."""
    split = "prompts" if prompts > 1 else ""
    try:
        method.check_run(spans, length)
    except ValueError:
        split = split or "masks"
    if split:
        raise DirectorError(method.label, f"a context window over the batch splits its {split}; take it away.")


def outer_sample(executor: Any, noise: torch.Tensor, latent_image: torch.Tensor, sampler: Any, sigmas: torch.Tensor,
                 denoise_mask: Any = None, callback: Any = None, disable_pbar: bool = False,
                 seed: int | None = None, **kwargs: Any) -> torch.Tensor:
    """OUTER_SAMPLE wrapper: let methods replace the run's arguments."""
    arguments = RunArguments(noise, latent_image, sampler, sigmas, seed)
    for method in (chain_of(executor.class_obj.model_options) or Chain()).methods:
        if isinstance(method, ReplacesArguments):
            arguments = method.replace_arguments(arguments)
    return executor(arguments.noise, arguments.latent, arguments.sampler, arguments.sigmas, denoise_mask, callback,
                    disable_pbar, arguments.seed, **kwargs)


def sampler_sample(executor: Any, guider: Any, sigmas: torch.Tensor, extra_args: dict[str, Any], callback: Any,
                   noise: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """SAMPLER_SAMPLE wrapper: make the run, pass it along in a copy of the options, report, drop it."""
    options = extra_args["model_options"]
    chain = chain_of(options)
    if chain is None:
        return executor(guider, sigmas, extra_args, callback, noise, *args, **kwargs)
    check_run(chain, guider, options, noise.shape[0])
    clones = options.get("multigpu_clones") or {}
    model = guider.inner_model
    run = Run(chain, model, tuple(c.model for c in clones.values()), hook_addresses(model.diffusion_model),
              tags_of(guider.conds), tuple(sigmas.tolist()))
    transformer_options = {**options.get("transformer_options", {}), RUN_KEY: run}
    extra_args = {**extra_args, "model_options": {**options, "transformer_options": transformer_options}}
    try:
        samples = executor(guider, sigmas, extra_args, callback, noise, *args, **kwargs)
        report(run)
        return samples
    finally:
        run.scratch.values.clear()


def predict_noise(executor: Any, x: torch.Tensor, timestep: torch.Tensor, model_options: dict[str, Any] | None = None,
                  seed: int | None = None) -> torch.Tensor:
    """PREDICT_NOISE wrapper: let methods edit the denoised prediction."""
    options = model_options or {}
    denoised = executor(x, timestep, options, seed)
    run = options.get("transformer_options", {}).get(RUN_KEY)
    editors = [m for m in run.chain.methods if isinstance(m, EditsPrediction)] if run else []
    if editors:
        step = run.step_at(float(timestep.flatten()[0]), run.model)
        for method in editors:
            if method.schedule.active(step.progress):
                denoised = method.edit_prediction(x, denoised, step, run.scratch)
    return denoised


def report(run: Run) -> None:
    """Leave one line on each method's node."""
    for method in run.chain.methods:
        send_status(method.key, method.label, _line(run, method))


def _line(run: Run, method: Method) -> str:
    steps = sorted({number for _, number, keys in run.calls if method.key in keys})
    start = None if run.first_progress is None else run.first_progress
    return report_line(steps, len(run.sigmas) - 1, _extra_seconds(run, method.key), getattr(method, "summary", ""),
                       method.key in run.seen_keys, start, method.schedule)


def _extra_seconds(run: Run, key: str) -> float | None:
    """Time of the calls where it acted beyond that of as many where it did not; None when unknown."""
    spans = [(b[0] - a[0], key in a[2]) for a, b in zip(run.calls, run.calls[1:], strict=False)]
    with_us = sorted(s for s, acted in spans if acted)
    without = sorted(s for s, acted in spans if not acted)
    if len(with_us) < 2 or len(without) < 2:
        return None
    return max(0.0, (with_us[len(with_us) // 2] - without[len(without) // 2]) * (len(with_us) + 1))
