"""A small HTTP/1.1 program that answers who it is and what it saw. Standard library only.

`python -m pinfold.demo.program --socket PATH | --port N`, one thread a connection. It owns its socket and nothing
else, and must not import the rest of pinfold: it stands for any program an operator runs. Paths: see `answers`.
"""

import argparse
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from io import BufferedReader
from typing import Final

from pinfold.demo.answers import answer
from pinfold.demo.request import MalformedRequestError, read_request

__all__ = ["main"]

BACKLOG: Final = 1024
"""Connections the kernel holds for us."""
IDLE_SECONDS: Final = 300.0
"""A connection on which nothing moves for so long is closed."""
REFUSAL: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def bind(path: str | None, port: int, host: str) -> socket.socket:
    """A listening socket on the unix socket `path`, or on `host`:`port` when there is no path.

    Raises:
        OSError: the address is taken or may not be used.
    """
    if path is None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    else:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        _remove_stale(path)
        listener.bind(path)
    listener.listen(BACKLOG)
    return listener


def _remove_stale(path: str) -> None:
    """Remove the socket a dead predecessor left; one that still answers is left alone and bind() will say so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except FileNotFoundError:
            return


def converse(peer: socket.socket) -> None:
    """Answer the requests of one connection until either side ends it."""
    peer.settimeout(IDLE_SECONDS)
    if peer.family == socket.AF_INET:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with peer, peer.makefile("rb") as reader:
        try:
            _converse(reader, peer.sendall)
        except MalformedRequestError as error:
            sys.stderr.write(f"refused: {error}\n")
            with contextlib.suppress(OSError):
                peer.sendall(REFUSAL)
        except OSError:
            return  # the peer has gone, which is its right


def _converse(reader: BufferedReader, send: Callable[[bytes], None]) -> None:
    while (request := read_request(reader, send)) is not None:
        for piece in answer(request):
            send(piece)
        if not request.keep_alive:
            return


def main(words: list[str] | None = None) -> None:
    """Read the command line, wait `BOOT_DELAY` seconds, listen, and answer until TERM or INT (exit 0)."""
    parser = argparse.ArgumentParser(prog="python -m pinfold.demo.program", description="A small HTTP program.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", metavar="PATH", help="listen on this unix socket")
    where.add_argument("--port", type=int, metavar="N", help="listen on this TCP port")
    parser.add_argument("--host", default="127.0.0.1", help="address of the TCP port (default: %(default)s)")
    chosen = parser.parse_args(words)
    for number in (signal.SIGTERM, signal.SIGINT):
        # os._exit: threads that are in the middle of an answer must not hold the end up.
        signal.signal(number, lambda *_: os._exit(0))
    time.sleep(float(os.environ.get("BOOT_DELAY", "0")))
    try:
        listener = bind(chosen.socket, chosen.port, chosen.host)
    except OSError as error:
        sys.exit(f"cannot listen on {chosen.socket or chosen.port}: {error}")
    sys.stderr.write(f"{os.environ.get('PINFOLD_INSTANCE', 'demo')}: listening on {chosen.socket or chosen.port}\n")
    while True:
        try:
            peer, _ = listener.accept()
            threading.Thread(target=converse, args=(peer,), daemon=True).start()
        except (OSError, RuntimeError) as error:  # out of descriptors or threads: some will come free
            sys.stderr.write(f"cannot take a connection: {error}\n")
            time.sleep(0.05)


if __name__ == "__main__":
    main()
