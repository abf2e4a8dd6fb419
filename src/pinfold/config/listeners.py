"""`[listeners.NAME]`: where clients are accepted."""

from typing import Literal

from pydantic import Field, model_validator

from pinfold.config.fields import Addresses, Duration, HostNames, Methods, Model, Networks, PathField, Size, Whole

__all__ = ["Listener", "ListenerLimits", "ListenerTimeouts", "Tls"]


class Tls(Model):
    """Certificates of a listener; exactly one of the two."""

    certificates: tuple[PathField, ...] = Field((), description="PEM files with chain and key, in any order.")
    self_signed: HostNames = Field((), description="Names to make and renew a self-signed certificate for.")

    @model_validator(mode="after")
    def _one_kind(self) -> "Tls":
        if bool(self.certificates) == bool(self.self_signed):
            raise ValueError('give either certificates = ["/path.pem"] or self_signed = ["name"]')
        return self


class ListenerTimeouts(Model):
    """How long a client may take."""

    head: Duration = Field(10.0, description="For a head, and before it for a PROXY header and the TLS handshake.")
    idle: Duration = Field(60.0, description="Between two requests on a connection.")
    body: Duration = Field(60.0, description="Between two reads, or writes, of a body.")
    total: Duration = Field(
        0.0, description="For a request and its answer together, tunnels excepted; 0: no bound; past it 504."
    )


class ListenerLimits(Model):
    """How much a client may send."""

    head_bytes: Size = Field(32768, ge=1024, le=65536, description="Bytes of a request head; past it 431.")
    headers: Whole = Field(100, ge=1, le=256, description="Header fields of a request; past it 431.")
    target_bytes: Size = Field(16384, ge=256, le=65536, description="Bytes of the target; past it 414.")
    body_bytes: Size = Field(0, description="Bytes of a request body, 0: no bound; past it 413.")
    body_rate: Size = Field(
        100,
        description="Least bytes a second of a request body, on average from its fifth second on; past it 408.",
    )
    connections: Whole = Field(20000, ge=0, description="Connections open at once, 0: no bound.")
    connections_per_client: Whole = Field(
        1000, ge=0, description="Of these from one address (IPv6: one /64) that is no trusted proxy's, 0: no bound."
    )


class Listener(Model):
    """One listener."""

    bind: Addresses = Field(description='"host:port", "[v6]:port", "unix:/path", or a list of them.', min_length=1)
    tls: Tls | None = Field(None, description="Present: the listener speaks HTTPS.")
    methods: Methods = Field((), description="Methods that may pass, all if empty; anything else is answered 405.")
    timeouts: ListenerTimeouts = Field(default_factory=ListenerTimeouts, description="How long a client may take.")
    limits: ListenerLimits = Field(default_factory=ListenerLimits, description="How much a client may send.")
    trusted_proxies: Networks = Field(
        (), description="Networks whose word about the client is believed; they must set what `forwarded` says."
    )
    proxy_protocol: Literal["off", "accept"] = Field(
        "off", description="Whether the PROXY protocol, version 1 or 2, is demanded of trusted proxies."
    )
    forwarded: Literal["x-forwarded", "rfc7239", "both", "none"] = Field(
        "x-forwarded",
        description="How endpoints are told of the client: by X-Forwarded-*, by Forwarded, or not at all.",
    )

    @model_validator(mode="after")
    def _somebody_is_trusted(self) -> "Listener":
        if self.proxy_protocol == "accept" and not self.trusted_proxies:
            raise ValueError('proxy_protocol = "accept" needs trusted_proxies: who may speak it')
        return self
