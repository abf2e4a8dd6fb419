"""`[listeners.NAME]`: where clients are accepted."""

from pydantic import Field, model_validator

from pinfold.config.fields import Addresses, Duration, HostNames, Methods, Model, PathField, Size, Whole

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

    head: Duration = Field(10.0, description="For the whole head of a request, and for the TLS handshake.")
    idle: Duration = Field(60.0, description="Between two requests on a connection.")
    body: Duration = Field(60.0, description="Between two reads, or writes, of a body.")


class ListenerLimits(Model):
    """How much a client may send."""

    head_bytes: Size = Field(32768, ge=1024, le=65536, description="Bytes of a request head; past it 431.")
    headers: Whole = Field(100, ge=1, le=256, description="Header fields of a request; past it 431.")
    body_bytes: Size = Field(0, description="Bytes of a request body, 0: no bound; past it 413.")
    connections: Whole = Field(20000, ge=0, description="Connections open at once, 0: no bound.")


class Listener(Model):
    """One listener."""

    bind: Addresses = Field(description='"host:port", "[v6]:port", "unix:/path", or a list of them.', min_length=1)
    tls: Tls | None = Field(None, description="Present: the listener speaks HTTPS.")
    methods: Methods = Field((), description="Methods that may pass, all if empty; anything else is answered 405.")
    timeouts: ListenerTimeouts = Field(default_factory=ListenerTimeouts, description="How long a client may take.")
    limits: ListenerLimits = Field(default_factory=ListenerLimits, description="How much a client may send.")
