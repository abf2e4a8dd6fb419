"""Programs and clients that nobody here wrote, through the installed pinfold."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
import websockets.sync.client

from support import programs
from support.certificates import Made, make, trusting
from support.client import Connection, Target, fetch
from support.ports import free_port, free_ports
from support.processes import peak_rss, rss
from support.running import BIN, DEMO, Pinfold
from support.waiting import wait_for

PROGRAMS = Path(next(iter(programs.__path__)))
CERTIFICATE = make("localhost", "127.0.0.1")
ODD = "€ü\u2028 %2F%00 +&=;/?#'\"<>\\ \t~*()!$ 日本"


@dataclass(frozen=True)
class Front:
    """A pinfold with HTTPS and HTTP before one pool."""

    pinfold: Pinfold
    https: int
    http: int

    @property
    def secure(self) -> Target:
        return Target(port=self.https, tls=trusting(CERTIFICATE))

    @property
    def plain(self) -> Target:
        return Target(port=self.http)


def serve(program: str, made: Made = CERTIFICATE) -> Front:
    """Start a pinfold with this `[programs.web]`."""
    https, http = free_port(), free_port()
    pinfold = Pinfold()
    path = made.write(pinfold.directory)
    pinfold.write_config(f"""
        [listeners.secure]
        bind = "127.0.0.1:{https}"
        tls = {{ certificates = ["{path}"] }}
        [listeners.plain]
        bind = "127.0.0.1:{http}"
        [programs.web]
        {program}
    """)
    try:
        pinfold.start(deadline=90)
    except BaseException:
        pinfold.clear()
        raise
    return Front(pinfold, https, http)


@pytest.fixture(scope="module")
def demo() -> Iterator[Front]:
    front = serve(f'command = "{DEMO} --socket {{socket}}"\ninstances = 4\npool = {{ balance = "round-robin" }}')
    yield front
    front.pinfold.clear()


@pytest.fixture(scope="module")
def moto() -> Iterator[Front]:
    first = free_ports(4)[0]
    command = f"{sys.executable} {PROGRAMS}/moto_tapped.py -H 127.0.0.1 -p {{port}}"
    front = serve(f"""
        command = "{command}"
        instances = 4
        ports = {{ ec2 = {first} }}
        ready = {{ http = "/moto-api" }}
        pool = {{ balance = "round-robin" }}
    """)
    yield front
    front.pinfold.clear()


@pytest.fixture
def ec2(moto: Front) -> Iterator[tuple[Any, list[Any]]]:
    """A client of the EC2 API, and the requests as it signed them."""
    client = boto3.client(
        "ec2",
        region_name="us-east-1",
        endpoint_url=f"https://127.0.0.1:{moto.https}",
        verify=str(moto.pinfold.directory / "test.crt-key"),
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="wJalrXUtnFEMI",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    signed: list[Any] = []
    client.meta.events.register("before-send.ec2.*", lambda request, **_: signed.append(request))
    yield client, signed
    client.close()


def tapped(front: Front, number: int) -> list[dict[str, Any]]:
    """What the instances of moto have told of their requests, once there are so many."""

    def told() -> list[dict[str, Any]]:
        logs = {index: front.pinfold.log(f"web.{index}") for index in range(1, 5)}
        lines = [(index, line) for index, log in logs.items() for line in re.findall(r"tapped (\{.*\})", log)]
        found = (json.loads(line) | {"instance": index} for index, line in lines)
        return [seen for seen in found if seen["authorization"]]

    wait_for(lambda: len(told()) >= number, 5, f"{number} tapped requests")
    return told()


def test_an_ec2_client_is_answered_by_every_instance(moto: Front, ec2: tuple[Any, list[Any]]) -> None:
    client, _ = ec2
    assert client.describe_images(Owners=["amazon"])["Images"]
    for _ in range(8):
        assert client.describe_regions()["Regions"]
    assert {seen["instance"] for seen in tapped(moto, 9)} == {1, 2, 3, 4}


def test_what_a_client_signed_is_what_the_program_got(moto: Front, ec2: tuple[Any, list[Any]]) -> None:
    client, signed = ec2
    image = "ami-12c6146b"  # one of those that moto knows from the start
    tags = [{"ResourceType": "instance", "Tags": [{"Key": ODD[:20], "Value": ODD}]}]
    started = client.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, UserData=ODD, TagSpecifications=tags, ClientToken="a/b+c=="
    )
    assert started["Instances"][0]["Tags"] == [{"Key": ODD[:20], "Value": ODD}]
    request = signed[-1]
    host = f"127.0.0.1:{moto.https}"
    assert request.headers["Authorization"].decode().startswith("AWS4-HMAC-SHA256 ")
    seen = [{key: value for key, value in one.items() if key != "instance"} for one in tapped(moto, 1)]
    wanted = {
        "target": "/",
        "host": host,
        "authorization": request.headers["Authorization"].decode(),
        "sha256": hashlib.sha256(request.body.encode()).hexdigest(),
        "forwarded_host": host,
    }
    assert wanted in seen


def test_an_error_of_the_api_arrives_as_it_is(ec2: tuple[Any, list[Any]]) -> None:
    client, _ = ec2
    with pytest.raises(client.exceptions.ClientError, match="InvalidInstanceID"):
        client.describe_instances(InstanceIds=["i-0123456789abcdef0"])


@pytest.fixture(scope="module")
def gunicorn() -> Iterator[Front]:
    words = f"{BIN}/gunicorn --no-control-socket --workers 1 --threads 4 --chdir {PROGRAMS}"
    front = serve(f'command = "{words} --bind unix:{{socket}} wsgi_digest:application"\ninstances = 2')
    yield front
    front.pinfold.clear()


@pytest.fixture(scope="module")
def uvicorn() -> Iterator[Front]:
    words = f"{BIN}/uvicorn --uds {{socket}} --app-dir {PROGRAMS} --lifespan off"
    front = serve(f'command = "{words} asgi_digest:application"\ninstances = 2')
    yield front
    front.pinfold.clear()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_wsgi_program_reads_a_whole_body(gunicorn: Front, framing: str) -> None:
    body = bytes(range(256)) * 4000
    sent = body if framing == "length" else iter([body[:1000], body[1000:]])
    report = fetch(gunicorn.secure, "/up%2Fload?a=%20", method="POST", body=sent).json
    assert (report["bytes"], report["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert report["environ"]["HTTP_X_FORWARDED_PROTO"] == "https"


def test_a_wsgi_program_cannot_be_told_lies_by_underscores(gunicorn: Front) -> None:
    lies = [("X_Forwarded_For", "6.6.6.6"), ("X_Forwarded_Host", "evil"), ("X-Forwarded-Host", "evil")]
    seen = fetch(gunicorn.secure, "/", headers=[*lies, ("Host", "good.example")]).json["environ"]
    assert (seen["HTTP_X_FORWARDED_FOR"], seen["HTTP_X_FORWARDED_HOST"]) == ("127.0.0.1", "good.example")


def test_both_instances_of_a_wsgi_program_answer(gunicorn: Front) -> None:
    with Connection(gunicorn.plain) as connection:
        assert len({connection.fetch().json["pid"] for _ in range(40)}) == 2


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_asgi_program_reads_a_whole_body(uvicorn: Front, framing: str) -> None:
    body = bytes(range(256)) * 4000
    sent = body if framing == "length" else iter([body[:1000], body[1000:]])
    report = fetch(uvicorn.secure, "/a%2Fb;c", method="POST", body=sent).json
    assert (report["bytes"], report["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert report["raw_path"] == "/a%2Fb;c"


def test_an_asgi_program_streams(uvicorn: Front) -> None:
    with Connection(uvicorn.secure) as connection:
        for _ in range(3):
            answer = connection.fetch("/stream")
            assert answer.header("transfer-encoding") == "chunked"
            assert answer.body == b"piece\n" * 3


def test_web_sockets_pass_messages_both_ways() -> None:
    front = serve(f'command = "{sys.executable} {PROGRAMS}/websocket_echo.py {{socket}}"\ninstances = 2')
    try:
        secure = f"wss://localhost:{front.https}/chat"
        settings = trusting(CERTIFICATE)
        with websockets.sync.client.connect(secure, ssl=settings, max_size=None, compression=None) as socket:
            for message in ("hello", "ü" * 1000, b"\x00\xff", b"x" * 1_000_000):
                socket.send(message)
                assert socket.recv(timeout=10) == message
        with websockets.sync.client.connect(f"ws://localhost:{front.http}/") as socket:
            socket.send("plain")
            assert socket.recv(timeout=10) == "plain"
    finally:
        front.pinfold.clear()


def curl(front: Front, *words: str) -> str:
    command = ["curl", "--silent", "--show-error", "--max-time", "20", *words]
    certificate = str(front.pinfold.directory / "test.crt-key")
    ended = subprocess.run([*command, "--cacert", certificate], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
@pytest.mark.parametrize("path", ["/", "/stream?n=3&ms=1", "/bytes?n=100000"])
def test_curl_is_answered_in_either_version(demo: Front, version: str, path: str) -> None:
    text = curl(demo, version, "--include", f"https://localhost:{demo.https}{path}")
    head, _, body = text.partition("\n\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert body
    assert ("chunked" in head.lower()) == (version == "--http1.1" and "stream" in path)
    assert not path.startswith("/bytes") or len(body) == 100_000


def test_curl_keeps_a_connection_of_http_1_0_when_it_asks_for_it(demo: Front) -> None:
    url = f"http://localhost:{demo.http}/"
    words = [
        "--http1.0",
        "--header",
        "Connection: keep-alive",
        "--write-out",
        "%{num_connects}",
        "--output",
        "/dev/null",
    ]
    assert curl(demo, *words, url, "--output", "/dev/null", url) == "10"


def test_curl_asks_for_a_head_only(demo: Front) -> None:
    text = curl(demo, "--head", f"https://localhost:{demo.https}/", f"https://localhost:{demo.https}/bytes?n=5")
    assert text.count("HTTP/1.1 200 OK") == 2
    assert "Content-Length: 5" in text


def test_curl_waits_to_be_told_to_go_on(demo: Front) -> None:
    words = ["--header", "Expect: 100-continue", "--data", "hello", "--verbose"]
    command = ["curl", "--silent", *words, f"http://localhost:{demo.http}/"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert "HTTP/1.1 100 Continue" in ended.stderr
    assert json.loads(ended.stdout)["body"]["sha256"] == hashlib.sha256(b"hello").hexdigest()


def test_a_hundred_megabytes_in_chunks_arrive_through_every_instance_and_the_proxy_stays_small(demo: Front) -> None:
    piece, pieces = bytes(range(256)) * 4096, 100
    digest = hashlib.sha256()
    for _ in range(pieces):
        digest.update(piece)
    proxy = demo.pinfold.find("pinfold-proxy").pid
    before, served = rss(proxy), set()
    with Connection(demo.secure, deadline=60) as connection:
        while len(served) < 4:
            report = connection.fetch(method="PUT", body=(piece for _ in range(pieces))).json
            assert report["body"] == {"bytes": pieces * len(piece), "sha256": digest.hexdigest()}
            served.add(report["instance"])
    assert peak_rss(proxy) - before < 16 * 1024 * 1024
