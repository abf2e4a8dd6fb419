"""What the executables say of themselves is what Python knows, and what the specification lists."""

import json
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, get_args

import pytest

from pinfold import __version__
from pinfold.base.messages import PROTOCOL, Message
from pinfold.proxy import wire as proxy
from pinfold.supervise import wire as shim

SCRIPTS = Path(sysconfig.get_path("scripts"))
SPECIFICATION = Path(__file__).parents[2] / "protocol" / "PROTOCOL.md"
MANUAL = Path(__file__).parents[2] / "docs" / "http.md"
SETS: dict[str, tuple[type[Message], ...]] = {
    "to_proxy": get_args(proxy.ToProxy),
    "from_proxy": get_args(proxy.FromProxy),
    "to_proxy_link": (proxy.Sockets,),
    "to_shim": get_args(shim.ToShim),
    "from_shim": get_args(shim.FromShim),
}


def describe(name: str) -> Any:  # noqa: ANN401 - what the executable says is judged by the tests
    told = subprocess.run([str(SCRIPTS / name), "--describe"], capture_output=True, check=True, timeout=10)
    return json.loads(told.stdout)


@pytest.mark.parametrize("name", ["pinfold-proxy", "pinfold-shim"])
def test_both_sides_know_the_same_messages(name: str) -> None:
    told = describe(name)
    assert (told["protocol"], told["version"]) == (PROTOCOL, __version__)
    known = {kind: [message.model_fields["type"].default for message in SETS[kind]] for kind in told["messages"]}
    assert told["messages"] == known


def test_the_specification_lists_every_message() -> None:
    first_cells = re.findall(r"^\| ([^|]+) \|", SPECIFICATION.read_text(), re.MULTILINE)
    listed = set(re.findall(r"`([a-z_]+)`", "\n".join(first_cells)))
    spoken = {message.model_fields["type"].default for messages in SETS.values() for message in messages}
    assert listed == spoken


def test_every_cause_has_a_side_and_a_status() -> None:
    causes = describe("pinfold-proxy")["causes"]
    assert len({cause["word"] for cause in causes}) == len(causes) > 20
    for cause in causes:
        assert cause["side"] in ("client", "endpoint", "proxy")
        assert cause["status"] == 0 or 400 <= cause["status"] <= 599


def test_the_manual_lists_every_cause_with_its_status() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) \|", MANUAL.read_text(encoding="utf-8"), re.MULTILINE)
    causes = describe("pinfold-proxy")["causes"]
    assert dict(rows) == {cause["word"]: str(cause["status"]) for cause in causes}
