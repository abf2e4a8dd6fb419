"""Frames of the seam: a 4-byte big-endian length, then that many bytes of JSON (protocol/PROTOCOL.md).

Pure: whoever owns the socket reads and writes. The Rust counterpart is `dataplane/wire/src/frame.rs`.
"""

from typing import Final

HEADER_BYTES: Final = 4
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024

__all__ = ["HEADER_BYTES", "MAX_FRAME_BYTES", "FrameError", "decode_header", "encode_frame"]


class FrameError(Exception):
    """The peer sent bytes that are no frame, or a message does not fit one."""


def encode_frame(json_bytes: bytes) -> bytes:
    """A whole frame around the JSON of one message.

    Raises:
        FrameError: the message is larger than `MAX_FRAME_BYTES`.
    """
    if len(json_bytes) > MAX_FRAME_BYTES:
        raise FrameError(f"a message of {len(json_bytes)} bytes; the most is {MAX_FRAME_BYTES}")
    return len(json_bytes).to_bytes(HEADER_BYTES, "big") + json_bytes


def decode_header(header: bytes) -> int:
    """The number of bytes that follow a header of `HEADER_BYTES` bytes.

    Raises:
        FrameError: the header announces more than `MAX_FRAME_BYTES`.
    """
    length = int.from_bytes(header, "big")
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes; the most is {MAX_FRAME_BYTES}")
    return length
