"""AttentionEdit around the model: shared noise and the local blend; its attention is core's EditAttention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ...core.call import RowSpan, Scratch, Step
from ...core.local_blend import LocalBlend, blended
from ...core.method import spans_of
from ...core.schedule import Schedule
from ..errors import DirectorError
from ..run.hooks import RunArguments, Sample, SamplerCall
from ..run.run import Run
from ..run.shared_noise import share_noise


@dataclass(eq=False)
class BlendState:
    """What the local blend of a run remembers. mask: bool [B, h, w], of the last step."""

    mask: torch.Tensor | None = None
    blended: bool = False


@dataclass(frozen=True, eq=False)
class EditRun:
    """What AttentionEdit does around the model: one noise for source and targets, and the local blend.

    Stands beside the EditAttention of the same key. kinds: of each edit, for the line after a run.
    """

    key: str
    label: str
    schedule: Schedule
    prompts: int
    blend: LocalBlend | None = None
    kinds: tuple[str, ...] = ()
    way_out: str = "empty blend_words"
    acts_in_joint_layers: ClassVar[bool] = True

    def sum_up(self, scratch: Scratch) -> str:
        words = [f"{self.kinds.count(kind)} {kind}" for kind in dict.fromkeys(self.kinds)]
        return "; ".join([*words, *(["local blend"] if self.blend else [])])

    @property
    def why_every_step(self) -> str:
        return "" if self.blend is None else "blend_words adds up maps over the whole run"

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def before_run(self, arguments: RunArguments) -> RunArguments:
        return share_noise(self.label, self.prompts, arguments)

    def edit_denoised(self, run: Run, x: torch.Tensor, denoised: torch.Tensor, step: Step) -> torch.Tensor:
        """The source's prediction outside the blend words' area."""
        if self.blend is None or self.key not in run.seen_keys:
            return denoised
        size = (denoised.shape[-2], denoised.shape[-1])
        mask = self.blend.mask(self.key, run.scratch, size, self.prompts)
        if mask is None:
            raise DirectorError(self.label, "another node rearranges the pixels in the layers that locate the blend "
                                            "words; bypass it or empty blend_words.")
        run.scratch.of(self.key, BlendState).mask = mask
        return self._blended(run.scratch, denoised) if step.progress >= self.blend.start else denoised

    def around_sampler(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor:
        """Where predictions were blended, so is the result: the area moves from step to step, and not every
        sampler ends at its last prediction (dpm_adaptive stops at the smallest sigma, uni_pc just above 0)."""
        samples = sample(call)
        return self._blended(run.scratch, samples) if run.scratch.of(self.key, BlendState).blended else samples

    def _blended(self, scratch: Scratch, rows: torch.Tensor) -> torch.Tensor:
        state = scratch.of(self.key, BlendState)
        assert state.mask is not None
        state.blended = True
        return blended(rows, state.mask.to(rows.device), self.prompts)

    def records(self, scratch: Scratch) -> Mapping[str, Any]:
        """edit_mask: float [B, h, w] on the latent's grid, the area of the last step."""
        mask = scratch.of(self.key, BlendState).mask
        return {} if mask is None else {"edit_mask": mask.float()}
