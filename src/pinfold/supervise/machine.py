"""The life of an instance as a table: phase x event -> phase, actions. Pure; `instance` carries the actions out.

    stopped -> starting -> running -> draining -> stopping -> stopped
                  ^  \\________|_________/           |
                  |           v                     |
                  +------- backoff <----------------+

Three facts are kept apart: what the operator wants (`wanted`, held by the instance), where the process is (`phase`)
and whether it answers (`ready`). Only a running instance that is ready is in its pools.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

__all__ = ["TABLE", "Action", "Event", "Phase", "State", "event_for_exit", "step"]


class Phase(Enum):
    """Where the process of an instance is."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPING = "stopping"
    BACKOFF = "backoff"


class Event(Enum):
    """What happens to an instance."""

    START = "start"
    """The operator, or a rollout, wants it up."""
    STOP = "stop"
    """The operator, or a rollout, wants it down."""
    SPAWNED = "spawned"
    """Its program has been executed."""
    SPAWN_FAILED = "spawn failed"
    """No process came of it."""
    READY = "ready"
    """The probe passed often enough."""
    UNREADY = "unready"
    """The probe failed often enough."""
    DRAINED = "drained"
    """No request is in flight and no connection of the proxy is left."""
    DEADLINE = "deadline"
    """The time its phase may take is over."""
    DIED = "died"
    """Its process has ended and is wanted again."""
    ENDED = "ended"
    """Its process has ended and is not wanted again."""


class Action(Enum):
    """What is to be done when an event is taken."""

    SPAWN = "spawn"
    """Start the process; its start deadline begins."""
    PROBE = "probe"
    """Begin to probe."""
    ENROL = "enrol"
    """Put it into its pools."""
    LEAVE = "leave"
    """Take it out of its pools."""
    DRAIN = "drain"
    """No new requests; its drain deadline begins."""
    SIGNAL = "signal"
    """Send the stop signal; its stop deadline begins."""
    KILL = "kill"
    """Kill the whole tree."""
    SWEEP = "sweep"
    """Kill what is left of the tree after the exit, forget the process, remove its sockets."""
    BACK_OFF = "back off"
    """The back-off deadline begins."""
    CANCEL = "cancel"
    """No deadline is waited for any more."""


@dataclass(frozen=True, slots=True)
class State:
    """Where an instance is, and whether it answers."""

    phase: Phase = Phase.STOPPED
    ready: bool = False


Reaction = tuple[Phase, tuple[Action, ...]]

_IGNORE: Final = None
"""The event does not concern this phase: late, or already true."""

TABLE: Final[dict[Phase, dict[Event, Reaction | None]]] = {
    Phase.STOPPED: {
        Event.START: (Phase.STARTING, (Action.SPAWN,)),
        Event.STOP: _IGNORE,
        Event.SPAWNED: _IGNORE,
        Event.SPAWN_FAILED: _IGNORE,
        Event.READY: _IGNORE,
        Event.UNREADY: _IGNORE,
        Event.DRAINED: _IGNORE,
        Event.DEADLINE: _IGNORE,
        Event.DIED: _IGNORE,
        Event.ENDED: _IGNORE,
    },
    Phase.STARTING: {
        Event.START: _IGNORE,
        Event.STOP: (Phase.STOPPING, (Action.SIGNAL,)),
        Event.SPAWNED: (Phase.STARTING, (Action.PROBE,)),
        Event.SPAWN_FAILED: (Phase.BACKOFF, (Action.SWEEP, Action.BACK_OFF)),
        Event.READY: (Phase.RUNNING, (Action.CANCEL, Action.ENROL)),
        Event.UNREADY: _IGNORE,
        Event.DRAINED: _IGNORE,
        Event.DEADLINE: (Phase.STOPPING, (Action.KILL,)),
        Event.DIED: (Phase.BACKOFF, (Action.SWEEP, Action.BACK_OFF)),
        Event.ENDED: (Phase.STOPPED, (Action.CANCEL, Action.SWEEP)),
    },
    Phase.RUNNING: {
        Event.START: _IGNORE,
        Event.STOP: (Phase.DRAINING, (Action.DRAIN,)),
        Event.SPAWNED: _IGNORE,
        Event.SPAWN_FAILED: _IGNORE,
        Event.READY: (Phase.RUNNING, (Action.ENROL,)),
        Event.UNREADY: (Phase.RUNNING, (Action.LEAVE,)),
        Event.DRAINED: _IGNORE,
        Event.DEADLINE: _IGNORE,
        Event.DIED: (Phase.BACKOFF, (Action.LEAVE, Action.SWEEP, Action.BACK_OFF)),
        Event.ENDED: (Phase.STOPPED, (Action.LEAVE, Action.SWEEP)),
    },
    Phase.DRAINING: {
        Event.START: _IGNORE,
        Event.STOP: _IGNORE,
        Event.SPAWNED: _IGNORE,
        Event.SPAWN_FAILED: _IGNORE,
        Event.READY: _IGNORE,
        Event.UNREADY: _IGNORE,
        Event.DRAINED: (Phase.STOPPING, (Action.LEAVE, Action.SIGNAL)),
        Event.DEADLINE: (Phase.STOPPING, (Action.LEAVE, Action.SIGNAL)),
        Event.DIED: (Phase.BACKOFF, (Action.LEAVE, Action.SWEEP, Action.BACK_OFF)),
        Event.ENDED: (Phase.STOPPED, (Action.CANCEL, Action.LEAVE, Action.SWEEP)),
    },
    Phase.STOPPING: {
        Event.START: _IGNORE,
        Event.STOP: _IGNORE,
        Event.SPAWNED: _IGNORE,
        Event.SPAWN_FAILED: _IGNORE,
        Event.READY: _IGNORE,
        Event.UNREADY: _IGNORE,
        Event.DRAINED: _IGNORE,
        Event.DEADLINE: (Phase.STOPPING, (Action.KILL,)),
        Event.DIED: (Phase.BACKOFF, (Action.SWEEP, Action.BACK_OFF)),
        Event.ENDED: (Phase.STOPPED, (Action.CANCEL, Action.SWEEP)),
    },
    Phase.BACKOFF: {
        Event.START: (Phase.STARTING, (Action.SPAWN,)),
        Event.STOP: (Phase.STOPPED, (Action.CANCEL,)),
        Event.SPAWNED: _IGNORE,
        Event.SPAWN_FAILED: _IGNORE,
        Event.READY: _IGNORE,
        Event.UNREADY: _IGNORE,
        Event.DRAINED: _IGNORE,
        Event.DEADLINE: (Phase.STARTING, (Action.SPAWN,)),
        Event.DIED: _IGNORE,
        Event.ENDED: _IGNORE,
    },
}


def step(state: State, event: Event) -> tuple[State, tuple[Action, ...]]:
    """What becomes of `state` when `event` happens, and what is to be done, in this order."""
    reaction = TABLE[state.phase][event]
    if reaction is None:
        return state, ()
    phase, actions = reaction
    if phase is not Phase.RUNNING:
        return State(phase, ready=False), actions
    ready = event is Event.READY
    repeated = state == State(phase, ready)
    return State(phase, ready), () if repeated else actions


def event_for_exit(*, wanted: bool, restart: Literal["always", "on-failure", "never"], succeeded: bool) -> Event:
    """Whether a process that has ended is wanted again.

    Args:
        wanted: the operator wants the instance up.
        restart: the program's restart policy.
        succeeded: it ended by itself with status 0.
    """
    again = wanted and (restart == "always" or (restart == "on-failure" and not succeeded))
    return Event.DIED if again else Event.ENDED
