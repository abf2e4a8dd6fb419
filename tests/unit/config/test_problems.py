"""Every problem of a config at once, each at its place, with the mend."""

from pathlib import Path

import pytest

from pinfold.base.errors import ConfigError
from pinfold.config.read import load, parse

GOOD = """\
[listeners.web]
bind = ":8080"

[programs.app]
command = "run {socket}"
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(text, "p.toml", Path("/srv"))
    return [problem.render() for problem in raised.value.problems]


def test_a_good_config_is_read_with_paths_from_its_directory() -> None:
    config = parse(GOOD, "p.toml", Path("/srv")).config
    assert config.programs["app"].working_directory == Path("/srv")


def test_the_config_of_the_contract_is_read() -> None:
    text = """
[listeners.ec2]
bind = "0.0.0.0:8772"
tls  = { certificates = ["/etc/ssl/pound.crt-key"] }
[listeners.ec2-plain]
bind = "0.0.0.0:8773"
methods = ["GET", "POST", "HEAD"]
[programs.nova-api]
command   = "nova-api --ec2_listen_port={port.ec2} --osapi_listen_port={port.osapi}"
instances = 4
ports     = { ec2 = 8781, osapi = [8788, 8787, 8786, 8785] }
user      = "nova"
ready     = { http = "/", port = "ec2" }
[pools.images]
endpoints = ["10.0.0.5:9292", { address = "10.0.0.6:9292", weight = 2 }]
[[routes]]
listeners = ["ec2", "ec2-plain"]
pool      = "nova-api.ec2"
"""
    config = parse(text, "p.toml", Path("/srv")).config
    assert config.pool_names == ("nova-api.ec2", "nova-api.osapi", "images")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD + "comand = 1\n", 'p.toml:6:1: unknown key "comand"\n  hint: did you mean "command"?'),
        (GOOD + "stop = { signl = 'INT' }\n", 'p.toml:6:10: unknown key "signl"\n  hint: did you mean "signal"?'),
        (GOOD + "instances = 'four'\n", 'p.toml:6:1: instances: expected a whole number, found "four"'),
        (GOOD + "drain = 10\n", 'p.toml:6:1: drain: expected a duration such as "10s" or "1m30s", found 10'),
        (GOOD + "stop = { signal = 'WHAT' }\n", 'p.toml:6:10: signal: "WHAT" is no signal'),
        (GOOD.replace("{socket}", "{sokcet}"), "p.toml:5:1: {sokcet} stands for nothing here"),
        (GOOD.replace("{socket}", "{port.ec2}"), "p.toml:5:1: {port.ec2} stands for nothing here"),
        (GOOD.replace('":8080"', '"web:8080"'), 'p.toml:2:1: bind: "web" is not a numeric address'),
        (GOOD + "[[routes]]\npool = 'ap'\n", 'p.toml:7:1: there is no pool "ap"\n  hint: did you mean "app"?'),
        (GOOD + "[listeners.b]\nbind = '127.0.0.1:8080'\n", "p.toml:7:1: 127.0.0.1:8080 is the address of"),
        (GOOD + "ports = { http = 8080 }\n", "p.toml:6:11: 127.0.0.1:8080 is the address of listeners.web"),
        (GOOD + "[pools.b]\nendpoints = ['1.2.3.4:80']\n", "p.toml:1:2: there are 2 pools and no routes"),
        (GOOD + "[pools.app]\nendpoints = ['1.2.3.4:80']\n[[routes]]\npool = 'app'\n", '"app" is a program already'),
        ("[listeners.web]\nbind = ':80'\n", "p.toml:1:2: there is nothing to send requests to"),
        ("[listeners.web]\ntls = {}\n", 'p.toml:1:2: "bind" is missing'),
        ("a = \n", "p.toml:1:5: not valid TOML: Invalid value"),
    ],
)
def test_a_problem_is_told_where_it_stands(text: str, wanted: str) -> None:
    assert any(wanted in problem for problem in problems(text)), problems(text)


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    found = problems("[listeners.web]\nbnd = 1\n[programs.app]\ncommand = 'x'\ninstances = 'y'\ndrain = 3\n")
    assert [problem.split(":")[1] for problem in found] == ["1", "2", "5", "6"]


def test_a_missing_file_is_a_problem_and_no_traceback() -> None:
    with pytest.raises(ConfigError, match=r"cannot read /no/such\.toml: No such file"):
        load(Path("/no/such.toml"))
