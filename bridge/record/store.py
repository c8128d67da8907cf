"""What runs leave to look at: made while sampling, found again by the samples that came out.

A readout knows its run only by the latent on its wire. So a record is kept under a fingerprint of the
result as the host will deliver it, and under the recorders that made it: two branches may draw the same
picture with different records, and one model may draw several.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch

from ...core.heat import fit_grid, keeps_steps
from ...core.method import Chain
from ...core.text import Phrase
from ..run.hooks import LeavesRecords, NamesPhrases, SamplerCall
from ..run.run import Run
from .recorder import MEAN, Recorder, Recording, Sums, every_word, is_in, recording_of, without_doubles

RUNS_KEPT = 8
MOST_PHRASES = 64
MOST_WORDS = 16


@dataclass(frozen=True, eq=False)
class Heat:
    """Maps of one recorder. mean: probability, head and layer mean, [I, C, h, w] in float32.

    phrases: of the C columns; the first ``shown`` were asked for. has: bool [I, C], False where an image's
    prompt lacks the phrase. steps: each recorded step's own maps in half precision, empty where only
    their mean was kept. seen: steps that were recorded, of ``total``; skipped: those a cache left out.
    """

    phrases: tuple[Phrase, ...]
    shown: int
    mean: torch.Tensor
    has: torch.Tensor
    steps: Mapping[int, torch.Tensor]
    seen: tuple[int, ...]
    total: int
    skipped: int

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in (self.mean, self.has, *self.steps.values()))


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One run.

    recorders: keys of the chain's. heats: by that key, of those that saw their prompt. left: what the
    methods left, by its name, one entry a method.
    """

    recorders: frozenset[str]
    heats: Mapping[str, Heat]
    left: Mapping[str, tuple[Any, ...]]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(h.nbytes for h in self.heats.values()) + sum(t.nbytes for t in _tensors(tuple(self.left.values())))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)


class RecordStore:
    """The records of the last runs, oldest dropped first. The one thing in the pack that outlives a run."""

    def __init__(self, runs: int = RUNS_KEPT) -> None:
        self._runs: deque[tuple[frozenset[str], RunRecord]] = deque(maxlen=runs)

    def keep(self, samples: torch.Tensor, record: RunRecord) -> None:
        self._runs.append((as_delivered(samples), record))

    def find(self, samples: Any, recorders: set[str]) -> RunRecord | None:
        """The newest record of one of these recorders for the run that ended in exactly these samples."""
        wanted = fingerprint(samples)
        for prints, record in reversed(self._runs):
            if wanted in prints and recorders & record.recorders:
                return record
        return None

    @property
    def nbytes(self) -> int:
        return sum(record.nbytes for _, record in self._runs)

    def __len__(self) -> int:
        return len(self._runs)


STORE = RecordStore()


def fingerprint(samples: Any) -> str:
    """A hash of shape, precision and every value; "" for what is no single tensor."""
    if not isinstance(samples, torch.Tensor) or getattr(samples, "is_nested", False):
        return ""
    plain = samples.detach().to("cpu").contiguous()
    head = f"{tuple(plain.shape)} {plain.dtype} ".encode()
    return hashlib.sha256(head + plain.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()


def as_delivered(samples: torch.Tensor) -> frozenset[str]:
    """Fingerprints of the result in the forms that samplers hand on: cast to the host's dtype, or not."""
    cast = samples.to(comfy.model_management.intermediate_dtype())
    return frozenset((fingerprint(samples), fingerprint(cast)))


# Records made inside a run, waiting for the result that they are filed under.
_waiting: ContextVar[list[RunRecord] | None] = ContextVar("attention_director_records", default=None)


@contextmanager
def filed() -> Iterator[Callable[[torch.Tensor], None]]:
    """Surrounds a run; call what it gives with the result. A run that stops before that leaves nothing."""
    waiting: list[RunRecord] = []
    token = _waiting.set(waiting)

    def file(samples: torch.Tensor) -> None:
        for record in waiting[-1:]:
            STORE.keep(samples, record)

    try:
        yield file
    finally:
        _waiting.reset(token)


def start_recordings(run: Run, call: SamplerCall) -> None:
    """Decide what each recorder of the chain keeps of the run that begins."""
    images, _, *grid = call.noise.shape
    cached = "easycache" in call.extra_args["model_options"].get("transformer_options", {})
    for recorder in recorders_of(run.chain):
        phrases, shown = _phrases(run.chain, recorder)
        by_step = keeps_steps(len(phrases), len(run.sigmas) - 1, math.prod(fit_grid((grid[-2], grid[-1]))))
        expected = _steps_of(run, recorder) if cached else frozenset()
        run.scratch.values["recording", recorder.key] = Recording(phrases, shown, images, run.sigmas, expected, by_step)


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


def finish_recordings(run: Run) -> None:
    """Make the record of a run that came to its end, and leave it waiting for the result."""
    waiting = _waiting.get()
    if waiting is None or not run.scratch.recording:
        return
    left: dict[str, tuple[Any, ...]] = {}
    for method in run.chain.methods:
        if isinstance(method, LeavesRecords):
            for name, value in method.records(run.scratch).items():
                left[name] = (*left.get(name, ()), _on_cpu(value))
    recorders = recorders_of(run.chain)
    heats = {r.key: _heat(recording_of(run.scratch, r.key)) for r in recorders}
    waiting.append(RunRecord(frozenset(heats), {k: heat for k, heat in heats.items() if heat.seen}, left))


def _on_cpu(value: Any) -> Any:
    """The value with its tensors copied to the CPU; a run's own memory is let go."""
    if torch.is_tensor(value):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {k: _on_cpu(v) for k, v in value.items()}
    return tuple(map(_on_cpu, value)) if isinstance(value, (list, tuple)) else value


def _heat(recording: Recording) -> Heat:
    sums = list(recording.sums.values()) or [Sums(torch.zeros(recording.images, len(recording.phrases), 1, 1),
                                                  torch.zeros(recording.images, len(recording.phrases)))]
    counts = sum((s.counts for s in sums[1:]), sums[0].counts)
    mean = _mean(Sums(sum((s.maps for s in sums[1:]), sums[0].maps), counts))
    steps = {number: _mean(s).half() for number, s in recording.sums.items() if number != MEAN}
    return Heat(recording.phrases, recording.shown, mean, counts > 0, steps, tuple(sorted(recording.seen)),
                len(recording.sigmas) - 1, len(recording.expected - recording.seen))


def _mean(sums: Sums) -> torch.Tensor:
    """Mean over the layers and evaluations that were added, on the CPU."""
    return sums.maps.to("cpu") / sums.counts.clamp(min=1)[..., None, None]
