"""Method: ConsiStory (arXiv 2402.03286), personalisation from photographs, by edit-friendly inversion
(arXiv 2304.06140). Written from the papers; no code copied.

The inversion's states x_t = x0 + sigma_t e_t have independent noise for each level, so the anchors'
layers are read off the very states that a replay passes through. On flow models x_t = (1 - sigma_t) x0 + sigma_t e,
with one e for all levels: a straight line, as these models' own. The anchors do not attend to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import comfy.samplers
import comfy.utils
import torch

from ...core.call import RowSpan
from ...core.method import spans_of
from ...core.noise import EPS
from ...core.schedule import Schedule
from ...core.text import Phrase, PromptTag
from ..convert import psnr, require_pictures
from ..errors import DirectorError
from ..run.hooks import Sample, SamplerCall
from ..run.install import install
from ..run.noise_law import noise_law
from ..run.run import Run
from ..text.prompt import Conditioning, encode, encode_lines, take_prompt, with_key
from ..untrusted import require_number
from .bank import SubjectBank
from .bank_fill import draft_of, make_bank
from .build import subjects_of
from .method import WHY_EVERY_STEP, begin_pass
from .options import SubjectOptions
from .output_links import end_outputs
from .sampling_pass import ConsiStoryPass

GUIDANCE = 2.0
MOST_IMAGES = 2
MOST_STEPS = 1000
# No keys are shared; what is kept is what the paper's windows use.
OPTIONS = SubjectOptions(share=Schedule(0.0, 0.0), keep_bank=True)


def bank_from_images(node: str, model: Any, clip: Any, vae: Any, images: torch.Tensor, text: str | Conditioning,
                     subjects: str, steps: int) -> tuple[SubjectBank, float]:
    """A bank of the pictures [B, H, W, 3], and how well the model gives them back in dB. Raises DirectorError."""
    count = len(images)
    if not 1 <= count <= MOST_IMAGES:
        raise DirectorError(node, f"{count} pictures; give one or two of the same subject.")
    require_number(node, "steps", steps, 2, MOST_STEPS)
    require_pictures(node, "images", images)
    if vae is None:
        raise DirectorError(node, "the vae input is empty; if the checkpoint contains no VAE, use Load VAE.")
    conditioning, tag = _prompt_of(node, clip, text, count)
    phrases = tuple(subjects_of(node, clip, subjects, tag))
    made: list[SubjectBank] = []
    method = PhotoSubject(f"/{node}", phrases, count, node, made.append)
    patched = install(model, method)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", steps)
    latent = vae.encode(images[..., :3])
    sampler = _Inverter(comfy.utils.ProgressBar(2 * (len(sigmas) - 1)))
    guider = comfy.samplers.CFGGuider(patched)
    guider.set_conds(with_key(conditioning, tag, method.key), encode(clip, "", node))
    guider.set_cfg(GUIDANCE)
    reached = guider.sample(torch.zeros_like(latent), latent, sampler, sigmas, disable_pbar=True, seed=0)
    return made[0], psnr(vae.decode(reached), vae.decode(latent))


def _prompt_of(node: str, clip: Any, text: str | Conditioning, count: int) -> tuple[Conditioning, PromptTag]:
    """One prompt for all pictures, or one per picture."""
    conditioning = text
    if isinstance(text, str):
        lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
        lines = lines * count if len(lines) == 1 else lines
        conditioning = encode(clip, lines[0], node) if len(lines) == 1 else encode_lines(clip, lines, node)
    conditioning, tag = take_prompt(clip, conditioning, node)
    if len(tag.rows) not in (1, count):
        raise DirectorError(node, f"{len(tag.rows)} lines for {count} pictures; write one, or one per picture.")
    return conditioning, tag


@dataclass(frozen=True, eq=False)
class PhotoSubject:
    """Reads a bank off a run over given pictures: once for masks and features, once for what layers read.

    deliver: called with the bank.
    """

    key: str
    phrases: tuple[Phrase, ...]
    images: int
    label: str
    deliver: Callable[[SubjectBank], None]

    acts_in_joint_layers: ClassVar[bool] = True
    why_every_step: ClassVar[str] = WHY_EVERY_STEP
    way_out: ClassVar[str] = ""

    @property
    def schedule(self) -> Schedule:
        return Schedule()

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def around_sampler(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor:
        tag = next(tag for tag in run.tags.values() if self.key in tag.keys)
        first = ConsiStoryPass(self.key, self.label, self.images, replace(OPTIONS, anchors=self.images),
                               run.network.subject, self.phrases, gathers=True)
        begin_pass(run, first)
        sample(replace(call, extra_args=dict(call.extra_args)))
        state = first.state(run.scratch)
        end_outputs(state)
        maps = state.maps.mean
        if maps is None or state.features is None:
            raise DirectorError(self.label, "the pictures are too small for this model; give larger ones.")
        second = replace(first, number=2, gathers=False, keeps=True, maps=maps)
        draft_of(second, run.scratch).add_features(second, state.features, maps)
        begin_pass(run, second)
        samples = sample(replace(call, extra_args=dict(call.extra_args)))
        x0 = call.noise if call.latent_image is None else call.latent_image
        self.deliver(make_bank(call.guider.model_patcher, second, run.scratch, x0,
                               tuple(row.text for row in tag.rows), photographs=True))
        return samples


@dataclass(eq=False)
class _Inverter(comfy.samplers.Sampler):
    """In a sampler's place: visits the states of the edit-friendly inversion, and gives the replay's last one."""

    bar: Any

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None,
               disable_pbar=False) -> torch.Tensor:
        x0 = noise if latent_image is None else latent_image
        law = noise_law(model_wrap.inner_model.model_sampling)
        generator = torch.Generator().manual_seed(0)
        denoised, level = x0, x0
        for number, sigma in enumerate(sigmas[:-1].tolist()):
            if number == 0 or law is EPS:
                level = torch.randn(x0.shape, generator=generator).to(x0)
            x = law.signal(sigma) * x0 + law.noise(sigma) * level
            denoised = model_wrap(x, x0.new_full((len(x0),), sigma), **extra_args)
            self.bar.update(1)
        return denoised
