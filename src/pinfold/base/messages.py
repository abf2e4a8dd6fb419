"""What every message of the seam shares: strict, frozen, encoded in the order of its fields.

Each message must decode and encode to the same bytes on both sides; `protocol/vectors` holds them to it.
"""

from typing import Final

from pydantic import BaseModel, ConfigDict

from pinfold import __version__

PROTOCOL: Final = 1

__all__ = ["PROTOCOL", "Message", "ProblemReport", "VersionMismatchError", "demand_same_version"]


class Message(BaseModel):
    """A message, or a part of one: unknown fields are errors, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def encode(self) -> bytes:
        """The message as compact JSON, fields in the order of their definition."""
        return self.model_dump_json().encode()


class ProblemReport(Message):
    """A fault as the Rust side tells it."""

    place: str
    what: str
    errno: int | None


class VersionMismatchError(Exception):
    """The peer was built from another version; one repository, one version."""


def demand_same_version(peer: str, protocol: int, version: str) -> None:
    """Refuse a peer of another build.

    Raises:
        VersionMismatchError: naming both versions and the mend.
    """
    if (protocol, version) != (PROTOCOL, __version__):
        raise VersionMismatchError(
            f"{peer} is version {version} (protocol {protocol}), this daemon is {__version__} (protocol {PROTOCOL}); "
            f"stop the old pinfold, then start this one"
        )
