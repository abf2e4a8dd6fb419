"""What people read: fits 80 columns on a terminal, is whole when piped, and says what needs attention."""

from datetime import UTC, datetime, timedelta

import pytest

from pinfold.api.models import (
    CertificateStatus,
    EndpointStatus,
    InstanceStatus,
    ListenerStatus,
    PoolStatus,
    ProgramStatus,
    ProxyStatus,
    Status,
    Verdict,
)
from pinfold.cli.render import WIDE, Paper, fold_status, known_names, render_status, render_verdict, unknown_name

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
PLAIN = Paper(width=80, coloured=False)


def instance(name: str, **facts: object) -> InstanceStatus:
    fields: dict[str, object] = {
        "name": name,
        "wanted": True,
        "phase": "running",
        "ready": True,
        "pid": 81210,
        "generation": 3,
        "uptime": 7500.0,
        "restarts": 0,
        "in_flight": 3,
        "requests": 1234567,
        "addresses": {"http": "unix:/run/pinfold/sockets/x.sock"},
        "retry_in": None,
        "note": "",
    }
    return InstanceStatus.model_validate({**fields, **facts})


def status(*instances: InstanceStatus, **facts: object) -> Status:
    program = ProgramStatus(name="nova-api", groups=("nova",), wanted=4, ready=1, instances=instances)
    endpoint = EndpointStatus(
        name="10.0.0.5:9292",
        address="10.0.0.5:9292",
        requests=7,
        errors=1,
        server_errors=0,
        in_flight=0,
        connects=1,
        connections=1,
    )
    counts = {"connections": 12, "accepted": 40, "refused": 0, "requests": 1234567, "handshake_failures": 0}
    certificate = CertificateStatus(names=("a",), not_after=NOW + timedelta(days=71), path="/a.pem")
    fields: dict[str, object] = {
        "pinfold": "0.1.0",
        "pid": 8120,
        "config": "/etc/pinfold.toml",
        "log_directory": "/var/log/pinfold",
        "state": "degraded",
        "uptime": 7500.0,
        "proxy": ProxyStatus(pid=1, generation=1, threads=2, state="serving"),
        "listeners": (
            ListenerStatus(name="ec2", addresses=("0.0.0.0:8772",), tls=True, certificates=(certificate,), **counts),
            ListenerStatus(
                name="ec2-plain", addresses=("0.0.0.0:8773", "[::]:8773"), tls=False, certificates=(), **counts
            ),
        ),
        "programs": (program,),
        "pools": (
            PoolStatus(name="nova-api.ec2", unavailable=0, endpoints=(endpoint,)),
            PoolStatus(name="images", unavailable=0, endpoints=(endpoint,)),
        ),
    }
    return Status.model_validate({**fields, **facts})


FAILING = {"phase": "backoff", "ready": False, "pid": None, "uptime": None, "restarts": 4, "retry_in": 7.0}


def test_a_status_is_read_at_eighty_columns() -> None:
    shown = render_status(
        status(instance("nova-api.1"), instance("nova-api.2", note="exited with status 1", **FAILING)), NOW, PLAIN
    )
    assert shown == (
        "pinfold 0.1.0  degraded  up 2h05m  pid 8120\n"
        "config  /etc/pinfold.toml\n"
        "logs    /var/log/pinfold\n"
        "\n"
        "LISTENER   ADDRESS             CERTIFICATE   OPEN  REQUESTS\n"
        "ec2        https 0.0.0.0:8772  good for 71d    12   1234567\n"
        "ec2-plain  http 0.0.0.0:8773   -               12   1234567\n"
        "           http [::]:8773      -\n"
        "\n"
        "INSTANCE    STATE      PID     UP  IN FLIGHT  REQUESTS  RESTARTS\n"
        "nova-api.1  ready    81210  2h05m          3   1234567         0\n"
        "nova-api.2  backoff      -      -          3   1234567         4\n"
        "\n"
        "POOL    ENDPOINT       IN FLIGHT  REQUESTS  ERRORS\n"
        "images  10.0.0.5:9292          0         7       1\n"
        "\n"
        "! nova-api.2: exited with status 1; tried again in 7.0s\n"
        "    pinfold logs nova-api.2\n"
    )


def test_on_a_narrow_terminal_no_word_is_cut() -> None:
    shown = render_status(status(instance("nova-api.1")), NOW, Paper(width=40, coloured=False))
    assert "INSTANCE    STATE    PID     UP\nnova-api.1  ready  81210  2h05m\n" in shown


def test_what_is_piped_is_never_cut_nor_padded() -> None:
    long = "a" * 40 + ".1000"
    shown = render_status(status(instance(long)), NOW, Paper(width=WIDE, coloured=False))
    assert long in shown
    assert max(len(line) for line in shown.splitlines()) < 140


def test_colours_come_only_where_they_are_wanted() -> None:
    whole = status(instance("nova-api.1"))
    assert "\x1b[" in render_status(whole, NOW, Paper(width=80, coloured=True))
    assert "\x1b[" not in render_status(whole, NOW, PLAIN)


def test_what_is_ejected_and_what_waits_needs_attention() -> None:
    whole = status(instance("nova-api.1"))
    counts = {"requests": 20, "errors": 5, "server_errors": 2, "ejected": True, "ejections": 1}
    ejected = whole.pools[1].endpoints[0].model_copy(update=counts)
    pools = (
        whole.pools[0].model_copy(update={"queued": 12, "overflowed": 3}),
        whole.pools[1].model_copy(update={"endpoints": (ejected,)}),
    )
    shown = render_status(whole.model_copy(update={"pools": pools}), NOW, PLAIN)
    assert shown.endswith(
        "\n\n"
        "! nova-api.ec2: 12 requests wait for an endpoint; 3 waited in vain\n"
        "! images: 10.0.0.5:9292 is ejected; 7 attempts at it failed\n"
    )


def test_an_instance_that_was_stopped_needs_no_attention() -> None:
    stopped = instance("nova-api.1", wanted=False, phase="stopped", ready=False, note="exited with status 0")
    assert "!" not in render_status(status(stopped), NOW, PLAIN)


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (("nova-api",), ["nova-api.1", "nova-api.2"]),
        (("nova",), ["nova-api.1", "nova-api.2"]),
        (("nova-api.2",), ["nova-api.2"]),
        ((), ["nova-api.1", "nova-api.2"]),
    ],
)
def test_a_status_is_folded_to_programs_groups_and_instances(names: tuple[str, ...], left: list[str]) -> None:
    folded = fold_status(status(instance("nova-api.1"), instance("nova-api.2")), names)
    assert [one.name for program in folded.programs for one in program.instances] == left


def test_a_name_nothing_bears_is_told_with_a_name_that_is_near() -> None:
    whole = status(instance("nova-api.1"))
    assert known_names(whole) == ["nova", "nova-api", "nova-api.1"]
    assert unknown_name(whole, ["nova", "nova-api.1"]) is None
    assert unknown_name(whole, ["nova-apy"]) == ("nova-apy", 'did you mean "nova-api"?')


def test_a_verdict_is_told_with_its_problems_and_the_mend() -> None:
    verdict = Verdict(
        ok=False, code="config", exit_code=2, summary="nothing changed", hint="mend it", problems=("a:1:2: b",)
    )
    assert render_verdict(verdict) == "a:1:2: b\nnothing changed\n  hint: mend it"
