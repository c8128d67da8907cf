"""A run that starts from an inversion and keeps to it.

Method: while sampling, the rules of arXiv 2310.01506 (direct; the paths of noise and fireflow are held alike),
2305.16807 (negative prompt), 2211.09794 (DDIM, null text) and 2304.06140 (edit-friendly). Written from the papers; no
code copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import comfy.samplers
import torch

from ...core.call import RowSpan, Scratch, Step
from ...core.inversion import held_prediction, state_at
from ...core.method import spans_of
from ...core.schedule import Schedule, next_sigma
from ..errors import DirectorError
from ..families.checkpoint import family, fingerprint
from ..run.hooks import CondCall, Evaluate, RunArguments, Sample, SamplerCall
from ..run.install import install
from ..run.noise_law import noise_for
from ..run.run import Run
from ..run.samplers import DDPM_LIKE, sampler_name
from ..text.prompt import TAG_KEY, Conditioning
from .checks import MARK, StoredNoise, brings_its_own, check, check_goes_on, is_partway
from .inversion import HELD, Inversion


def replay(inversion: Inversion, node: str, key: str, model: Any, prompts: int,
           negative: Conditioning | None) -> tuple[Any, Conditioning | None]:
    """The model with a chain value that starts a run from the inversion and holds its source rows to it.

    key: that of the positive the run must have; "" for any run. prompts: rows of images i with
    i mod prompts == 0 are the source; 1 is plain reconstruction. negative: passed on, unless the method
    brings its own. Call this before installing a method that blends with the source row. Raises
    DirectorError for an inversion made with another checkpoint.
    """
    made, here = inversion.model, fingerprint(model)
    if made != here:
        raise DirectorError(node, f"the inversion was made with model {made[:6]} ({inversion.family}); this is "
                                  f"{here[:6]} ({family(model)}). Make it again.")
    mark = inversion.digest()
    replaying = install(model, InversionReplay(key, node, inversion, mark, prompts))
    return replaying, _own_negative(inversion, mark) if inversion.replaces_negative else negative


def _own_negative(inversion: Inversion, mark: str) -> Conditioning:
    """The method's unconditional side, recognisable in a run by its mark and never taken for the positive."""
    own = inversion.positive if inversion.method == "negative-prompt" else inversion.unconditional
    return [[cond, {**{k: v for k, v in values.items() if k != TAG_KEY}, MARK: mark}] for cond, values in own]


