"""Method: ConsiStory (arXiv 2402.03286), one pass of the sampler. Written from the paper; no code copied.

While its run lasts a pass stands in the chain for the node's method, as several parts (parts.py) that share
the pass and what it remembers. They are innermost, so that what other methods do to queries, keys and biases
has happened when keys are shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...core.call import AttentionCall, RowSpan, Scratch, Step
from ...core.correspondence import Link
from ...core.method import ModelCall, spans_of
from ...core.network import SubjectLayers
from ...core.schedule import Schedule
from ...core.text import Phrase
from .bank import Kind
from .bank_use import BankUse
from .groups import whole_spans
from .levels import stride_of
from .options import SubjectOptions
from .pass_state import PassState
from .placing import Matches


@dataclass(frozen=True, eq=False)
class ConsiStoryPass:
    """One pass: what all its parts know.

    number: 1 or 2. gathers: it is to find the features for a correspondence; links: the one that the pass before
    found, and matches, where it says the anchors' keys belong. bank: its anchors are used, instead of the first
    images. keeps: it fills a bank. maps: [I, S, h, w] to cut the masks from, instead of those of the noise levels
    before.
    """

    key: str
    label: str
    images: int
    options: SubjectOptions
    layers: SubjectLayers
    phrases: tuple[Phrase, ...]
    seed: int = 0
    number: int = 1
    gathers: bool = False
    links: Link | None = None
    matches: Matches | None = None
    bank: BankUse | None = None
    keeps: bool = False
    maps: torch.Tensor | None = None

    @property
    def state_key(self) -> str:
        return f"{self.key} pass {self.number}"

    def state(self, scratch: Scratch) -> PassState:
        return scratch.of(self.state_key, PassState)

    @property
    def anchors(self) -> int:
        """How many of the first images the others look at."""
        return 0 if self.bank else min(self.options.anchors, self.images)

    @property
    def schedule(self) -> Schedule:
        """All of the run up to the last window: maps are read from the first step on."""
        injected = 1.0 if self.layers.joint else self.options.inject.end
        ends = [self.options.share.end if self.options.sharing else 0.0,
                injected if self.options.injecting else 0.0]
        return Schedule(0.0, 1.0 if self.gathers or self.keeps else max(ends))

    def stride(self, grid: tuple[int, int]) -> int:
        """Latent pixels a side of one cell of a grid."""
        return stride_of(self.layers.latent_grid, grid)

    def ours(self, rows: Sequence[RowSpan]) -> list[RowSpan]:
        """Whole conditionings of our prompt."""
        return whole_spans(spans_of(self.key, rows), self.images)

    def kinds(self, rows: Sequence[RowSpan]) -> list[tuple[RowSpan, Kind]]:
        """Every whole conditioning of a call, and whether it is our prompt's."""
        ours = self.ours(rows)
        return [(span, "cond" if span in ours else "uncond") for span in whole_spans(rows, self.images)]

    def fits(self, call: AttentionCall) -> bool:
        """False for an attention call of which another node has taken rows or pixels."""
        return call.q.shape[0] == call.rows[-1].stop and call.latent_grid == self.layers.latent_grid

    def injects(self, call: ModelCall, hidden: torch.Tensor) -> bool:
        """True where features are injected into [B, N, C] of a call."""
        return bool(self.ours(call.rows)) and self.injects_at(call.step, call.scratch) \
            and len(hidden) == call.rows[-1].stop

    def injects_at(self, step: Step, scratch: Scratch) -> bool:
        """In its window, and where the paper shares: not in the first step, which has no maps yet."""
        return self.injected(step, scratch) > 0.0

    def injected(self, step: Step, scratch: Scratch) -> float:
        """How much is injected at a step."""
        begun = self.maps is not None or self.state(scratch).maps.total is not None
        return self.options.injected(step, self.layers.joint) if begun and not self.looks else 0.0

    def shares_at(self, step: Step) -> bool:
        """True where keys are shared at a step."""
        return self.options.shares_at(step) and not self.looks

    @property
    def looks(self) -> bool:
        """True for a pass that only finds where the subjects are and what corresponds.

        Keys that carry positions are worth sharing once that is known, and not before.
        """
        return self.layers.joint and self.gathers


@dataclass(frozen=True, eq=False)
class Part:
    """What all parts of a pass have: whose they are, when they act, and on which rows."""

    sampling: ConsiStoryPass

    @property
    def key(self) -> str:
        return self.sampling.key

    @property
    def label(self) -> str:
        return self.sampling.label

    @property
    def schedule(self) -> Schedule:
        return self.sampling.schedule

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        """Every conditioning of the whole set: the negative's rows are the same pictures."""
        return bool(whole_spans(rows, self.sampling.images))
