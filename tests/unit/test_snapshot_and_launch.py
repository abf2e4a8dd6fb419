"""What the proxy is told to serve and what the shim is told to start, from one config."""

from pathlib import Path

import pytest

from pinfold.base.address import TcpAddress, UnixAddress
from pinfold.config.read import parse
from pinfold.proxy.snapshot import LiveEndpoint, build
from pinfold.supervise.launch import Birth, Host, fingerprint, launch
from pinfold.supervise.wire import LogFile

TEXT = """\
[listeners.web]
bind = ["127.0.0.1:8080", "unix:/run/web.sock"]
timeouts = { head = "5s" }
[programs.app]
command = "run --name={instance} {socket.http} {port.admin}"
ports = { http = "socket", admin = "auto" }
environment = { PLACE = "/{index}/{generation}" }
[pools.remote]
endpoints = ["192.0.2.1:80", { address = "192.0.2.2:80", weight = 3 }]
[[routes]]
pool = "remote"
match = { host = "r.example.org", path = ["/a", "/b"] }
[[routes]]
pool = "app.http"
"""
CONFIG = parse(TEXT, "p.toml", Path("/srv")).config
BIRTH = Birth(
    program="app",
    index=2,
    serial=7,
    generation=3,
    fingerprint="f",
    addresses={"http": UnixAddress("/run/s"), "admin": TcpAddress("127.0.0.1", 4000)},
    born=1.5,
)
LOG = LogFile(path="/l", max_bytes=1, keep=1)


def test_only_live_endpoints_are_in_the_snapshot() -> None:
    live = [LiveEndpoint("app.http", "app.1", "unix:/run/s", "ready")]
    pools = {pool.name: pool for pool in build(CONFIG, {}, live).pools}
    assert [one.name for one in pools["app.http"].endpoints] == ["app.1"]
    assert pools["app.admin"].endpoints == ()
    remote = [(one.address, one.weight) for one in pools["remote"].endpoints]
    assert remote == [("192.0.2.1:80", 1), ("192.0.2.2:80", 3)]


def test_routes_and_listeners_go_over_as_configured() -> None:
    snapshot = build(CONFIG, {}, [])
    assert [route.action.pool for route in snapshot.routes] == ["remote", "app.http"]
    assert snapshot.routes[0].match.paths == ("/a", "/b")
    assert snapshot.listeners[0].addresses == ("127.0.0.1:8080", "unix:/run/web.sock")
    assert snapshot.listeners[0].timeouts.head_ms == 5000


def test_a_birth_comes_back_from_its_label() -> None:
    assert Birth.from_label(BIRTH.label()) == BIRTH
    for label in ("", "[]", "{}", '{"addresses":{}}'):
        with pytest.raises(ValueError, match=r".+"):
            Birth.from_label(label)


def test_placeholders_are_filled_in_command_and_environment() -> None:
    process = launch(CONFIG.programs["app"], BIRTH, Host(environment={"PATH": "/bin"}, identity=None, log=LOG))
    assert process.key == "app.2-7"
    assert process.argv == ("run", "--name=app.2", "/run/s", "4000")
    assert process.environment == (
        "PATH=/bin",
        "PINFOLD_GENERATION=3",
        "PINFOLD_INSTANCE=app.2",
        "PLACE=/2/3",
        "PORT=4000",
    )


def test_only_what_a_process_was_started_from_makes_it_stale() -> None:
    program = CONFIG.programs["app"]
    assert fingerprint(program, 1) == fingerprint(program.model_copy(update={"instances": 9, "drain": 1.0}), 1)
    assert fingerprint(program, 1) != fingerprint(program.model_copy(update={"umask": 0o077}), 1)
