"""What the fixtures tell each other."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerUrls:
    """Administrators' URLs of the three servers of this run."""

    postgres: str
    redis: str
    rabbitmq: str
