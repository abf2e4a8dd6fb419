"""Small rules about many instances at once. Pure."""

__all__ = ["may_leave"]


def may_leave(*, ready: int, running: int) -> bool:
    """Whether one more instance may be taken out of its pools because its probe fails.

    When half of a program seems ill, the cause is shared (or the probe is wrong) and taking out more only moves their
    load onto the rest; Envoy and HAProxy call this the panic threshold.

    Args:
        ready: instances in the pools now, the one in question included.
        running: instances that run.
    """
    return ready - 1 >= running / 2
