"""What the pack promises of every model, tried on this one: few steps of small pictures, compared bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import comfy.model_management
import torch

from ..errors import DirectorError
from ..record.build import build as record
from ..record.store import RecordStore
from .case import Case
from .directing import Directed, edited, placed, told
from .report import Row
from .scenes import Layout, Scenes
from .studio import NODE, Drawing, Studio

NAME = "promises"
STEPS = 4
OVERRIDE = "optimized_attention_override"  # the host's slot for another pack's attention


@dataclass(frozen=True, eq=False)
class Trial:
    """A few pictures that several promises compare, each drawn when it is first asked for."""

    studio: Studio
    layout: Layout

    def draw(self, directed: Directed, **more: Any) -> Drawing:
        return self.studio.draw(directed.model, directed.positive, latent=directed.latent, steps=STEPS, **more)

    @cached_property
    def undirected(self) -> Directed:
        return Directed(self.studio.model, self.studio.encode(self.layout.text))

    @cached_property
    def plain(self) -> Drawing:
        return self.draw(self.undirected)

    @cached_property
    def directed(self) -> Drawing:
        return self.draw(placed(self.studio, self.layout))

    @cached_property
    def repeats(self) -> bool:
        """False where the card itself gives other bits each time; then no promise of bits can be looked at."""
        return self.draw(self.undirected).same(self.plain)


def cases(studio: Studio, tools: Any) -> Sequence[Case]:
    """Each promise; pictures in units of a whole one."""
    small = replace(studio, sampling=replace(studio.sampling, side=max(64, studio.sampling.side // 16 * 8)))
    trial, scenes = Trial(small, tools.scenes.layouts[0]), tools.scenes
    part = STEPS / studio.sampling.steps / 2  # half the side is a quarter of the pixels, and small ones cost more
    found: list[tuple[str, int, Callable[[], tuple[bool, str]]]] = [
        ("strength 0 is nothing", 2, lambda: zero(trial, scenes)),
        ("recording changes nothing", 1, lambda: recorded(trial)),
        ("queued twice, the same picture", 2, lambda: twice(trial)),
        ("the order of nodes does not matter", 4, lambda: order(trial)),
        ("a second branch sees nothing of it", 1, lambda: apart(trial)),
        ("nothing stays behind an interrupted run", 2, lambda: interrupted(trial)),
    ]
    return [Case(name, pictures * part, lambda name=name, work=work: _row(trial, name, work))
            for name, pictures, work in found]


def _row(trial: Trial, name: str, work: Callable[[], tuple[bool, str]]) -> Row:
    if not trial.repeats:
        return Row(NAME, name, "left out", "this card gives other bits each time, without us too.")
    held, says = work()
    return Row(NAME, name, "works" if held else "fails", says)


def zero(trial: Trial, scenes: Scenes) -> tuple[bool, str]:
    """At strength 0 every node passes its model on, and its prompt is the text encoder's own, bit by bit."""
    studio = trial.studio
    tries: dict[str, Callable[[], tuple[Directed, Sequence[str]]]] = {
        "RegionPrompt": lambda: (placed(studio, trial.layout, 0.0), (trial.layout.text,)),
        "AttentionEdit": lambda: (edited(studio, scenes.edits[0], ""), (scenes.edits[0].source,)),
        "SharedSubjectAttention": lambda: (told(studio, scenes.story, 0.0), scenes.story.scenes),
    }
    wrong, seen = [], []
    for name, make in tries.items():
        try:
            directed, lines = make()
        except DirectorError:  # a method that is not for this model; its own part says so
            continue
        own = studio.encode(*lines)
        seen.append(name)
        if directed.model is not studio.model or not torch.equal(directed.positive[0][0], own[0][0]):
            wrong.append(name)
    same = trial.draw(placed(studio, trial.layout, 0.0)).same(trial.plain)
    return same and not wrong, (f"{', '.join(seen)}: the same bits as without." if same and not wrong else
                                f"not so: {', '.join(wrong) or 'RegionPrompt'}.")


def recorded(trial: Trial) -> tuple[bool, str]:
    plain = trial.undirected
    model = record(NODE, "", plain.model, plain.positive, "", 0.0, 1.0, RecordStore(1)).model
    same = trial.draw(Directed(model, plain.positive)).same(trial.plain)
    return same, "a recorded run gives the plain run's bits." if same else "a recorded run gives other bits."


def twice(trial: Trial) -> tuple[bool, str]:
    again = trial.draw(placed(trial.studio, trial.layout))
    if not trial.directed.same(again):
        return False, "RegionPrompt gave other bits the second time."
    return True, "RegionPrompt gives the same bits again."


def order(trial: Trial) -> tuple[bool, str]:
    """Another pack's attention before our node and behind it; Record before and behind."""
    studio, layout = trial.studio, trial.layout
    before = placed(studio, layout, model=_overridden(studio.model))
    behind = placed(studio, layout)
    foreign = trial.draw(before).same(trial.draw(replace(behind, model=_overridden(behind.model))))
    first = record(NODE, "", studio.model, behind.positive, "", 0.0, 1.0, RecordStore(1)).model
    ours = trial.draw(placed(studio, layout, model=first)).same(trial.directed)
    wrong = [name for name, same in (("another pack's attention", foreign), ("Record Attention", ours)) if not same]
    return not wrong, ("another pack's attention and Record Attention may stand before RegionPrompt or behind it."
                       if not wrong else f"it does for {' and '.join(wrong)}.")


def _overridden(model: Any) -> Any:
    """The model with somebody's override of attention, which turns it down a little."""
    def override(func: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        return func(*args, **kwargs) * 0.98

    clone = model.clone()
    clone.model_options["transformer_options"] = {**clone.model_options["transformer_options"], OVERRIDE: override}
    return clone


def apart(trial: Trial) -> tuple[bool, str]:
    """The model that our node was given draws as before, after a directed run of the same weights."""
    assert trial.directed is not None
    same = trial.draw(trial.undirected).same(trial.plain)
    return same, "the model without the node draws as before." if same else "the model without the node was changed."


def interrupted(trial: Trial) -> tuple[bool, str]:
    with suppress(comfy.model_management.InterruptProcessingException):
        trial.draw(placed(trial.studio, trial.layout), interrupt_at=2)
    same = trial.draw(trial.undirected).same(trial.plain)
    return same, ("a plain run after it gives the same bits." if same else "a plain run after it gives other bits.")
