"""Units, addresses, templates and the model of the config."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pinfold.base.address import TcpAddress, UnixAddress, parse_address
from pinfold.base.frames import FrameError, decode_header, encode_frame
from pinfold.base.units import parse_duration, parse_size
from pinfold.config.model import AutoPort, Config, FixedPorts, SocketPort
from pinfold.config.template import expand, placeholders


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("1m30s", 90), ("2h", 7200), ("1d", 86400)])
def test_durations_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_bare_number_is_no_duration_and_the_mend_is_named() -> None:
    with pytest.raises(ValueError, match='write "10s"'):
        parse_duration(10)


@pytest.mark.parametrize(("text", "size"), [("32k", 32768), ("1g", 2**30), ("512MB", 512 * 2**20), (7, 7)])
def test_sizes_are_powers_of_1024(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["0.0.0.0:80", "[::1]:443", "unix:/run/x.sock"])
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_address(text)) == text


def test_short_addresses_stand_for_all_of_ipv4() -> None:
    assert parse_address(":80") == parse_address("*:80") == TcpAddress("0.0.0.0", 80)


@pytest.mark.parametrize(
    "text", ["80", "host:80", "::1:80", "1.2.3.4:0", "1.2.3.4:70000", "unix:x", "unix:/" + "x" * 108, 5]
)
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"address|socket|bracket"):
        parse_address(text)


def test_the_longest_socket_path_is_taken() -> None:
    assert isinstance(parse_address("unix:/" + "x" * 106), UnixAddress)


@given(st.text())
def test_a_template_without_placeholders_is_only_unescaped(text: str) -> None:
    if "{" not in text and "}" not in text:
        assert expand(text, {"port": "1"}) == text


def test_placeholders_are_found_and_replaced() -> None:
    text = "--port={port.ec2} --name={instance} {{x}}"
    assert placeholders(text) == ("port.ec2", "instance")
    assert expand(text, {"port.ec2": "8781", "instance": "a.1"}) == "--port=8781 --name=a.1 {x}"


@given(st.binary(max_size=200))
def test_a_frame_says_how_long_it_is(body: bytes) -> None:
    frame = encode_frame(body)
    assert decode_header(frame[:4]) == len(body) == len(frame) - 4


def test_a_frame_past_the_bound_is_refused() -> None:
    with pytest.raises(FrameError):
        decode_header(b"\xff\xff\xff\xff")


def _config(**program: object) -> Config:
    table = {"command": "run", "working_directory": "/", **program}
    return Config.model_validate({"listeners": {"web": {"bind": ":8080"}}, "programs": {"app": table}})


def test_the_command_tells_which_kind_of_port_a_program_wants() -> None:
    assert _config(command="run {socket}").programs["app"].ports == {"http": SocketPort()}
    assert _config(command="run {port}").programs["app"].ports == {"http": AutoPort()}
    assert _config().programs["app"].ports == {"http": AutoPort()}


def test_a_number_is_the_first_port_of_a_run() -> None:
    assert _config(instances=3, ports={"ec2": 8781}).programs["app"].ports == {"ec2": FixedPorts((8781, 8782, 8783))}


def test_a_list_of_ports_must_fit_the_instances() -> None:
    with pytest.raises(ValidationError, match="3 instances need 3 different ports"):
        _config(instances=3, ports={"ec2": [1, 2]})


def test_a_single_pool_needs_no_route() -> None:
    assert [route.pool for route in _config().resolved_routes] == ["app"]


def test_a_program_with_one_port_is_a_pool_with_and_without_the_port() -> None:
    config = _config(ports={"ec2": 8781})
    assert config.resolve_pool("app") == config.resolve_pool("app.ec2") == "app"


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        _config(comand="x")
