"""An inverted picture, and a run that starts from it and keeps to it.

Method: the rules of arXiv 2310.01506 (direct), 2305.16807 (negative prompt), 2211.09794 (DDIM, null text) and
2304.06140 (edit-friendly) while sampling. Written from the papers; no code copied.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import comfy.samplers
import torch

from ...core.call import RowSpan, Scratch, Step
from ...core.inversion import held_prediction, state_at
from ...core.method import spans_of
from ...core.schedule import Schedule
from ..errors import DirectorError
from ..families.checkpoint import family, fingerprint
from ..run.hooks import CondCall, Evaluate, RunArguments, Sample, SamplerCall
from ..run.install import install
from ..run.run import Run
from ..run.samplers import DDPM_LIKE, SOLVERS, sampler_name
from ..text.prompt import TAG_KEY, Conditioning

MARK = "attention_director_inversion"
METHODS = ("direct", "negative-prompt", "ddim", "null-text", "edit-friendly")
# How far, relatively, a noise level may be from a stored one and still be that one.
SAME = 1e-4


@dataclass(frozen=True, eq=False)
class Inversion:
    """A picture as the start of a run. All tensors on the CPU, latents in the model's own scale.

    method: one of METHODS. model, family: of the checkpoint (fingerprint.py). sigmas: n + 1 falling noise
    levels, the last 0. states: [n + 1, C, h, w], the last one the picture's latent. positive, unconditional:
    the caption's and the empty text's encoding. text: the caption, "" where it came encoded. cfg: guidance
    that null-text and edit-friendly were made with. embeddings: [n, T, C] unconditional ones (null-text).
    predictions, noises: [n, C, h, w] (edit-friendly).
    """

    method: str
    model: str
    family: str
    sigmas: tuple[float, ...]
    states: torch.Tensor
    positive: Conditioning
    unconditional: Conditioning
    text: str
    steps: int
    scheduler: str
    cfg: float
    embeddings: torch.Tensor | None = None
    predictions: torch.Tensor | None = None
    noises: torch.Tensor | None = None

    @property
    def latent(self) -> torch.Tensor:
        """x0 [1, C, h, w]."""
        return self.states[-1:]

    @property
    def replaces_negative(self) -> bool:
        """True where the method chooses the unconditional side."""
        return self.method in ("negative-prompt", "null-text")

    @property
    def own_levels(self) -> bool:
        """True where the method knows the steps it was made with and no others."""
        return self.method in ("null-text", "edit-friendly")

    def digest(self) -> str:
        """Names this inversion by what it holds."""
        tensors = (self.states, self.positive[0][0], self.embeddings)
        held = b"".join(t.detach().to("cpu", torch.float32).numpy().tobytes() for t in tensors if t is not None)
        return hashlib.sha256(self.method.encode() + held).hexdigest()[:12]

    def step_of(self, sigma: float) -> int:
        """The number of the step that starts at this noise level, or nearest to it."""
        return min(range(len(self.sigmas) - 1), key=lambda k: abs(self.sigmas[k] - sigma))

    def followed_by(self, node: str, key: str, model: Any, prompts: int,
                    negative: Conditioning | None) -> tuple[Any, Conditioning | None]:
        """``follow`` with this inversion, for who has the value and does not know this room."""
        return follow(node, key, model, self, prompts, negative)


def follow(node: str, key: str, model: Any, inversion: Inversion, prompts: int,
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
    followed = install(model, Following(key, node, inversion, mark, prompts))
    return followed, _own_negative(inversion, mark) if inversion.replaces_negative else negative


def _own_negative(inversion: Inversion, mark: str) -> Conditioning:
    """The method's unconditional side, recognisable in a run by its mark and never taken for the positive."""
    own = inversion.positive if inversion.method == "negative-prompt" else inversion.unconditional
    return [[cond, {**{k: v for k, v in values.items() if k != TAG_KEY}, MARK: mark}] for cond, values in own]


