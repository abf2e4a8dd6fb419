"""Messages that two parsers could read differently, by what is wrong with them; and how such messages are written."""

from dataclasses import dataclass

from support.endpoints import OK

__all__ = [
    "BAD_ANSWERS",
    "BAD_CHUNKS",
    "CUT_ANSWERS",
    "LAST",
    "ODD_ANSWERS",
    "REFUSED",
    "SMUGGLED",
    "Said",
    "ask",
    "reply",
]

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"0\r\n\r\n"


def ask(*lines: str, line: str = "POST / HTTP/1.1", host: str | None = "a") -> bytes:
    """A request head with these lines behind `Host`."""
    own = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([line, *own, *lines, "", ""]).encode("latin-1")


def chunked(*more: str) -> bytes:
    """A request with these lines and no payload, in chunks."""
    return ask(*more) + LAST


REFUSED: dict[str, tuple[int, bytes]] = {
    # How long the body is.
    "cl and te": (400, ask("Content-Length: 6", "Transfer-Encoding: chunked") + LAST + b"G"),
    "te and cl": (
        400,
        ask("Transfer-Encoding: chunked", "Content-Length: 4") + b"24\r\n" + SMUGGLED + b"\r\n0\r\n\r\n",
    ),
    "cl and te of another case": (400, ask("content-length: 4", "tRANSFER-eNCODING: chunked") + LAST),
    "cl twice": (400, ask("Content-Length: 0", "Content-Length: 44")),
    "cl twice the same": (400, ask("Content-Length: 3", "content-length: 3") + b"abc"),
    "cl as a list": (400, ask("Content-Length: 3, 3") + b"abc"),
    "cl with a sign": (400, ask("Content-Length: +3") + b"abc"),
    "cl below zero": (400, ask("Content-Length: -3") + b"abc"),
    "cl in hexadecimal": (400, ask("Content-Length: 0x3") + b"abc"),
    "cl with an underscore": (400, ask("Content-Length: 1_0") + b"x" * 10),
    "cl with a space inside": (400, ask("Content-Length: 3 3") + b"abc"),
    "cl that is empty": (400, ask("Content-Length:")),
    "cl of blanks": (400, ask("Content-Length: \t ")),
    "cl past 64 bits": (400, ask("Content-Length: 18446744073709551616")),
    "cl of full width digits": (400, ask("Content-Length: \xef\xbc\x93")),
    "te with a vertical tab": (400, chunked("Transfer-Encoding: \x0bchunked")),
    "te with a form feed": (400, chunked("Transfer-Encoding: chunked\x0c")),
    "te in quotes": (400, chunked('Transfer-Encoding: "chunked"')),
    "te in single quotes": (400, chunked("Transfer-Encoding: 'chunked'")),
    "te twice": (400, chunked("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
    "te twice, one of them none": (400, chunked("Transfer-Encoding: chunked", "Transfer-Encoding: identity")),
    "te none, then chunked": (400, chunked("Transfer-Encoding: cow", "Transfer-Encoding: chunked")),
    "te as a list": (400, chunked("Transfer-Encoding: identity, chunked")),
    "te with a comma": (400, chunked("Transfer-Encoding: chunked,")),
    "te with a comma before": (400, chunked("Transfer-Encoding: ,chunked")),
    "te with a parameter": (400, chunked("Transfer-Encoding: chunked;a=b")),
    "te with a letter too many": (400, chunked("Transfer-Encoding: xchunked")),
    "te that is empty": (400, chunked("Transfer-Encoding:")),
    "te folded": (400, chunked("Transfer-Encoding:", " chunked")),
    "te behind a bare LF": (400, chunked("X: a\nTransfer-Encoding: chunked")),
    "te behind a bare CR": (400, chunked("X: a\rTransfer-Encoding: chunked")),
    "te unknown": (501, ask("Transfer-Encoding: cow") + LAST),
    "te gzip": (501, ask("Transfer-Encoding: gzip") + LAST),
    "te identity": (501, ask("Transfer-Encoding: identity")),
    "te on HTTP/1.0": (400, ask("Transfer-Encoding: chunked", line="POST / HTTP/1.0") + LAST),
    # Fields.
    "field with a space before the colon": (400, chunked("Transfer-Encoding : chunked")),
    "field with a tab before the colon": (400, ask("Content-Length\t: 5") + b"hello"),
    "field without a name": (400, ask(": chunked")),
    "field without a colon": (400, ask("Transfer-Encoding chunked")),
    "field with a space in its name": (400, ask("Content Length: 5")),
    "field with a control in its name": (400, ask("Transfer\x01Encoding: chunked")),
    "field with a NUL in its name": (400, ask("Content-Length\0: 5")),
    "field with a raw byte in its name": (400, ask("Transfer-Encoding\xff: chunked")),
    "field with a NUL in its value": (400, ask("X: a\0b")),
    "field with DEL in its value": (400, ask("X: a\x7fb")),
    "field with a control in its value": (400, ask("X: a\x08b")),
    "field folded by a space": (400, ask("X: a", " Content-Length: 5")),
    "field folded by a tab": (400, ask("X: a", "\tContent-Length: 5")),
    "field before Host, folded": (400, b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n"),
    # Line ends.
    "line ends of bare LF": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "line end of the first line a bare LF": (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "line end of the head a bare LF": (400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    "line end with two CR": (400, b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    # Whose request it is.
    "host missing": (400, ask(host=None)),
    "host twice": (400, ask("Host: a")),
    "host twice in two spellings": (400, ask("hOST: b")),
    "host empty": (400, ask(host="")),
    "host with a path": (400, ask(host="a/b")),
    "host with userinfo": (400, ask(host="a@b")),
    "host as a list": (400, ask(host="a,b c")),
    "host with a space": (400, ask(host="a b")),
    "host with a bad port": (400, ask(host="a:b")),
    "host with a backslash": (400, ask(host="a\\b")),
    "host with a fragment": (400, ask(host="a#b")),
    "host with a raw byte": (400, ask(host="\xe4")),
    "host other than that of the target": (400, ask(line="GET http://b/ HTTP/1.1")),
    "host other in its port": (400, ask(line="GET http://a:81/ HTTP/1.1")),
    "host hidden by userinfo in the target": (400, ask(line="GET http://a@b/ HTTP/1.1")),
    # Targets, methods, versions, limits.
    "target with a fragment": (400, ask(line="GET /a#b HTTP/1.1")),
    "target with a space": (400, ask(line="GET /a HTTP/1.1 HTTP/1.1")),
    "target with a tab": (400, ask(line="GET /a\tb HTTP/1.1")),
    "target with a NUL": (400, ask(line="GET /a\0b HTTP/1.1")),
    "target with a raw byte": (400, ask(line="GET /\xff HTTP/1.1")),
    "target without a slash": (400, ask(line="GET a HTTP/1.1")),
    "target of another scheme": (400, ask(line="GET file:///etc/passwd HTTP/1.1")),
    "target missing": (400, ask(line="GET  HTTP/1.1")),
    "target of CONNECT": (501, ask(line="CONNECT a:22 HTTP/1.1")),
    "method with a control": (400, ask(line="GE\x01T / HTTP/1.1")),
    "method behind a space": (400, ask(line=" GET / HTTP/1.1")),
    "version of 0.9": (400, b"GET /\r\n\r\n"),
    "version of 2": (505, ask(line="GET / HTTP/2.0")),
    "version of 1.2": (505, ask(line="GET / HTTP/1.2")),
    "version of 1.10": (400, ask(line="GET / HTTP/1.10")),
    "version in lower case": (400, ask(line="GET / http/1.1")),
    "version with a tab before it": (400, ask(line="GET /\tHTTP/1.1")),
    "preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "greeting of TLS": (400, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"),
    "limit of fields": (431, ask(*(f"X-{number}: 1" for number in range(101)))),
    "limit of the head": (431, ask(*(f"X-{number}: {'x' * 1000}" for number in range(33)))),
    "limit of the target": (414, ask(line=f"GET /{'x' * 17_000} HTTP/1.1")),
    "limit of target and head": (431, ask(line=f"GET /{'x' * 40_000} HTTP/1.1")),
}

BAD_CHUNKS = {
    "a size past 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size below zero": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size behind a space": b" 5\r\nhello\r\n0\r\n\r\n",
    "a size before a space": b"5 \r\nhello\r\n0\r\n\r\n",
    "a size before a tab": b"5\t;x\r\nhello\r\n0\r\n\r\n",
    "a size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "a size that is empty": b";x\r\nhello\r\n0\r\n\r\n",
    "a size that ends in LF": b"5\nhello\r\n0\r\n\r\n",
    "an extension that ends in LF": b"5;\nhello\r\n0\r\n\r\n",
    "an extension with LF inside": b"2;\n\r\nxx\r\n42\r\n" + SMUGGLED + b"\r\n0\r\n\r\n",
    "an extension with CR inside": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an extension with NUL": b"5;\0\r\nhello\r\n0\r\n\r\n",
    "an extension without end": b"5;" + b"x" * 20_000,
    "a chunk that is too long": b"4\r\nhello\r\n0\r\n\r\n",
    "a chunk that ends in LF": b"5\r\nhello\n0\r\n\r\n",
    "a chunk that ends in two other bytes": b"5\r\nhelloXX0\r\n\r\n",
    "a last chunk that ends in LF": b"0\n\n",
    "a trailer that ends in LF": b"0\r\nX: y\n\r\n",
    "a trailer that is folded": b"0\r\nX: y\r\n z\r\n\r\n",
}


@dataclass(frozen=True)
class Said:
    """What an endpoint says, whether it then closes, what the client must get, and how it asks."""

    raw: bytes
    status: int
    closes: bool = False
    method: str = "GET"


def reply(*lines: str, line: str = "HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    """An answer with these lines, framed by nothing else."""
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1") + body


EVIL = reply("Content-Length: 4", body=b"evil")
BAD_ANSWERS = {
    "length and chunks": Said(reply("Content-Length: 4", "Transfer-Encoding: chunked", body=LAST + EVIL), 502),
    "two lengths": Said(reply("Content-Length: 0", "Content-Length: 60", body=EVIL), 502),
    "a list of lengths": Said(reply("Content-Length: 0, 60", body=EVIL), 502),
    "a signed length": Said(reply("Content-Length: +4", body=b"evil"), 502),
    "a length past 64 bits": Said(reply("Content-Length: 18446744073709551616"), 502),
    "chunked with a vertical tab": Said(reply("Transfer-Encoding: \x0bchunked", body=LAST), 502),
    "chunked twice": Said(reply("Transfer-Encoding: chunked, chunked", body=LAST), 502),
    "an unknown coding": Said(reply("Transfer-Encoding: cow", body=LAST), 502),
    "chunked on HTTP/1.0": Said(reply("Transfer-Encoding: chunked", line="HTTP/1.0 200 OK", body=LAST), 502),
    "a split by CR": Said(reply("X: a\rSet-Cookie: evil=1", "Content-Length: 0"), 502),
    "a split by LF": Said(reply("X: a\nSet-Cookie: evil=1", "Content-Length: 0"), 502),
    "a split in the reason": Said(reply("Content-Length: 0", line="HTTP/1.1 200 O\rSet-Cookie: evil=1"), 502),
    "a NUL in a value": Said(reply("X: a\0b", "Content-Length: 0"), 502),
    "a fold": Said(reply("X: a", " evil", "Content-Length: 0"), 502),
    "a space before the colon": Said(reply("Content-Length : 4", body=b"evil"), 502),
    "a field without name": Said(reply(": x", "Content-Length: 0"), 502),
    "lines that end in LF": Said(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n", 502),
    "a line before the status": Said(b"\r\n" + reply("Content-Length: 0"), 502),
    "no HTTP": Said(b"SSH-2.0-OpenSSH\r\n\r\n", 502),
    "HTTP/2": Said(reply("Content-Length: 0", line="HTTP/2.0 200 OK"), 502),
    "a status of two digits": Said(reply("Content-Length: 0", line="HTTP/1.1 20 OK"), 502),
    "a status below 100": Said(reply("Content-Length: 0", line="HTTP/1.1 099 OK"), 502),
    "interim answers without end": Said(reply(line="HTTP/1.1 103 Early Hints") * 1000, 502),
    "a switch that nobody asked for": Said(
        reply("Connection: Upgrade", "Upgrade: x", line="HTTP/1.1 101 Switching Protocols", body=EVIL), 502
    ),
    "a head that ends": Said(b"HTTP/1.1 200 OK\r\nContent-Le", 502, closes=True, method="POST"),
    "a head that is too large": Said(reply(*(f"X-{n}: {'x' * 1000}" for n in range(80)), "Content-Length: 0"), 502),
}
ODD_ANSWERS = {
    "bytes behind the answer": Said(OK + b"x", 200),
    "an answer behind the answer": Said(OK + EVIL, 200),
    "an answer behind the last chunk": Said(
        reply("Transfer-Encoding: chunked", body=b"2\r\nok\r\n" + LAST + EVIL), 200
    ),
    "a body behind 204": Said(reply(line="HTTP/1.1 204 No Content", body=EVIL), 204),
    "a body behind 304": Said(reply("Content-Length: 4", line="HTTP/1.1 304 Not Modified", body=EVIL), 304),
    "a body behind the answer to HEAD": Said(EVIL + EVIL, 200, method="HEAD"),
    "a body until the end": Said(reply(body=b"ok"), 200, closes=True),
    "an answer of HTTP/1.0": Said(reply(line="HTTP/1.0 200 OK", body=b"ok"), 200, closes=True),
}
CUT_ANSWERS = {
    "a body that ends": reply("Content-Length: 10", body=b"short"),
    "chunks that end": reply("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
    "a chunk that ends": reply("Transfer-Encoding: chunked", body=b"a\r\nhello"),
    "a last chunk that ends": reply("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n"),
    "a size that is none": reply("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n-1\r\n" + EVIL),
    "a size that overflows": reply("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n10000000000000000\r\n" + EVIL),
    "an extension that ends in LF": reply("Transfer-Encoding: chunked", body=b"5;\nhello\r\n0\r\n\r\n"),
}
