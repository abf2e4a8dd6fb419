"""`[pools.NAME]` and `[programs.NAME.pool]`: interchangeable endpoints and how one is picked."""

from typing import Literal

from pydantic import Field, model_validator

from pinfold.config.fields import Duration, Model, OneAddress, Size, Token, Whole

__all__ = [
    "Affinity",
    "Balance",
    "Ejection",
    "HashKey",
    "Pool",
    "PoolEndpoint",
    "PoolSettings",
    "PoolTimeouts",
    "Queue",
    "Retry",
]

Balance = Literal["least-requests", "round-robin", "two-random", "hash"]


class PoolTimeouts(Model):
    """How long an endpoint may take."""

    connect: Duration = Field(2.0, description="To connect.")
    first_byte: Duration = Field(60.0, description="From the end of the request to the first byte of the answer.")
    silence: Duration = Field(60.0, description="Between two bytes of an answer or of an upgraded connection.")


class HashKey(Model):
    """What `hash` is taken of: the client's address if neither is given."""

    header: Token | None = Field(None, description="A header field.")
    cookie: Token | None = Field(None, description="A cookie.")

    @model_validator(mode="after")
    def _one_of_both(self) -> "HashKey":
        if self.header and self.cookie:
            raise ValueError("give either header or cookie")
        return self


class Queue(Model):
    """Requests that wait for an endpoint, where `concurrency` bounds those in flight."""

    length: Whole = Field(1000, ge=0, le=1_000_000, description="Most that wait; past it 503 at once.")
    timeout: Duration = Field(10.0, description="Longest wait; past it 503.")


class Retry(Model):
    """When a request is sent to a second endpoint."""

    budget: Whole = Field(20, ge=0, le=100, description="Retries for each hundred requests, beyond ten in ten seconds.")
    replay: Size = Field(65536, le=65536, description="Bytes of a body that are kept to be sent again.")


class Ejection(Model):
    """When traffic sets an endpoint aside; never more than half of a pool."""

    failures: Whole = Field(5, ge=0, le=1000, description="Failures in a row (no answer, or 502, 503, 504), 0: never.")
    latency_factor: Whole = Field(
        0, ge=0, le=1000, description="Average latency as a multiple of the pool's median, 0: never."
    )
    base: Duration = Field(10.0, description="Until its first trial; doubled each time that fails.")


class Affinity(Model):
    """What keeps a client on its endpoint."""

    cookie: Token = Field(description="Name of a cookie that pinfold sets, and passes on untouched.")


class PoolSettings(Model):
    """How the instances of a program share requests."""

    balance: Balance = Field("least-requests", description="How an endpoint is picked.")
    hash: HashKey = Field(default_factory=HashKey, description="What the balance `hash` is taken of.")
    timeouts: PoolTimeouts = Field(default_factory=PoolTimeouts, description="How long an endpoint may take.")
    concurrency: Whole = Field(
        0, ge=0, le=100_000, description="Requests in flight to one endpoint, 0: no bound; the rest waits in one queue."
    )
    queue: Queue = Field(default_factory=Queue, description="That queue.")
    retry: Retry = Field(default_factory=Retry, description="When a request is sent to a second endpoint.")
    ejection: Ejection = Field(default_factory=Ejection, description="When traffic sets an endpoint aside.")
    slow_start: Duration = Field(
        0.0, description="Time over which a new endpoint gets its share, from a tenth on; not for hash. 0: at once."
    )
    affinity: Affinity | None = Field(None, description="What keeps a client on its endpoint.")
    send_proxy_protocol: Literal["off", "v1", "v2"] = Field(
        "off",
        description="Whether endpoints are told of the client by the PROXY protocol; then a connection a request.",
    )


class PoolEndpoint(Model):
    """One remote address; a plain string stands for its address."""

    address: OneAddress = Field(description="Numeric host and port, or unix:/path.")
    weight: Whole = Field(1, ge=1, le=1000, description="Its share.")
    spare: bool = Field(default=False, description="Only used when no other is available.")

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {"address": value} if isinstance(value, str) else value


class Pool(PoolSettings):
    """Remote endpoints."""

    endpoints: tuple[PoolEndpoint, ...] = Field(description="Its endpoints, at least one.", min_length=1)