@dataclass(frozen=True, eq=False)
class Following:
    """On a model's chain: start at x*, and hold the source rows to it as the inversion's method does."""

    key: str
    label: str
    inversion: Inversion
    mark: str
    prompts: int = 1
    schedule: Schedule = field(default_factory=Schedule)

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
        options = {"noise_sampler": _StoredNoise(self.inversion)}
        sampler = comfy.samplers.ksampler("euler_ancestral", options, arguments.sampler.inpaint_options)
        return replace(arguments, sampler=sampler)

    def around_sampler(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor:
        if not self._is_ours(run.tags.values()):
            return sample(call)
        check(self.label, self.inversion, self.mark, call)
        return sample(call if _goes_on(self.inversion, call) else self._from_start(run, call))

    def _from_start(self, run: Run, call: SamplerCall) -> SamplerCall:
        """The call with noise from which the host's own scaling makes x*: (x* - latent) / k."""
        sigma = float(call.sigmas[0])
        start = state_at(self._kept(run, "states", call.noise), self.inversion.sigmas, sigma)
        latent = torch.zeros_like(call.noise) if call.latent_image is None else call.latent_image
        largest = call.sampler.max_denoise(call.guider, call.sigmas)
        return replace(call, noise=(start - latent) / (math.sqrt(1.0 + sigma * sigma) if largest else sigma))

    def edit_denoised(self, run: Run, x: torch.Tensor, denoised: torch.Tensor, step: Step) -> torch.Tensor:
        """The source rows' prediction: the one that leads to the stored states."""
        del x
        if self.inversion.method not in ("direct", "edit-friendly") or not self._is_ours(run.tags.values()):
            return denoised
        edited = denoised.clone()
        edited[::self.prompts] = self._held(run, denoised, step.sigma)
        return edited

    def _held(self, run: Run, like: torch.Tensor, sigma: float) -> torch.Tensor:
        if self.inversion.method == "edit-friendly":
            return self._kept(run, "predictions", like)[self.inversion.step_of(sigma)]
        below = max((level for level in run.sigmas if level < sigma * (1 - SAME)), default=0.0)
        return held_prediction(self._kept(run, "states", like), self.inversion.sigmas, sigma, below)

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
        moved: Callable[[], torch.Tensor] = lambda: getattr(self.inversion, name).to(like.device)  # noqa: E731
        return run.scratch.once(("inversion", id(self), name, like.device), moved)


@dataclass(frozen=True, eq=False)
class _StoredNoise:
    """A noise sampler of the host's kind: (sigma, next) -> [1, C, h, w], the same for every row."""

    inversion: Inversion

    def __call__(self, sigma: Any, _next: Any) -> torch.Tensor:
        assert self.inversion.noises is not None
        k = self.inversion.step_of(float(sigma))
        return self.inversion.noises[k:k + 1].to(sigma.device)


def with_embedding(cond: dict[str, Any], embedding: torch.Tensor) -> dict[str, Any]:
    """A processed conditioning reading [1, T, C] instead of its text."""
    inner = cond["model_conds"]
    held = type(inner["c_crossattn"])(embedding)
    return {**cond, "cross_attn": embedding, "model_conds": {**inner, "c_crossattn": held}}


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
    """What was measured to hold: direct with every sampler of the host, the others as samplers.py lists them."""
    name, options = sampler_name(call.sampler), getattr(call.sampler, "extra_options", None) or {}
    if not isinstance(call.sampler, comfy.samplers.KSAMPLER):
        raise DirectorError(node, "this sampler is not of ComfyUI's own kind, so its start cannot be set; use euler.")
    churns = bool(options.get("s_churn"))
    holds = {"direct": True, "null-text": name == "euler" and not churns, "edit-friendly":
             isinstance(options.get("noise_sampler"), _StoredNoise)}
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
    same = len(stored) == len(run) and all(math.isclose(a, b, rel_tol=SAME, abs_tol=1e-6)
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


def _goes_on(inversion: Inversion, call: SamplerCall) -> bool:
    """A run that adds no noise and begins part of the way down continues from what it is given."""
    partway = float(call.sigmas[0]) < inversion.sigmas[0] * (1 - SAME)
    return partway and not bool(torch.count_nonzero(call.noise))
