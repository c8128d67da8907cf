"""A part of the check: cases that run one by one as long as there is time, and end in rows whatever happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management

from ..errors import DirectorError
from ..untrusted import reason_of
from .budget import Budget
from .report import Row
from .studio import Studio

log = logging.getLogger("attention_director")


@dataclass(frozen=True, eq=False)
class Case:
    """name: what it looks at. pictures: how many directed ones it draws, for its time. work: gives its row."""

    name: str
    pictures: float
    work: Callable[[], Row]


@dataclass(frozen=True, eq=False)
class Check:
    """A method, or the promises of all. weight: its part of the time. cases: of a studio and what else is there.

    sum_up: a row about all of its cases that were done; None to count them. A case that is all there is gives that row
    itself, with no name.
    """

    name: str
    weight: float
    cases: Callable[[Studio, Any], Sequence[Case]]
    sum_up: Callable[[str, Sequence[Row]], Row] | None = None


def rows_of(check: Check, studio: Studio, tools: Any, whole: Budget | None = None) -> Iterator[Row]:
    """The rows of one check, within the studio's share of the whole time. What goes wrong is a row; only an interrupt
    ends it. On a slow card a share may be shorter than one case, so the first may take of the whole.
    """
    done: list[Row] = []
    late: list[str] = []
    cases = attempt(check.name, "", lambda: check.cases(studio, tools))
    if isinstance(cases, Row):
        yield cases
        return
    for case in cases:
        if not (studio.fits(case.pictures) or (whole and not done and studio.within(whole).fits(case.pictures))):
            late.append(case.name)
            continue
        begun = time.monotonic()
        row = attempt(check.name, case.name if len(cases) > 1 else "", case.work)
        studio.pace.met(case.pictures, time.monotonic() - begun)
        yield row
        if not row.case:
            return
        if row.verdict == "refused":  # the other cases would be refused alike
            yield Row(check.name, "", "refused", row.says)
            return
        done.append(row)
    if late and done:
        yield Row(check.name, "time", "left out", f"{len(late)} of {len(cases)} for lack of time, from {late[0]} on.")
    yield _whole(check, done, len(cases))


def _whole(check: Check, done: Sequence[Row], cases: int) -> Row:
    broken = [row for row in done if row.verdict == "broke"]
    good = [row for row in done if row.verdict not in ("broke", "left out")]
    if broken and not good:
        return Row(check.name, "", "broke", broken[0].says)
    if not good:
        says = done[0].says if done else "there was no time for it." if cases else "there was nothing to look at."
        return Row(check.name, "", "left out", says)
    if check.sum_up is not None:
        row = attempt(check.name, "", lambda: check.sum_up(check.name, good))  # type: ignore[misc]
        return row
    failed = [row.case for row in done if row.verdict in ("fails", "broke")]
    says = f"{len(done) - len(failed)} of {len(done)} hold" + (f", not: {', '.join(failed)}." if failed else ".")
    return Row(check.name, "", "fails" if failed else "works", says)


def attempt(check: str, case: str, work: Callable[[], Any]) -> Any:
    """What the work gives; a row in its place where a node refuses or something breaks."""
    try:
        return work()
    except comfy.model_management.InterruptProcessingException:  # with some hosts it is an Exception
        raise
    except DirectorError as error:
        return Row(check, case, "refused", str(error))
    except Exception as error:  # noqa: BLE001  (whatever it is, a person should read of it and see the rest)
        log.warning("Self Check: %s %s broke", check, case, exc_info=True)
        short = comfy.model_management.is_oom(error) if hasattr(comfy.model_management, "is_oom") else False
        comfy.model_management.soft_empty_cache()
        return Row(check, case, "broke", "the card's memory was not enough." if short else f"{reason_of(error)}.")
