"""HTTPS at the front: versions, the choice of the certificate by server name, and what is no TLS."""

import hashlib
import socket
import ssl
import time
import warnings
from dataclasses import replace

import pytest

from support.certificates import Made, make, trusting
from support.client import Target
from support.endpoints import (
    Endpoint,
    StartEndpoint,
    answering,
    echoing_upgrades,
    head_and_body,
    naming_itself,
    telling_digest,
)
from support.proxy import Rig, target_of
from support.snapshots import certificate, listener, pool, snapshot
from support.waiting import wait_for
from support.wire import dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
EXACT, WILDCARD, DEFAULT = make("exact.example"), make("*.wild.example"), make("default.example", "localhost")
EVERYONE = trusting(EXACT, WILDCARD, DEFAULT)


def serve(rig: Rig, program: Endpoint, **changes: object) -> Target:
    """An HTTPS listener with three certificates; the first is the default."""
    address = rig.bind()
    named = [
        certificate("default", DEFAULT.chain_pem, DEFAULT.key_pem, ["default.example", "localhost"]),
        certificate("exact", EXACT.chain_pem, EXACT.key_pem, ["exact.example"]),
        certificate("wildcard", WILDCARD.chain_pem, WILDCARD.key_pem, ["*.wild.example"]),
    ]
    front = listener(address, tls=["default", "exact", "wildcard"], **changes)
    rig.apply(snapshot([front], [pool(program.entry)], certificates=named))
    return target_of(address, tls=EVERYONE)


def der(made: Made) -> bytes:
    return ssl.PEM_cert_to_DER_cert(made.chain_pem)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken(rig: Rig, endpoint: StartEndpoint, version: ssl.TLSVersion) -> None:
    program = endpoint(naming_itself, "program")
    front = replace(serve(rig, program), tls=trusting(DEFAULT, version=version))
    with dial(front) as wire:
        assert isinstance(wire.raw, ssl.SSLSocket)
        assert wire.raw.version() == version.name.replace("_", ".")
        assert [wire.send(GET).read_answer().body for _ in range(3)] == [b"program"] * 3
    request = program.requests[0]
    assert request.values("x-forwarded-proto") == ["https"]
    assert request.values("x-forwarded-port") == [str(front.port)]


def test_older_versions_are_refused(rig: Rig, endpoint: StartEndpoint) -> None:
    front = serve(rig, endpoint(naming_itself))
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.check_hostname, settings.verify_mode = False, ssl.CERT_NONE
    settings.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        settings.minimum_version = ssl.TLSVersion.TLSv1
        settings.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        replace(front, tls=settings).connect()
    wait_for(lambda: rig.stats()["listeners"][0]["handshake_failures"] == 1, 2, "a failure to be counted")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("exact.example", EXACT),
        ("EXACT.example", EXACT),
        ("a.wild.example", WILDCARD),
        ("default.example", DEFAULT),
        ("unknown.example", DEFAULT),
        ("wild.example", DEFAULT),
        ("a.b.wild.example", DEFAULT),
        ("sub.exact.example", DEFAULT),
        (None, DEFAULT),
    ],
)
def test_the_certificate_is_chosen_by_the_name_asked_for(
    rig: Rig, endpoint: StartEndpoint, name: str | None, wanted: Made
) -> None:
    front = serve(rig, endpoint(naming_itself))
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.check_hostname, settings.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", front.port or 0), timeout=5)
    with raw, settings.wrap_socket(raw, server_hostname=name) as secured:
        assert secured.getpeercert(binary_form=True) == der(wanted)


def test_http_1_1_is_agreed_upon(rig: Rig, endpoint: StartEndpoint) -> None:
    front = serve(rig, endpoint(naming_itself, "program"))
    settings = trusting(DEFAULT)
    settings.set_alpn_protocols(["h2", "http/1.1"])
    with dial(replace(front, tls=settings)) as wire:
        assert isinstance(wire.raw, ssl.SSLSocket)
        assert wire.raw.selected_alpn_protocol() == "http/1.1"
        assert wire.send(GET).read_answer().body == b"program"


def test_a_connection_is_resumed(rig: Rig, endpoint: StartEndpoint) -> None:
    front = serve(rig, endpoint(naming_itself))
    settings = trusting(DEFAULT)
    with dial(replace(front, tls=settings)) as wire:
        wire.send(GET).read_answer()
        assert isinstance(wire.raw, ssl.SSLSocket)
        ticket = wire.raw.session
    raw = socket.create_connection(("127.0.0.1", front.port or 0), timeout=5)
    with raw, settings.wrap_socket(raw, server_hostname="localhost", session=ticket) as secured:
        assert secured.session_reused


