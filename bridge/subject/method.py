"""Method: ConsiStory (arXiv 2402.03286), the node's part: one prompt a scene, checks, the run around the passes.

Written from the paper; no code copied. The pass itself is in subject_pass.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ...core.call import RowSpan
from ...core.method import Chain, spans_of
from ...core.schedule import Schedule
from ...core.subject_masks import subject_columns
from ...core.text import Phrase, PromptTag
from ..errors import DirectorError
from ..run.hooks import Sample, SamplerCall
from ..run.run import Run
from ..run.two_pass import sample_twice
from .bank import SubjectBank
from .bank_fill import fill_features, make_bank, remember_bank
from .bank_use import TOLERANCE, BankKeeper, BankUse
from .pass_state import PassState, SubjectOptions, prompt_tokens
from .sampling_pass import SubjectPass


@dataclass(frozen=True, eq=False)
class SharedSubject:
    """The node's method. In a run with its prompt a SubjectPass takes its place in the chain."""

    key: str
    phrases: tuple[Phrase, ...]
    scenes: int
    options: SubjectOptions
    bank: SubjectBank | None = None
    label: str = "SharedSubjectAttention"

    @property
    def schedule(self) -> Schedule:
        return Schedule()

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        """Raises ValueError for a batch that is not one image a scene."""
        if images != self.scenes:
            raise ValueError(f"{self.label}: {images} latents for {self.scenes} scenes; connect this node's latent "
                             "output to the sampler")

    def around_sampler(self, run: Run, call: SamplerCall, sample: Sample) -> torch.Tensor:
        """One pass, or two where features are injected and a step of this run would inject them."""
        tag = next((tag for tag in run.tags.values() if self.key in tag.keys), None)
        if tag is None:
            return sample(call)
        self._refuse(call)
        if self.options.same_noise:
            call = replace(call, noise=call.noise[:1].repeat(len(call.noise), *[1] * (call.noise.ndim - 1)))
        first = self._first_pass(run, call, tag)
        run.chain = _innermost(run.chain, self, first)
        if not first.gathers:
            samples = sample(call)
            last = first
        else:
            passes = [first]

            def between() -> None:
                passes.append(self._second_pass(run, passes[0]))
                run.chain = run.chain.with_instead(passes[0], passes[1])

            samples = sample_twice(call, sample, between)
            last = passes[-1]
        self._leave(call, last, samples, tag)
        return samples

    def _first_pass(self, run: Run, call: SamplerCall, tag: PromptTag) -> SubjectPass:
        progress = [run.step_at(sigma, run.model).progress for sigma in run.sigmas[:-1]]
        twice = (self.options.two_pass and self.options.injecting
                 and any(self.options.inject.active(p) for p in progress))
        use = self._bank_use(run, progress)
        columns, members = subject_columns(prompt_tokens(tag, self.phrases, self.scenes), call.noise.device)
        keep = None if twice else self._keeper()
        return SubjectPass(self.key, self.label, self.scenes, self.options, run.network.subject, columns, members,
                           int(call.extra_args.get("seed") or 0), self._state(run, 1), gathers=twice, use=use,
                           keep=keep, recording=run.scratch.recording)

    def _second_pass(self, run: Run, first: SubjectPass) -> SubjectPass:
        """Equal to the first, with the correspondence that it found."""
        first.state.maps.fold()
        maps = first.state.maps.mean
        links = first.find_links(maps) if maps is not None else None
        keep = self._keeper()
        if keep and maps is not None and links is not None:
            fill_features(keep, first, maps)
        return replace(first, state=self._state(run, 2), gathers=False, links=links, keep=keep,
                       use=self._bank_use(run, []))

    def _keeper(self) -> BankKeeper | None:
        return BankKeeper(min(self.options.anchors, self.scenes)) if self.options.keep_bank and not self.bank else None

    def _state(self, run: Run, number: int) -> PassState:
        return run.scratch.once((self.key, "pass", number), PassState)

    def _bank_use(self, run: Run, progress: Sequence[float]) -> BankUse | None:
        """The bank's part in a pass. progress: of the run's steps, for the check that they match."""
        if self.bank is None:
            return None
        far = sum(self.bank.nearest(p, TOLERANCE) is None for p in progress)
        if 2 * far > len(progress):
            raise DirectorError(self.label, f"{far} of {len(progress)} steps lie far from the bank's "
                                            f"{len(self.bank.progress)} noise levels; use its steps and scheduler.")
        return BankUse(self.bank, run.network.projections)

    def _refuse(self, call: SamplerCall) -> None:
        options = call.extra_args["model_options"]
        if "easycache" in options.get("transformer_options", {}):
            raise DirectorError(self.label, "EasyCache and LazyCache skip steps that the subject's maps are read from; "
                                            "bypass the cache.")
        if options.get("multigpu_clones"):
            raise DirectorError(self.label, "pictures that share a subject must be drawn on one GPU; bypass the node "
                                            "that spreads the model over several.")

    def _leave(self, call: SamplerCall, last: SubjectPass, samples: torch.Tensor, tag: PromptTag) -> None:
        """Count the last step's maps, and keep the bank for the node that saves it."""
        last.state.maps.fold()
        if last.keep:
            patcher = call.guider.model_patcher
            bank = make_bank(patcher, last.keep, samples, tuple(row.text for row in tag.rows),
                             tuple(p.text for p in self.phrases), last.seed)
            remember_bank(patcher, bank, samples)


def _innermost(chain: Chain, method: SharedSubject, live: SubjectPass) -> Chain:
    """The chain without the node's method and with the pass at its end, where nothing changes its calls."""
    return Chain((*(m for m in chain.methods if m is not method), live))
