"""The method that keeps where each phrase was read. Changes nothing: a run with it is bitwise one without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from ...core.call import AttentionCall, RowSpan, Scratch
from ...core.heat import MAX_CELLS, fit_grid, pixel_maps, resized, token_marks
from ...core.network import LayerAddress
from ...core.schedule import Schedule
from ...core.text import Phrase, PhraseNotFound, PromptTag, TokenLayout

if TYPE_CHECKING:
    from ..run.run import Run

# In the node's own count, the mean of a run whose steps are not kept one by one.
MEAN = -1


@dataclass(eq=False)
class Sums:
    """Maps of some evaluations of the model, added up. maps: [I, C, h, w]; counts: layers, [I, C]."""

    maps: torch.Tensor
    counts: torch.Tensor


@dataclass(eq=False)
class Recording:
    """What one run's recorder keeps in the scratch.

    phrases: those counted; the first ``shown`` were asked for. sigmas: of the run. expected: steps whose
    maps should come. by_step: each step kept on its own. sums: step, or MEAN, to its maps.
    """

    phrases: tuple[Phrase, ...]
    shown: int
    images: int
    sigmas: tuple[float, ...]
    expected: frozenset[int] = frozenset()
    by_step: bool = True
    sums: dict[int, Sums] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    last_sigma: float = float("inf")

    def step_number(self, sigma: float) -> int:
        """Which step of the run, from 1, an evaluation at this noise belongs to."""
        return max(1, sum(s >= sigma * (1 - 1e-4) for s in self.sigmas[:-1]))


@dataclass(frozen=True, eq=False)
class Recorder:
    """Records the attention of one prompt in the cross-attention layers.

    prompts: the words of each conditioning of the linked positive. chosen: phrases to keep; none: those that
    the other methods of the chain name.
    """

    key: str
    prompts: tuple[tuple[TokenLayout, ...], ...]
    chosen: tuple[Phrase, ...]
    schedule: Schedule
    label: str = "AttnDirRecord"
    unseen: str = "the sampler's positive is not the prompt that is linked here"

    @property
    def recording(self) -> bool:
        return True

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return any(self.reads(span) for span in rows)

    def reads(self, span: RowSpan) -> bool:
        return span.tag is not None and span.tag.rows in self.prompts

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        """Nothing to refuse: a prompt it does not know is left alone."""

    def observes(self, layer: LayerAddress, grid: tuple[int, int]) -> bool:
        """Words at grids of at most 32 x 32; for pictures so large that none is, the model's coarsest."""
        return layer.kind == "cross" and (grid[0] * grid[1] <= MAX_CELLS or layer.stage == "middle")

    def marks(self, call: AttentionCall) -> torch.Tensor:
        """Marks of the phrases' tokens, and one layer counted for the images whose prompt has them."""
        recording = recording_of(call.scratch, self.key)
        keys = call.k.shape[2]
        place = (self.key, keys, tuple((s.start, s.stop, s.first, id(s.tag)) for s in call.rows))
        marks, has = call.scratch.once(("marks", *place), lambda: self._make_marks(call, recording, keys))
        self._sums(call, recording).counts.add_(has)
        return marks

    def observe(self, call: AttentionCall, marks: torch.Tensor) -> None:
        recording = recording_of(call.scratch, self.key)
        sums = self._sums(call, recording)
        size = (sums.maps.shape[-2], sums.maps.shape[-1])
        for span in filter(self.reads, call.rows):
            maps = pixel_maps(call, marks, slice(span.start, span.stop))
            sums.maps[span.first:span.first + span.count].add_(resized(maps, size))

    def sum_up(self, run: Run) -> str:
        """What the line after a run says of it."""
        recording = recording_of(run.scratch, self.key)
        skipped = len(recording.expected - recording.seen)
        words = f"{len(recording.phrases)} phrase{'s' * (len(recording.phrases) != 1)} recorded"
        return f"{words}; {skipped} steps were skipped by a cache" if skipped else words

    def _sums(self, call: AttentionCall, recording: Recording) -> Sums:
        """Where this evaluation's maps are added. A run that starts over (a second pass) is recorded anew."""
        sigma = call.step.sigma
        if sigma > recording.last_sigma and sigma >= recording.sigmas[0] * (1 - 1e-4):
            recording.sums.clear()
            recording.seen.clear()
        recording.last_sigma = sigma
        number = recording.step_number(sigma)
        recording.seen.add(number)
        place = number if recording.by_step else MEAN
        if place not in recording.sums:
            shape = (recording.images, len(recording.phrases))
            maps = torch.zeros(*shape, *fit_grid(call.latent_grid), device=call.q.device, dtype=wide_of(call))
            recording.sums[place] = Sums(maps, torch.zeros(shape))
        return recording.sums[place]

    def _make_marks(self, call: AttentionCall, recording: Recording, keys: int) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, 1, Nk, C] on the call's device, and [I, C]: 1 where an image's prompt has the phrase."""
        marks = torch.zeros(call.q.shape[0], 1, keys, len(recording.phrases))
        has = torch.zeros(recording.images, len(recording.phrases))
        for span in filter(self.reads, call.rows):
            assert span.tag is not None
            found = [positions_in(span.tag, phrase) for phrase in recording.phrases]
            length = span.tag.starts(0).stop + span.tag.appended
            for row, image in enumerate(span.images, span.start):
                own = [positions[image % len(span.tag.rows)] for positions in found]
                marks[row, 0] = token_marks(own, length, keys)
                has[image] += torch.tensor([float(bool(p)) for p in own])
        return marks.to(call.q.device, wide_of(call)), has


def wide_of(call: AttentionCall) -> torch.dtype:
    """float32, or float64 where the call is."""
    return torch.promote_types(call.q.dtype, torch.float32)


def recording_of(scratch: Scratch, key: str) -> Recording:
    return scratch.values["recording", key]


def positions_in(tag: PromptTag, phrase: Phrase) -> tuple[tuple[int, ...], ...]:
    """The phrase's tokens in each prompt of a tag, in every repetition of it; () where it is missing."""
    try:
        found = tag.find(phrase)
    except PhraseNotFound:
        found = (None,) * len(tag.rows)
    return tuple(tuple(start + p for start in tag.starts(row) for p in own or ())
                 for row, own in enumerate(found))


