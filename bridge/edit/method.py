"""AttentionEdit on a model's chain: its attention, its shared noise and its local blend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...core.call import Attend, AttentionCall, RowSpan, Scratch, Step
from ...core.edit_attention import EditAttention
from ...core.local_blend import blended
from ...core.network import LayerAddress
from ...core.schedule import Schedule
from ..errors import DirectorError
from ..run.hooks import RunArguments, Sample, SamplerCall
from ..run.run import Run
from ..run.shared_noise import share_noise


@dataclass(frozen=True, eq=False)
class PromptToPrompt:
    """What AttentionEdit puts on a model. attention: the part that needs no host. kinds: for the line after a run."""

    attention: EditAttention
    kinds: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.attention.key

    @property
    def label(self) -> str:
        return self.attention.label

    @property
    def schedule(self) -> Schedule:
        return self.attention.schedule

    @property
    def summary(self) -> str:
        """What the line after a run says of it."""
        words = [f"{self.kinds.count(kind)} {kind}" for kind in dict.fromkeys(self.kinds)]
        return ", ".join(words) + (", local blend" if self.attention.blend else "")

    @property
    def needs_every_step(self) -> bool:
        """A local blend sums its maps over all steps, on one device."""
        return self.attention.blend is not None

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return self.attention.acts_on(rows)

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        self.attention.check_run(rows, images)

    def selects(self, layer: LayerAddress) -> bool:
        return self.attention.selects(layer)

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        return self.attention(call, attend)

    def replace_arguments(self, arguments: RunArguments) -> RunArguments:
        return share_noise(self.label, self.attention.prompts, arguments)

    def edit_prediction(self, run: Run, x: torch.Tensor, denoised: torch.Tensor, step: Step) -> torch.Tensor:
        """The source's prediction outside the blend words' area."""
        blend = self.attention.blend
        if blend is None or self.key not in run.seen_keys:
            return denoised
        size = (denoised.shape[-2], denoised.shape[-1])
        mask = blend.mask(self.key, run.scratch, size, self.attention.prompts)
        if mask is None:
            raise DirectorError(self.label, "another node regroups the pixels of the layers that show where the blend "
                                            "words are; bypass it or empty blend_words.")
        run.scratch.values[self.key, "mask"] = mask
        return self._blended(run.scratch, denoised) if step.progress >= blend.start else denoised

    def around_sampling(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor:
        """Where predictions were blended, so is the result: the area moves from step to step, and not every
        sampler ends at its last prediction (dpm_adaptive stops at the smallest sigma, uni_pc just above 0)."""
        samples = sample(call)
        blended_before = run.scratch.values.get((self.key, "blended"), False)
        return self._blended(run.scratch, samples) if blended_before else samples

    def _blended(self, scratch: Scratch, rows: torch.Tensor) -> torch.Tensor:
        scratch.values[self.key, "blended"] = True
        return blended(rows, scratch.values[self.key, "mask"].to(rows.device), self.attention.prompts)

    def records(self, scratch: Scratch) -> Mapping[str, Any]:
        """edit_mask: float [B, h, w] on the latent's grid, the area of the last step."""
        mask = scratch.values.get((self.key, "mask"))
        return {} if mask is None else {"edit_mask": mask.float()}
