"""Each message of the seam decodes and encodes to the bytes of its vector; the Rust side does the same."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from pinfold.base.messages import Message
from pinfold.proxy import wire as proxy
from pinfold.supervise import wire as shim

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "v1"
SETS: dict[str, tuple[Callable[[bytes], Message], tuple[type[Message], ...]]] = {
    "to_proxy": (proxy.decode_to_proxy, get_args(proxy.ToProxy)),
    "from_proxy": (proxy.decode_from_proxy, get_args(proxy.FromProxy)),
    "to_proxy_link": (proxy.decode_to_proxy_link, (proxy.Sockets,)),
    "to_shim": (shim.decode_to_shim, get_args(shim.ToShim)),
    "from_shim": (shim.decode_from_shim, get_args(shim.FromShim)),
}


@pytest.mark.parametrize("name", SETS)
def test_every_message_agrees_with_its_vector(name: str) -> None:
    decode, messages = SETS[name]
    names = {message.model_fields["type"].default for message in messages}
    found = {path.stem: path for path in (VECTORS / name).glob("*.json")}
    assert set(found) == names
    for path in found.values():
        json = path.read_bytes().removesuffix(b"\n")
        assert decode(json).encode() == json


@pytest.mark.parametrize("name", SETS)
def test_an_unknown_field_is_refused(name: str) -> None:
    decode, _ = SETS[name]
    for path in (VECTORS / name).glob("*.json"):
        with pytest.raises(ValueError, match="surprise"):
            decode(path.read_bytes().replace(b"{", b'{"surprise":1,', 1))


def test_a_private_key_is_not_in_the_text_of_a_message() -> None:
    apply = proxy.decode_to_proxy((VECTORS / "to_proxy" / "apply.json").read_bytes())
    assert "PRIVATE KEY" not in repr(apply)