def spelled(phrase: Phrase) -> tuple[tuple[str, ...], int]:
    """What makes two phrases the same: their words and which occurrence."""
    return tuple(word.text for word in phrase.layout.words()), phrase.occurrence


def is_in(phrase: Phrase, prompts: Sequence[tuple[TokenLayout, ...]]) -> bool:
    """True where some prompt holds the phrase."""
    return any(len(layout.occurrences(phrase.layout)) >= phrase.occurrence for rows in prompts for layout in rows)


def without_doubles(phrases: Sequence[Phrase]) -> tuple[Phrase, ...]:
    """The phrases that hold words, each once, in order."""
    kept: dict[tuple[tuple[str, ...], int], Phrase] = {}
    for phrase in phrases:
        if not phrase.empty:
            kept.setdefault(spelled(phrase), phrase)
    return tuple(kept.values())


def every_word(prompts: Sequence[tuple[TokenLayout, ...]], most: int) -> tuple[Phrase, ...]:
    """The telling words of the prompts as phrases, in order, at most ``most``."""
    found: list[Phrase] = []
    for layout in (row for rows in prompts for row in rows):
        times: dict[str, int] = {}
        for word in layout.words():
            if not any(c.isalpha() for c in word.text) or word.text in _SMALL_WORDS:
                continue
            times[word.text] = times.get(word.text, 0) + 1
            number = times[word.text]
            text = word.text if number == 1 else f"{word.text}#{number}"
            own = replace(layout, text=word.text, pieces=tuple(layout.pieces[p] for p in word.positions))
            found.append(Phrase(text, own, number))
    return without_doubles(found)[:most]


_SMALL_WORDS = frozenset(("a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "is", "it", "its", "next",
                          "of", "on", "or", "the", "to", "with"))
