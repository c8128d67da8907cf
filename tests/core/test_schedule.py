"""When a method acts and how strongly."""

from __future__ import annotations

import math

import pytest
from attention_director.core.schedule import Schedule, next_sigma, step_number, window


def test_weight_is_the_papers_power_of_the_timestep() -> None:
    schedule = Schedule(0.0, 1.0, 5.0)
    for timestep, value in ((981, 0.909), (961, 0.820), (901, 0.594), (801, 0.330), (701, 0.169)):
        assert schedule.weight(1 - timestep / 1000) == pytest.approx(value, abs=6e-4)
    assert Schedule(0.0, 1.0, 0.0).weight(0.7) == 1.0
    assert schedule.weight(1.0) == 0.0 and schedule.weight(0.0) == 1.0


def test_a_window_holds_its_start_and_not_its_end() -> None:
    schedule = Schedule(0.2, 0.3)
    assert [schedule.active(p) for p in (0.0, 0.1999, 0.2, 0.25, 0.2999, 0.3, 1.0)] == [
        False, False, True, True, True, False, False]
    assert [schedule.weight(p) for p in (0.1999, 0.2, 0.3)] == [0.0, 1.0, 0.0]
    assert Schedule(0.5, 1.0).active(1.0) and not Schedule(0.5, 0.999).active(1.0)


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0), (0.5, 0.2)])
def test_a_window_without_width_never_weighs(start: float, end: float) -> None:
    schedule = Schedule(start, end)
    assert schedule.empty
    assert all(schedule.weight(p / 20) == 0.0 for p in range(21))


@pytest.mark.parametrize("values", [
    (-0.1, 0.3, 1.0), (0.0, 1.1, 1.0), (math.nan, 0.3, 1.0), (0.0, math.nan, 1.0), (0.0, math.inf, 1.0),
    (0.0, 0.3, -1.0), (0.0, 0.3, math.nan), (0.0, 0.3, math.inf),
])
def test_numbers_outside_their_range_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="window|decay power"):
        Schedule(*values)


def test_the_next_level_between_and_after_those_of_a_schedule() -> None:
    sigmas = (14.0, 7.0, 2.0, 0.0)
    assert [next_sigma(sigmas, s) for s in (14.0, 14.0 * (1 - 1e-6), 9.9, 7.0, 2.0, 1.0)] == [7, 7, 7, 2, 0, 0]
    assert next_sigma((9.0, 4.0), 4.0) == 0, "a schedule that stops early"


def test_the_step_a_level_belongs_to() -> None:
    """Levels between two, as second-order samplers ask about, and above the first, where a sampler adds noise."""
    sigmas = (14.0, 7.0, 2.0, 0.0)
    assert [step_number(sigmas, s) for s in (15.0, 14.0, 14.0 * (1 + 1e-6), 9.9, 7.0, 2.0, 1.0)] == [
        1, 1, 1, 1, 2, 3, 3]


def test_a_window_of_a_user_is_checked_by_the_names_of_its_numbers() -> None:
    names = ("self_start_percent", "self_end_percent")
    assert window(0.2, 0.7, names) == Schedule(0.2, 0.7) and window(0.3, 0.3, decay_power=5.0).empty
    assert window(0.0, 1.0, decay_power=5.0) == Schedule(0.0, 1.0, 5.0)
    for values, sentence in (((0.6, 0.3), "self_start_percent 0.6 lies after self_end_percent 0.3; swap them."),
                             ((-0.1, 0.3), "self_start_percent is -0.1; give a number from 0 to 1."),
                             ((0.6, 1.5), "self_end_percent is 1.5; give a number from 0 to 1."),
                             ((math.nan, 0.3), "self_start_percent is nan; give a number from 0 to 1.")):
        with pytest.raises(ValueError) as refused:
            window(*values, names)
        assert str(refused.value) == sentence
