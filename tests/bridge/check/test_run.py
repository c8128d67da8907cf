"""The whole check: on every family, when something breaks, when there is no time, when somebody interrupts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import comfy.model_management
import pytest
import torch
from attention_director.bridge.check import promises, run
from attention_director.bridge.check.budget import Pace, budget_of
from attention_director.bridge.check.case import Case, Check, rows_of
from attention_director.bridge.check.directing import Directed, placed
from attention_director.bridge.check.report import Report, Row
from attention_director.bridge.errors import DirectorError
from studios import FAMILIES, few, models, request

NAMES = [check.name for check in run.CHECKS]


def checked(name: str, **more: Any) -> Report:
    with torch.inference_mode():
        return run.whole(request(name, **more))


@pytest.mark.usefixtures("one_of_each")
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_told_of_every_method(name: str) -> None:
    """On random weights nothing is promised of pictures; the promises hold, and no part ends the others."""
    report = checked(name)
    assert list(report.verdicts) == NAMES
    broken = [(row.check, row.case, row.says) for row in report.rows if row.verdict == "broke"]
    assert not broken
    held = {row.case: row.verdict for row in report.rows if row.check == promises.NAME and row.case}
    assert len(held) == 6 and set(held.values()) == {"works"}, held
    for row in report.verdicts.values():
        assert row.says
        if row.verdict == "refused":
            assert re.match(r"\w+: .*this model is", row.says), "in the node's own sentence"
    landed = report.verdicts["RegionPrompt"]
    assert landed.verdict in ("works", "fails") and landed.numbers["n"] == 2
    assert {"landing", "plain_landing", "seconds_a_step", "plain_seconds_a_step"} <= set(landed.numbers)
    assert all(0 <= landed.numbers[key] <= 1 for key in ("landing", "plain_landing"))
    assert report.machine["model"] and report.machine["attention"] and report.machine["ComfyUI"]


@pytest.mark.usefixtures("one_of_each")
def test_a_part_that_breaks_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(studio: Any, tools: Any) -> Any:
        raise RuntimeError("no such thing in /srv/models/mine.safetensors")

    first, second = run.CHECKS[0], Check("broken", 1.0, broken)
    monkeypatch.setattr(run, "CHECKS", (second, replace(first, cases=lambda s, t: first.cases(s, t)[:1])))
    report = checked("sd15")
    assert report.verdicts["broken"].verdict == "broke" and "RuntimeError" in report.verdicts["broken"].says
    assert report.verdicts["promises"].verdict == "works", "the next one goes on"


def cases(*works: Callable[[], Row]) -> Check:
    return Check("it", 1.0, lambda studio, tools: [Case(f"case {n}", 1.0, work) for n, work in enumerate(works, 1)])


def raising(error: BaseException) -> Callable[[], Row]:
    def work() -> Row:
        raise error

    return work


def good() -> Row:
    return Row("it", "", "works", "it works.")


@pytest.fixture(scope="module")
def studio() -> Any:
    with torch.inference_mode():
        return run.begin(request("sd15"))


def verdicts(studio: Any, *works: Callable[[], Row]) -> list[tuple[str, str]]:
    numbered = [lambda work=work, n=n: replace(work(), case=f"case {n}") for n, work in enumerate(works, 1)]
    return [(row.case, row.verdict) for row in rows_of(cases(*numbered), *studio)]


def test_a_case_that_breaks_leaves_the_others(studio: Any) -> None:
    assert verdicts(studio, raising(KeyError("x")), good) == [("case 1", "broke"), ("case 2", "works"), ("", "fails")]


def test_on_a_slow_card_the_first_case_takes_of_the_whole_time(studio: Any) -> None:
    """A share of half a minute, a minute for a picture, two minutes in all."""
    slow, tools = replace(studio[0], pace=Pace(60.0)).within(budget_of(0.5)), studio[1]
    numbered = cases(*(lambda n=n: replace(good(), case=f"case {n}") for n in (1, 2)))
    assert [row.verdict for row in rows_of(numbered, slow, tools)] == ["left out"]
    slow = replace(slow, pace=Pace(60.0))
    found = [(row.case, row.verdict) for row in rows_of(numbered, slow, tools, budget_of(2.0))]
    assert found[0] == ("case 1", "works")


def test_a_refusal_is_asked_for_once(studio: Any) -> None:
    refusal = raising(DirectorError("Node", "this model is another; take one of these."))
    assert verdicts(studio, refusal, refusal) == [("case 1", "refused"), ("", "refused")]


def test_memory_that_is_not_enough_is_told_as_that(studio: Any) -> None:
    error = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB (GPU 0; ...)")
    row, *_ = rows_of(cases(raising(error), good), *studio)
    assert row.verdict == "broke" and row.says == "the card's memory was not enough."


def test_an_interrupt_ends_it(studio: Any) -> None:
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        list(rows_of(cases(raising(comfy.model_management.InterruptProcessingException()), good), *studio))


def test_what_does_not_fit_is_left_out_and_said() -> None:
    begun = time.monotonic()
    report = checked("sd15", minutes=0.0)
    assert time.monotonic() - begun < 20
    assert {row.verdict for row in report.rows} == {"left out"} and list(report.verdicts) == NAMES
    assert "no time" in report.verdicts["RegionPrompt"].says


def test_it_keeps_to_its_time() -> None:
    """A case that was begun is ended, so a little longer than asked for."""
    begun = time.monotonic()
    report = checked("flux", minutes=0.05)
    assert time.monotonic() - begun < 30 and any(row.verdict == "left out" for row in report.rows)


@pytest.mark.parametrize("missing", ["model", "clip", "vae"])
def test_a_missing_wire_is_said(missing: str) -> None:
    with pytest.raises(DirectorError, match="AttnDirSelfCheck: model, clip or vae is missing"):
        run.whole(replace(request("sd15"), **{missing: None}))


def test_a_foreign_model_is_refused_before_anything_is_drawn() -> None:
    model, clip, vae = models("sd15")
    other = model.clone()
    other.model = torch.nn.Module()
    with pytest.raises(DirectorError, match="the node works with"):
        run.whole(run.Request(other, clip, vae))


class Slips:
    """What would break a promise: each makes its row fail, and no other."""

    @staticmethod
    def other_bits_each_time(monkeypatch: pytest.MonkeyPatch) -> str:
        strengths = iter([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])

        def unsteady(studio: Any, layout: Any, strength: float = 1.0, **more: Any) -> Directed:
            return placed(studio, layout, strength and next(strengths), **more)

        monkeypatch.setattr(promises, "placed", unsteady)
        return "queued twice, the same picture"

    @staticmethod
    def zero_does_something(monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setattr(promises, "placed", lambda studio, layout, strength=1.0, **more: placed(
            studio, layout, strength or 0.5, **more))
        return "strength 0 is nothing"

    @staticmethod
    def recording_changes(monkeypatch: pytest.MonkeyPatch) -> str:
        real = promises.record

        def record(node: str, key: str, model: Any, *rest: Any) -> Any:
            return real(node, key, promises._overridden(model), *rest)

        monkeypatch.setattr(promises, "record", record)
        return "recording changes nothing"


@pytest.mark.parametrize("slip", [Slips.other_bits_each_time, Slips.zero_does_something, Slips.recording_changes])
def test_a_broken_promise_fails(monkeypatch: pytest.MonkeyPatch, slip: Callable[[pytest.MonkeyPatch], str]) -> None:
    with torch.inference_mode():
        studio, tools = run.begin(request("sd15"))
        tools.scenes = few()
        broken = slip(monkeypatch)
        found = {row.case: row.verdict for row in rows_of(run.CHECKS[0], studio, tools)}
    assert found[broken] == "fails" and found[""] == "fails"


def test_something_left_behind_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight that an interrupted run leaves changed."""
    with torch.inference_mode():
        studio, tools = run.begin(request("sd15"))
        tools.scenes = few()
        weight = studio.model.model.diffusion_model.out[2].weight
        real = promises.Trial.draw

        def draw(self: Any, directed: Any, **more: Any) -> Any:
            if "interrupt_at" in more:
                weight.mul_(1.5)
            return real(self, directed, **more)

        monkeypatch.setattr(promises.Trial, "draw", draw)
        try:
            found = {row.case: row.verdict for row in rows_of(run.CHECKS[0], studio, tools)}
        finally:
            weight.div_(1.5)
    assert found["nothing stays behind an interrupted run"] == "fails"
