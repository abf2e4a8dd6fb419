"""When an instance is tried again, and in which order instances are replaced."""

from pinfold.supervise.backoff import CAP, Backoff
from pinfold.supervise.rollout import Kind, Step, plan
from pinfold.supervise.rules import may_leave


def test_delays_double_from_half_a_second() -> None:
    backoff, delays = Backoff(), []
    for death in range(4):
        backoff = backoff.died(death * 100.0, 1.0)
        delays.append(backoff.delay(1.0))
    assert delays == [0.5, 1.0, 2.0, 4.0]


def test_five_deaths_in_a_minute_are_a_crash_loop_tried_on_at_the_cap() -> None:
    backoff = Backoff()
    for death in range(5):
        assert not backoff.looping
        backoff = backoff.died(float(death), 0.1)
    assert backoff.looping
    assert backoff.delay(1.0) == CAP


def test_a_long_life_forgets_earlier_deaths() -> None:
    backoff = Backoff().died(0.0, 0.1).died(1.0, 0.1).died(100.0, 90.0)
    assert backoff.row == 1
    assert not backoff.looping


def test_the_delay_never_passes_the_cap() -> None:
    backoff = Backoff(row=10_000)
    assert backoff.delay(1.0) == CAP


def test_new_instances_come_first_and_surplus_ones_go_last() -> None:
    assert plan(up={1, 2}, wanted=3, changed={1, 2}, surge=True) == [
        Step(Kind.START, 3),
        Step(Kind.SURGE, 1),
        Step(Kind.SURGE, 2),
    ]
    assert plan(up={1, 2, 3}, wanted=1, changed=set(), surge=True) == [Step(Kind.STOP, 2), Step(Kind.STOP, 3)]


def test_fixed_ports_are_replaced_in_place() -> None:
    assert plan(up={1}, wanted=1, changed={1}, surge=False) == [Step(Kind.REPLACE, 1)]


def test_what_is_as_wanted_is_not_touched() -> None:
    assert plan(up={1, 2}, wanted=2, changed=set(), surge=True) == []


def test_probes_never_take_out_more_than_half() -> None:
    assert may_leave(ready=4, running=4)
    assert may_leave(ready=3, running=4)
    assert not may_leave(ready=2, running=4)
    assert not may_leave(ready=1, running=1)
