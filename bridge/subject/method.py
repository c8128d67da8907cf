"""Method: ConsiStory (arXiv 2402.03286), the node's part: one prompt per scene, checks, the run around the passes.

Written from the paper; no code copied. A pass itself is in sampling_pass.py and its parts in parts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from ...core.call import RowSpan
from ...core.method import spans_of
from ...core.schedule import Schedule
from ...core.text import Phrase, PromptTag
from ..errors import DirectorError
from ..run.hooks import Sample, SamplerCall
from ..run.run import Run
from ..run.two_pass import sample_twice
from .bank import SubjectBank
from .bank_fill import draft_of, make_bank
from .bank_use import TOLERANCE, BankUse, require_fit
from .links import find_links
from .options import SubjectOptions
from .output_links import end_outputs, find_correspondence
from .parts import parts_of
from .sampling_pass import ConsiStoryPass

WHY_EVERY_STEP = "it finds the subject anew in every step"


@dataclass(frozen=True, eq=False)
class SharedSubject:
    """The node's method. In a run with its prompt the parts of a pass take its place in the chain."""

    key: str
    phrases: tuple[Phrase, ...]
    scenes: int
    options: SubjectOptions
    bank: SubjectBank | None = None
    label: str = "SharedSubjectAttention"

    acts_in_joint_layers: ClassVar[bool] = True
    why_every_step: ClassVar[str] = WHY_EVERY_STEP
    way_out: ClassVar[str] = ""

    @property
    def schedule(self) -> Schedule:
        return Schedule()

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        """Raises ValueError for a batch that is not one image per scene."""
        if images != self.scenes:
            raise ValueError(f"{self.label}: {images} latents for {self.scenes} scenes; connect this node's latent "
                             "output to the sampler")

    def around_sampler(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor:
        """One pass, or two where the first finds something that a step of this run would use."""
        tag = next((tag for tag in run.tags.values() if self.key in tag.keys), None)
        if tag is None:
            return sample(call)
        if self.options.same_noise:
            call = replace(call, noise=call.noise[:1].repeat(len(call.noise), *[1] * (call.noise.ndim - 1)))
        sampling = first = self._first_pass(run, call)
        begin_pass(run, first)
        if not first.gathers:
            samples = sample(call)
        else:
            sampling = replace(first, number=2, gathers=False, keeps=self._keeps)
            samples = sample_twice(call, sample, lambda: begin_second(run, first, sampling))
        self._finish(run, call, sampling, samples, tag)
        return samples

    @property
    def _keeps(self) -> bool:
        return self.options.keep_bank and not self.bank

    def _first_pass(self, run: Run, call: SamplerCall) -> ConsiStoryPass:
        steps, options, layers = [run.step_at(s, run.model) for s in run.sigmas[:-1]], self.options, run.network.subject
        used = any(options.injected(step) > 0.0 or (layers.joint and options.shares_at(step)) for step in steps)
        twice = options.two_pass and used
        return ConsiStoryPass(self.key, self.label, self.scenes, options, layers, self.phrases,
                              int(call.extra_args.get("seed") or 0), gathers=twice,
                              bank=self._bank_use(run, [step.progress for step in steps]),
                              keeps=self._keeps and not twice)

    def _bank_use(self, run: Run, progress: Sequence[float]) -> BankUse | None:
        """The bank's part in a run. progress: of its steps, most of which must be near the bank's."""
        if self.bank is None:
            return None
        far = sum(self.bank.nearest(p, TOLERANCE) is None for p in progress)
        if 2 * far > len(progress):
            raise DirectorError(self.label, f"{far} of {len(progress)} steps are far from the bank's "
                                            f"{len(self.bank.progress)} noise levels; use the bank's steps and "
                                            "scheduler.")
        require_fit(self.label, self.bank, run.network)
        return BankUse(self.bank, run.network.projections)

    def _finish(self, run: Run, call: SamplerCall, last: ConsiStoryPass, samples: torch.Tensor,
                tag: PromptTag) -> None:
        """Count the last step's maps, and make the bank, from samples in the model's own scale."""
        last.state(run.scratch).maps.end_level()
        if last.keeps:
            draft_of(last, run.scratch).bank = make_bank(call.guider.model_patcher, last, run.scratch, samples,
                                                         tuple(row.text for row in tag.rows))


def begin_pass(run: Run, sampling: ConsiStoryPass) -> None:
    """Put a pass in the chain, in the place of what has its key, and innermost: nothing changes its calls."""
    run.chain = run.chain.without(sampling.key).append(*parts_of(sampling))


def begin_second(run: Run, first: ConsiStoryPass, second: ConsiStoryPass) -> None:
    """Begin a pass equal to the first, with the correspondence that the first found."""
    begin_pass(run, _linked(run, first, second))


def _linked(run: Run, first: ConsiStoryPass, second: ConsiStoryPass) -> ConsiStoryPass:
    """The second pass with the correspondence, and with its features in the bank that it fills."""
    state = first.state(run.scratch)
    end_outputs(state)
    features, maps = state.features, state.maps.mean
    if maps is None or features is None:
        return second
    if first.layers.joint:
        found = find_correspondence(first, features, maps)
        second = replace(second, links=found.links, matches=found.matches, maps=maps) if found else second
    else:
        second = replace(second, links=find_links(first, features, maps))
    if second.keeps and second.links is not None:
        draft_of(second, run.scratch).add_features(first, features, maps)
    return second