@pytest.mark.parametrize(
    "sent", [GET, b"GET / HTTP/1.1\r\n", b"\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 1000, b"\x80\x2e\x01\x00\x02"]
)
def test_what_is_no_tls_is_closed_and_reaches_no_endpoint(rig: Rig, endpoint: StartEndpoint, sent: bytes) -> None:
    program = endpoint(naming_itself)
    front = serve(rig, program, timeouts={"head_ms": 1000})
    with dial(replace(front, tls=None)) as wire:
        assert wire.send(sent).closed_within(5)
    assert not program.connections
    assert talk(front, GET).status == 200


def test_a_tls_greeting_to_a_plain_listener_is_refused(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        replace(rig.serve(program), tls=EVERYONE).connect()
    assert not program.connections


def test_a_handshake_that_does_not_go_on_is_closed(rig: Rig, endpoint: StartEndpoint) -> None:
    front = serve(rig, endpoint(naming_itself), timeouts={"head_ms": 500})
    with dial(replace(front, tls=None)) as silent, dial(replace(front, tls=None)) as begun:
        began = time.monotonic()
        begun.send(b"\x16\x03\x01\x02\x00\x01")
        assert begun.closed_within(3)
        assert silent.closed_within(3)
        assert time.monotonic() - began > 0.4


def test_a_certificate_that_is_renewed_serves_new_connections_and_spares_old_ones(
    rig: Rig, endpoint: StartEndpoint
) -> None:
    program = endpoint(naming_itself, "program")
    old, new = make("localhost"), make("localhost")
    address = rig.bind()

    def apply(made: Made) -> None:
        named = [certificate("one", made.chain_pem, made.key_pem, ["localhost"])]
        rig.apply(snapshot([listener(address, tls=["one"])], [pool(program.entry)], certificates=named))

    apply(old)
    with dial(target_of(address, tls=trusting(old))) as before:
        before.send(GET).read_answer()
        apply(new)
        assert before.send(GET).read_answer().body == b"program"
        assert talk(target_of(address, tls=trusting(new)), GET).body == b"program"
        with pytest.raises(ssl.SSLCertVerificationError):
            target_of(address, tls=trusting(old)).connect()


def test_a_key_of_another_certificate_is_refused(rig: Rig, endpoint: StartEndpoint) -> None:
    address = rig.bind()
    crossed = [certificate("crossed", EXACT.chain_pem, DEFAULT.key_pem, ["localhost"])]
    problems = rig.refuse(
        snapshot([listener(address, tls=["crossed"])], [pool(endpoint(naming_itself).entry)], certificates=crossed)
    )
    assert "crossed" in problems[0]["place"]
    assert DEFAULT.key_pem not in str(problems)


def test_bodies_pass_both_ways(rig: Rig, endpoint: StartEndpoint) -> None:
    body = bytes(range(256)) * 20_000
    front = serve(rig, endpoint(telling_digest))
    sent = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    told = talk(front, sent).body.decode()
    assert told == f"{len(body)} {hashlib.sha256(body).hexdigest()}"


def test_a_large_answer_passes_to_a_slow_reader(rig: Rig, endpoint: StartEndpoint) -> None:
    body = bytes(range(256)) * 80_000  # more than the sockets on the way hold
    with dial(serve(rig, endpoint(answering(head_and_body(body))))) as wire:
        wire.send(GET)
        time.sleep(0.5)
        assert wire.read_answer().body == body


def test_a_tunnel_passes_through_tls(rig: Rig, endpoint: StartEndpoint) -> None:
    asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    with dial(serve(rig, endpoint(echoing_upgrades()))) as wire:
        assert wire.send(asked).read_answer().status == 101
        for number in range(100):
            piece = b"%d" % number * 1000
            assert wire.send(piece).read_exactly(len(piece)) == piece


def test_a_close_is_announced_so_that_it_is_no_truncation(rig: Rig, endpoint: StartEndpoint) -> None:
    front = serve(rig, endpoint(naming_itself, "program"))
    with dial(front) as wire:
        # Python raises an SSLEOFError for an end without close_notify.
        assert wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").read_rest().endswith(b"program")


def test_a_client_that_offers_http_1_0_only_is_served(rig: Rig, endpoint: StartEndpoint) -> None:
    settings = trusting(DEFAULT)
    settings.set_alpn_protocols(["http/1.0"])
    with dial(replace(serve(rig, endpoint(naming_itself, "program")), tls=settings)) as wire:
        assert wire.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").read_answer().body == b"program"
