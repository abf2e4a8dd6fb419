"""The life of an instance."""

from pinfold.supervise.machine import TABLE, Action, Event, Phase, State, event_for_exit, step


def test_every_phase_decides_on_every_event() -> None:
    assert set(TABLE) == set(Phase)
    for phase, row in TABLE.items():
        assert set(row) == set(Event), phase


def test_only_a_running_instance_that_answers_is_in_its_pools() -> None:
    for phase in Phase:
        for ready in (False, True):
            for event in Event:
                state, actions = step(State(phase, ready and phase is Phase.RUNNING), event)
                assert not state.ready or state.phase is Phase.RUNNING
                if Action.ENROL in actions:
                    assert state == State(Phase.RUNNING, ready=True)


def test_an_instance_is_drained_before_it_is_signalled() -> None:
    draining, actions = step(State(Phase.RUNNING, ready=True), Event.STOP)
    assert (draining.phase, actions) == (Phase.DRAINING, (Action.DRAIN,))
    stopping, actions = step(draining, Event.DRAINED)
    assert (stopping.phase, actions) == (Phase.STOPPING, (Action.LEAVE, Action.SIGNAL))


def test_a_death_leaves_the_pools_before_anything_else() -> None:
    _, actions = step(State(Phase.RUNNING, ready=True), Event.DIED)
    assert actions == (Action.LEAVE, Action.SWEEP, Action.BACK_OFF)


def test_nothing_is_spawned_before_the_sweep_of_what_died() -> None:
    for phase in Phase:
        for event in (Event.DIED, Event.ENDED):
            _, actions = step(State(phase), event)
            assert Action.SPAWN not in actions


def test_a_repeated_answer_does_nothing() -> None:
    ready = State(Phase.RUNNING, ready=True)
    assert step(ready, Event.READY) == (ready, ())


def test_restart_policy_decides_whether_an_exit_is_a_death() -> None:
    assert event_for_exit(wanted=True, restart="always", succeeded=True) is Event.DIED
    assert event_for_exit(wanted=True, restart="on-failure", succeeded=True) is Event.ENDED
    assert event_for_exit(wanted=True, restart="on-failure", succeeded=False) is Event.DIED
    assert event_for_exit(wanted=True, restart="never", succeeded=False) is Event.ENDED
    assert event_for_exit(wanted=False, restart="always", succeeded=False) is Event.ENDED
