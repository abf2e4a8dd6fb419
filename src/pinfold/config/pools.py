"""`[pools.NAME]` and `[programs.NAME.pool]`: interchangeable endpoints and how one is picked."""

from typing import Literal

from pydantic import Field, model_validator

from pinfold.config.fields import Duration, Model, OneAddress, Whole

__all__ = ["Balance", "Pool", "PoolEndpoint", "PoolSettings", "PoolTimeouts"]

Balance = Literal["least-requests", "round-robin"]


class PoolTimeouts(Model):
    """How long an endpoint may take."""

    connect: Duration = Field(2.0, description="To connect.")
    first_byte: Duration = Field(60.0, description="From the end of the request to the first byte of the answer.")
    silence: Duration = Field(60.0, description="Between two bytes of an answer or of an upgraded connection.")


class PoolSettings(Model):
    """How the instances of a program share requests."""

    balance: Balance = Field("least-requests", description="How an endpoint is picked.")
    timeouts: PoolTimeouts = Field(default_factory=PoolTimeouts, description="How long an endpoint may take.")


class PoolEndpoint(Model):
    """One remote address; a plain string stands for its address."""

    address: OneAddress = Field(description="Numeric host and port, or unix:/path.")
    weight: Whole = Field(1, ge=1, le=1000, description="Its share.")

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {"address": value} if isinstance(value, str) else value


class Pool(PoolSettings):
    """Remote endpoints."""

    endpoints: tuple[PoolEndpoint, ...] = Field(description="Its endpoints, at least one.", min_length=1)