@dataclass(eq=False)
class ReplayRun:
    """What one run keeps. tensors: of the inversion, where the run computes, by name and device.

    given: x0 of the source rows [S, C, h, w] where the run goes on from another latent than the inversion's.
    """

    tensors: dict[tuple[str, torch.device], torch.Tensor] = field(default_factory=dict)
    given: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class InversionReplay:
    """On a model's chain: start at x*, and hold the source rows to it as the inversion's method does.

    A run that begins part of the way down with another picture, such as a second pass over an edit, goes on
    from that picture instead; its source rows are then held to themselves.
    """

    key: str
    label: str
    inversion: Inversion
    mark: str
    prompts: int = 1
    schedule: Schedule = field(default_factory=Schedule)

    part: ClassVar[str] = "inversion"
    needs_places: ClassVar[bool] = False
    acts_in_joint_layers: ClassVar[bool] = True

    def sum_up(self, scratch: Scratch) -> str:
        return f"{self.inversion.method} inversion"

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return not self.key or bool(spans_of(self.key, rows))

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        del rows
        if images % self.prompts:
            raise ValueError(f"{images} latents for {self.prompts} prompts; connect this node's latent output to the "
                             "sampler")

    def before_run(self, arguments: RunArguments) -> RunArguments:
        """Edit-friendly: a DDPM step with the stored noise instead of the sampler's own step."""
        mine = self._is_ours(tag for entries in arguments.conds.values() for cond in entries
                             if (tag := cond.get(TAG_KEY)))
        if self.inversion.noises is None or not mine or sampler_name(arguments.sampler) not in DDPM_LIKE:
            return arguments
        options = {"noise_sampler": StoredNoise(self.inversion)}
        sampler = comfy.samplers.ksampler("euler_ancestral", options, arguments.sampler.inpaint_options)
        return replace(arguments, sampler=sampler)

    def around_sampler(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor:
        if not self._is_ours(run.tags.values()):
            return sample(call)
        check(self.label, self.inversion, self.mark, call)
        if not is_partway(self.inversion, call):
            return sample(self._from_start(run, call))
        if not bool(torch.count_nonzero(call.noise)):
            return sample(call)  # it continues from the noisy latent it is given
        if brings_its_own(self.inversion, call):
            check_goes_on(self.label, self.inversion)
            assert call.latent_image is not None
            self._state(run).given = call.latent_image[::self.prompts]
            return sample(call)
        return sample(self._from_start(run, call))

    def _from_start(self, run: Run, call: SamplerCall) -> SamplerCall:
        """The call with noise from which the host's own scaling makes x*."""
        sigma = float(call.sigmas[0])
        start = state_at(self._kept(run, "states", call.noise), self.inversion.sigmas, sigma)
        latent = torch.zeros_like(call.noise) if call.latent_image is None else call.latent_image
        largest = call.sampler.max_denoise(call.guider, call.sigmas)
        return replace(call, noise=noise_for(run.model.model_sampling, start, latent, sigma, largest))

    def edit_denoised(self, run: Run, x: torch.Tensor, denoised: torch.Tensor, step: Step) -> torch.Tensor:
        """The source rows' prediction: the one that leads to the stored states, or to the picture they are given."""
        del x
        if self.inversion.method not in (*HELD, "edit-friendly") or not self._is_ours(run.tags.values()):
            return denoised
        edited, given = denoised.clone(), self._state(run).given
        edited[::self.prompts] = self._held(run, denoised, step.sigma) if given is None else given
        return edited

    def _held(self, run: Run, like: torch.Tensor, sigma: float) -> torch.Tensor:
        if self.inversion.method == "edit-friendly":
            return self._kept(run, "predictions", like)[self.inversion.step_of(sigma)]
        states = self._kept(run, "states", like)
        return held_prediction(states, self.inversion.sigmas, sigma, next_sigma(run.sigmas, sigma))

    def around_conds(self, run: Run, call: CondCall, step: Step, evaluate: Evaluate) -> list[torch.Tensor]:
        """Null-text: the unconditional embedding of this step, wherever our negative stands."""
        if self.inversion.embeddings is None or not self._is_ours(run.tags.values()):
            return evaluate(call)
        embedding = self._kept(run, "embeddings", call.x)[self.inversion.step_of(step.sigma)][None]
        lists = [None if entries is None else [with_embedding(cond, embedding) if cond.get(MARK) == self.mark else cond
                                               for cond in entries] for entries in call.conds]
        return evaluate(replace(call, conds=lists))

    def _is_ours(self, tags: Iterable[Any]) -> bool:
        return not self.key or any(self.key in tag.keys for tag in tags)

    def _kept(self, run: Run, name: str, like: torch.Tensor) -> torch.Tensor:
        """A tensor of the inversion where the run computes, moved once."""
        kept, key = self._state(run).tensors, (name, like.device)
        if key not in kept:
            kept[key] = getattr(self.inversion, name).to(like.device)
        return kept[key]

    def _state(self, run: Run) -> ReplayRun:
        return run.scratch.of(self.key, ReplayRun)


def with_embedding(cond: dict[str, Any], embedding: torch.Tensor) -> dict[str, Any]:
    """A processed conditioning reading [1, T, C] instead of its text."""
    inner = cond["model_conds"]
    held = type(inner["c_crossattn"])(embedding)
    return {**cond, "cross_attn": embedding, "model_conds": {**inner, "c_crossattn": held}}
