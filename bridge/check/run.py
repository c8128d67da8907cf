"""The whole check: its parts in order, each with its share of the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import comfy.utils
import torch

from ..errors import DirectorError
from ..families import family_of
from ..identity.adapter import Adapter
from ..sketch.predictor import Predictor
from ..text.prompt import encode
from ..untrusted import require_number
from . import edits, identities, inversions, promises, regions, sketches, subjects, sweep
from .budget import Budget, Pace, budget_of
from .case import Check, rows_of
from .detectors import Detector, detector
from .directing import EDIT, IDENTITY, REGIONS, SKETCH, SUBJECT
from .machine import facts
from .report import Report, Row
from .sampling import Sampling, sampling_of
from .scenes import Scenes, scenes_for
from .studio import NODE, Studio

# In the order in which they run; what one leaves of its time is the next one's.
CHECKS: tuple[Check, ...] = (
    Check(promises.NAME, 2.0, promises.cases),
    Check(REGIONS, 4.0, regions.cases, regions.sum_up),
    Check(EDIT, 2.0, edits.cases, edits.sum_up),
    Check(SUBJECT, 2.0, subjects.cases),
    Check(inversions.NODE, 1.5, inversions.cases, inversions.sum_up),
    Check(IDENTITY, 1.0, identities.cases),
    Check(SKETCH, 2.0, sketches.cases),
)
SWEEP = Check(sweep.NAME, 1.0, sweep.cases, sweep.sum_up)
MOST_MINUTES = 240.0
PROGRESS = 1000
FIRST_STEPS = 2
TIMES_PLAIN = 1.5  # what a directed picture costs, before one was met


@dataclass(frozen=True, eq=False)
class Request:
    """What a person gives. sampling: None for the template's. train_minutes: for a predictor where there is none;
    0 trains none. sweep_minutes: for a search for Region Prompt's settings, beside the rest."""

    model: Any
    clip: Any
    vae: Any
    minutes: float = 2.0
    sampling: Sampling | None = None
    predictor: Predictor | None = None
    adapter: Adapter | None = None
    train_minutes: float = 0.0
    sweep_minutes: float = 0.0


@dataclass(eq=False)
class Tools:
    """What the parts share beside the studio. drawn: a few plain pictures by their prompts."""

    scenes: Scenes
    predictor: Predictor | None
    adapter: Adapter | None
    train_minutes: float
    drawn: dict[str, torch.Tensor] = field(default_factory=dict)
    detectors: list[tuple[Detector | None, str]] = field(default_factory=list)

    def keep(self, text: str, picture: torch.Tensor) -> None:
        """Keep a plain picture, if one is wanted for a training."""
        if self.train_minutes:
            self.drawn.setdefault(text, picture)

    def detector(self) -> tuple[Detector | None, str]:
        """The person's, loaded once, or why not."""
        if not self.detectors:
            self.detectors.append(detector())
        return self.detectors[0]


Tell = Callable[[Row], None]


def run(request: Request) -> Iterator[Report]:
    """The report so far, after each row; the last one is whole. Raises DirectorError for what cannot begin."""
    studio, tools = begin(request)
    bar, budget = comfy.utils.ProgressBar(PROGRESS), studio.budget
    rows: list[Row] = []
    machine = facts(studio)
    whole_time = 60.0 * (request.minutes + request.train_minutes + request.sweep_minutes)
    for check, time in _timed(budget, request.sweep_minutes):
        for row in rows_of(check, studio.within(time), tools, None if check is SWEEP else budget):
            rows.append(row)
            bar.update_absolute(min(PROGRESS - 1, int(PROGRESS * budget.spent / max(1.0, whole_time))), PROGRESS)
            yield Report(machine, tuple(rows), budget.spent)
    bar.update_absolute(PROGRESS, PROGRESS)


def whole(request: Request, tell: Tell = lambda row: None) -> Report:
    """The last report of a run; ``tell`` hears of every row at once."""
    report = Report({}, ())
    for report in run(request):
        tell(report.rows[-1])
    return report


def begin(request: Request) -> tuple[Studio, Tools]:
    """Look at what was given, and how fast a plain picture is. Raises DirectorError."""
    require_number(NODE, "minutes", request.minutes, 0, MOST_MINUTES)
    require_number(NODE, "train_minutes", request.train_minutes, 0, MOST_MINUTES)
    require_number(NODE, "sweep_minutes", request.sweep_minutes, 0, MOST_MINUTES)
    if request.model is None or request.clip is None or request.vae is None:
        raise DirectorError(NODE, "model, clip or vae is missing; load all three of the same checkpoint.")
    family_of(request.model, NODE, joint=True)
    budget = budget_of(request.minutes + request.train_minutes)
    sampling = request.sampling or sampling_of(request.model, request.clip)
    studio = Studio(request.model, request.clip, request.vae, sampling, budget,
                    negative=encode(request.clip, "", NODE))
    scenes = scenes_for(request.clip)
    first = studio.draw(request.model, studio.encode(scenes.layouts[0].text), steps=1 + FIRST_STEPS)
    tools = Tools(scenes, request.predictor, request.adapter, request.train_minutes)
    pace = Pace(TIMES_PLAIN * first.a_step * sampling.steps)
    return replace(studio, plain_step=first.a_step, pace=pace), tools


def _timed(budget: Budget, sweep_minutes: float) -> Iterator[tuple[Check, Budget]]:
    """The parts with their shares of the time, each shared out when its turn comes."""
    for place, check in enumerate(CHECKS):
        yield check, budget.share(check.weight / sum(other.weight for other in CHECKS[place:]))
    if sweep_minutes:
        yield SWEEP, budget_of(sweep_minutes)
