"""The method that keeps where each phrase was read. Changes nothing: a run with it is bitwise one without."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch

from ...core.call import AttentionCall, RowSpan, Scratch
from ...core.heat import MAX_CELLS, fit_grid, keeps_steps, pixel_maps
from ...core.hooks import LeavesRecords, NamesPhrases
from ...core.method import Chain
from ...core.network import LayerAddress, Layers, Network
from ...core.schedule import SAME_LEVEL, Schedule, step_number
from ...core.text import Phrase, TextLayout, columns
from ..run.checks import skips_steps
from ..run.hooks import File, SamplerCall
from ..run.run import Run
from . import store
from .phrases import every_word, is_in, without_doubles
from .recording import MEAN, Recording, Sums, heat_of
from .store import RecordStore, RunRecord

MOST_PHRASES = 64
MOST_WORDS = 16


@dataclass(frozen=True, eq=False)
class Recorder:
    """Records the attention of one prompt in the layers where pixels read text.

    prompts: the words of each conditioning of the linked positive. chosen: phrases to keep; none: those that
    the other methods of the chain name. into: where the record goes; None: where readouts look for it.
    """

    key: str
    prompts: tuple[tuple[TextLayout, ...], ...]
    chosen: tuple[Phrase, ...]
    schedule: Schedule
    label: str = "AttnDirRecord"
    layers: Layers | None = None
    acts_in_joint_layers: ClassVar[bool] = True
    unseen: str = "the sampler's positive is not the prompt that is linked here"
    into: RecordStore | None = None

    @property
    def recording(self) -> bool:
        return True

    def begin_run(self, run: Run, call: SamplerCall) -> None:
        """Decide what is kept of the run that begins."""
        images, _, *grid = call.noise.shape
        phrases, shown = _phrases(run.chain, self)
        size = fit_grid((grid[-2], grid[-1]))
        by_step = keeps_steps(len(phrases), len(run.sigmas) - 1, math.prod(size))
        cached = skips_steps(call.extra_args["model_options"])
        recording = recording_of(run.scratch, self.key)
        recording.phrases, recording.shown, recording.images = phrases, shown, images
        recording.sigmas, recording.by_step, recording.size = run.sigmas, by_step, size
        recording.expected = _steps_of(run, self) if cached else frozenset()

    def end_run(self, run: Run) -> File | None:
        """The record of a run that came to its end, made by the first recorder for all of them."""
        recorders = recorders_of(run.chain)
        if recorders[0] is not self or not run.scratch.recording:
            return None
        heats = {r.key: heat_of(recording_of(run.scratch, r.key)) for r in recorders}
        record = RunRecord(frozenset(heats), {key: heat for key, heat in heats.items() if heat.seen}, _left(run))
        return lambda samples: (store.STORE if self.into is None else self.into).keep(samples, record)

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return any(self.reads(span) for span in rows)

    def reads(self, span: RowSpan) -> bool:
        return span.tag is not None and span.tag.rows in self.prompts

    def fitted(self, network: Network, latent_grid: tuple[int, int]) -> Recorder:
        """The recorder for one network: the layers that it says show where words are read."""
        return replace(self, layers=network.words(MAX_CELLS))

    def observes(self, layer: LayerAddress) -> bool:
        return layer.reads("image", "text") and (self.layers is None or layer in self.layers)

    def probe(self, call: AttentionCall) -> torch.Tensor:
        """Marks of the phrases' tokens, and one layer counted for the images whose prompt has them."""
        recording = recording_of(call.scratch, self.key)
        probe, has = call.scratch.once_of(("probe", call.q.device, call.q.dtype), (self, call.keys, call.rows),
                                          lambda: self._make_probe(call, recording))
        if call.scratch.recording:  # not where a block is only computed again
            layers = self._sums(call, recording).layers
            layers[has] = layers.get(has, 0) + 1
        return probe

    @torch.no_grad()  # no graph keeps what is only looked at
    def observe(self, call: AttentionCall, probe: torch.Tensor) -> None:
        if not call.scratch.recording:
            return
        recording = recording_of(call.scratch, self.key)
        sums = self._sums(call, recording)
        for span in filter(self.reads, call.read_by):
            sums.add(call.grid, span.images, recording.images,
                     partial(pixel_maps, call, probe, slice(span.start, span.stop)))

    def sum_up(self, scratch: Scratch) -> str:
        recording = recording_of(scratch, self.key)
        skipped = len(recording.expected - recording.seen)
        words = f"{len(recording.phrases)} phrase{'s' * (len(recording.phrases) != 1)} recorded"
        return f"{words}; {skipped} steps were skipped by a cache" if skipped else words

    def _sums(self, call: AttentionCall, recording: Recording) -> Sums:
        """Where this evaluation's maps are added. A run that starts over (a second pass) is recorded anew."""
        sigma = call.step.sigma
        if sigma > recording.last_sigma and sigma >= recording.sigmas[0] * (1 - SAME_LEVEL):
            recording.sums.clear()
            recording.seen.clear()
        recording.last_sigma = sigma
        number = step_number(recording.sigmas, sigma)
        recording.seen.add(number)
        return recording.sums.setdefault(number if recording.by_step else MEAN, Sums())

    def _make_probe(self, call: AttentionCall, recording: Recording) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, 1, Nk, C] on the call's device, and [I, C]: 1 where an image's prompt has the phrase."""
        text, = call.keys.of("text")
        probe = torch.zeros(call.q.shape[0], 1, call.k.shape[2], len(recording.phrases))
        has = torch.zeros(recording.images, len(recording.phrases))
        for span in filter(self.reads, call.rows):
            assert span.tag is not None
            for row, image in enumerate(span.images, span.start):
                for column, phrase in enumerate(recording.phrases):
                    found = columns(span.tag, image % len(span.tag.rows), phrase, text)
                    probe[row, 0, list(found), column] = 1.0
                    has[image, column] += float(bool(found))
        return probe.to(call.q.device, wide_of(call)), has


def wide_of(call: AttentionCall) -> torch.dtype:
    """float32, or float64 where the call is."""
    return torch.promote_types(call.q.dtype, torch.float32)


def recording_of(scratch: Scratch, key: str) -> Recording:
    return scratch.of(key, Recording)


def recorders_of(chain: Chain | None) -> list[Recorder]:
    return [m for m in chain.methods if isinstance(m, Recorder)] if chain is not None else []


def _phrases(chain: Chain, recorder: Recorder) -> tuple[tuple[Phrase, ...], int]:
    """The phrases to count, and how many of them were asked for; regions' own count for their landing."""
    named = [p for m in chain.methods if isinstance(m, NamesPhrases) for p in m.phrases]
    offered = without_doubles([p for p in named if is_in(p, recorder.prompts)])
    chosen = recorder.chosen or offered or every_word(recorder.prompts, MOST_WORDS)
    phrases = without_doubles((*chosen, *offered))[:MOST_PHRASES]
    return phrases, min(len(chosen), len(phrases))


def _steps_of(run: Run, recorder: Recorder) -> frozenset[int]:
    """Steps inside the recorder's window. Asked only where a cache may leave some out."""
    return frozenset(number for number, sigma in enumerate(run.sigmas[:-1], 1)
                     if recorder.schedule.active(run.step_at(sigma, run.model).progress))


def _left(run: Run) -> dict[str, tuple[Any, ...]]:
    """What the methods leave to be shown, by its name, one entry a method."""
    left: dict[str, tuple[Any, ...]] = {}
    for method in run.chain.methods:
        if isinstance(method, LeavesRecords):
            for name, value in method.records(run.scratch).items():
                left[name] = (*left.get(name, ()), _on_cpu(value))
    return left


def _on_cpu(value: Any) -> Any:
    """The value with its tensors copied to the CPU; a run's own memory is let go."""
    if torch.is_tensor(value):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {k: _on_cpu(v) for k, v in value.items()}
    return tuple(map(_on_cpu, value)) if isinstance(value, (list, tuple)) else value
