"""Messages between the daemon and the proxy (protocol/PROTOCOL.md; the Rust side is `dataplane/wire`).

Pure. Durations are whole milliseconds (`_ms`), sizes bytes; nothing else in Python knows these shapes.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from pinfold.base.messages import Message, ProblemReport

__all__ = [
    "Applied",
    "Apply",
    "Certificate",
    "Drained",
    "Ejection",
    "Endpoint",
    "EndpointStats",
    "Forward",
    "FromProxy",
    "Hash",
    "HashByAddress",
    "HashByCookie",
    "HashByHeader",
    "Hello",
    "LeastRequests",
    "Listener",
    "ListenerLimits",
    "ListenerStats",
    "ListenerTimeouts",
    "Match",
    "Pool",
    "PoolStats",
    "PoolTimeouts",
    "ProxyHello",
    "Queue",
    "Rejected",
    "Retry",
    "RoundRobin",
    "Route",
    "Snapshot",
    "Sockets",
    "Stats",
    "StatsQuery",
    "Stop",
    "Tls",
    "ToProxy",
    "TwoRandom",
    "decode_from_proxy",
    "decode_to_proxy",
    "decode_to_proxy_link",
]


class Tls(Message):
    """The TLS side of a listener: names of certificates, the first of which is the default."""

    certificates: tuple[str, ...]


class ListenerTimeouts(Message):
    """Deadlines towards a client."""

    head_ms: int
    idle_ms: int
    body_ms: int
    total_ms: int


class ListenerLimits(Message):
    """Bounds towards a client; 0 means no bound, but for the first three."""

    head_bytes: int
    headers: int
    target_bytes: int
    body_bytes: int
    body_rate: int
    connections: int
    connections_per_client: int


class Listener(Message):
    """One listener, at one or more addresses."""

    name: str
    addresses: tuple[str, ...]
    tls: Tls | None
    methods: tuple[str, ...]
    timeouts: ListenerTimeouts
    limits: ListenerLimits
    trusted_proxies: tuple[str, ...]
    proxy_protocol: Literal["accept", "off"]
    forwarded: Literal["both", "none", "rfc7239", "x-forwarded"]


class Certificate(Message):
    """A chain with its private key."""

    name: str
    server_names: tuple[str, ...]
    chain_pem: str
    key_pem: str = Field(repr=False)


class Endpoint(Message):
    """One address in a pool."""

    name: str
    address: str
    weight: int
    mode: Literal["drain", "ready"]
    spare: bool


class PoolTimeouts(Message):
    """Deadlines towards an endpoint."""

    connect_ms: int
    first_byte_ms: int
    silence_ms: int


class HashByAddress(Message):
    """A hash of the address of the client."""

    type: Literal["address"] = "address"


class HashByCookie(Message):
    """A hash of a cookie."""

    type: Literal["cookie"] = "cookie"
    name: str


class HashByHeader(Message):
    """A hash of a header field."""

    type: Literal["header"] = "header"
    name: str


HashKey = Annotated[HashByAddress | HashByCookie | HashByHeader, Field(discriminator="type")]


class Hash(Message):
    """By a hash, consistent when endpoints come and go."""

    type: Literal["hash"] = "hash"
    by: HashKey


class LeastRequests(Message):
    """The fewest requests in flight for its weight."""

    type: Literal["least-requests"] = "least-requests"


class RoundRobin(Message):
    """In turn, by weight."""

    type: Literal["round-robin"] = "round-robin"


class TwoRandom(Message):
    """The better of two drawn at random."""

    type: Literal["two-random"] = "two-random"


Balance = Annotated[Hash | LeastRequests | RoundRobin | TwoRandom, Field(discriminator="type")]


class Queue(Message):
    """Requests that wait for an endpoint."""

    length: int
    timeout_ms: int


class Retry(Message):
    """When a request may be sent again."""

    budget_percent: int
    replay_bytes: int


class Ejection(Message):
    """When traffic sets an endpoint aside."""

    failures: int
    latency_factor: int
    base_ms: int


class Pool(Message):
    """Interchangeable endpoints."""

    name: str
    balance: Balance
    timeouts: PoolTimeouts
    concurrency: int
    queue: Queue
    retry: Retry
    ejection: Ejection
    slow_start_ms: int
    affinity: str | None
    send_proxy: Literal["off", "v1", "v2"]
    endpoints: tuple[Endpoint, ...]


class Match(Message):
    """Conditions of a route, all of which must hold; an empty one holds always."""

    hosts: tuple[str, ...]
    paths: tuple[str, ...]


class Forward(Message):
    """The action that sends a request to a pool."""

    type: Literal["forward"] = "forward"
    pool: str


class Route(Message):
    """Which requests, and what to do with them."""

    listeners: tuple[str, ...]
    match: Match
    action: Forward
    trailers: bool


class Snapshot(Message):
    """Everything the proxy serves, at one generation."""

    listeners: tuple[Listener, ...]
    certificates: tuple[Certificate, ...]
    pools: tuple[Pool, ...]
    routes: tuple[Route, ...]
    access_log: Literal["json", "off"]


class Hello(Message):
    """First message of the connection."""

    type: Literal["hello"] = "hello"
    protocol: int
    version: str


class Apply(Message):
    """Put a snapshot in force."""

    type: Literal["apply"] = "apply"
    generation: int
    snapshot: Snapshot


class StatsQuery(Message):
    """Tell the counters."""

    type: Literal["stats"] = "stats"
    serial: int


class Stop(Message):
    """Accept no more, let requests in flight end, then exit."""

    type: Literal["stop"] = "stop"
    timeout_ms: int


class ProxyHello(Message):
    """Answer to `hello`."""

    type: Literal["hello"] = "hello"
    protocol: int
    version: str
    pid: int
    threads: int
    generation: int


class Applied(Message):
    """The snapshot of this generation is in force on every core."""

    type: Literal["applied"] = "applied"
    generation: int


class Rejected(Message):
    """The snapshot of this generation is refused as a whole."""

    type: Literal["rejected"] = "rejected"
    generation: int
    problems: tuple[ProblemReport, ...]


class Drained(Message):
    """A draining endpoint has no request in flight and no connection left."""

    type: Literal["drained"] = "drained"
    pool: str
    address: str


class ListenerStats(Message):
    """Counters of one listener since the proxy started."""

    name: str
    connections: int
    accepted: int
    refused: int
    requests: int
    handshake_failures: int


class EndpointStats(Message):
    """Counters of one endpoint, kept as long as its address stays in the pool."""

    name: str
    address: str
    requests: int
    errors: int
    server_errors: int
    in_flight: int
    tunnels: int
    connects: int
    connections: int
    ejected: bool
    ejections: int
    latency_us: int


class PoolStats(Message):
    """Counters of one pool."""

    name: str
    unavailable: int
    queued: int
    overflowed: int
    retries: int
    retries_denied: int
    endpoints: tuple[EndpointStats, ...]


class Stats(Message):
    """Answer to `stats`."""

    type: Literal["stats"] = "stats"
    serial: int
    generation: int
    listeners: tuple[ListenerStats, ...]
    pools: tuple[PoolStats, ...]
    access_log_dropped: int


class Sockets(Message):
    """From the shim to the proxy on its link: the listening sockets of one address."""

    type: Literal["sockets"] = "sockets"
    address: str
    count: int


ToProxy = Hello | Apply | StatsQuery | Stop
FromProxy = ProxyHello | Applied | Rejected | Drained | Stats

_TO_PROXY: TypeAdapter[ToProxy] = TypeAdapter(Annotated[ToProxy, Field(discriminator="type")])
_FROM_PROXY: TypeAdapter[FromProxy] = TypeAdapter(Annotated[FromProxy, Field(discriminator="type")])
_TO_PROXY_LINK: TypeAdapter[Sockets] = TypeAdapter(Sockets)


def decode_to_proxy(json_bytes: bytes) -> ToProxy:
    """The message in the JSON of a frame; ValueError (pydantic) for anything else."""
    return _TO_PROXY.validate_json(json_bytes)


def decode_from_proxy(json_bytes: bytes) -> FromProxy:
    """The message in the JSON of a frame; ValueError (pydantic) for anything else."""
    return _FROM_PROXY.validate_json(json_bytes)


def decode_to_proxy_link(json_bytes: bytes) -> Sockets:
    """The message in a datagram of the link; ValueError (pydantic) for anything else."""
    return _TO_PROXY_LINK.validate_json(json_bytes)
