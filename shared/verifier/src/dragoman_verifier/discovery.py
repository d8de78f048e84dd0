"""Where the issuer's endpoints are (OpenID Connect Discovery 1.0 §4, RFC 8414)."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from dragoman_verifier.web import PROBLEMS, Unusable, check_url, fetch

_FRESH_SECONDS = 3600.0


class Discovery:
    """Reads the issuer's metadata when an endpoint is first asked for, and again every hour."""

    def __init__(
        self, http: aiohttp.ClientSession, issuer: str, *, allow_insecure: bool, monotonic: Callable[[], float]
    ) -> None:
        self._http = http
        self._issuer = issuer
        self._allow_insecure = allow_insecure
        self._monotonic = monotonic
        self._metadata: dict[str, Any] = {}
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def endpoint(self, name: str) -> str:
        """The URL that the metadata gives under `name`, e.g. "jwks_uri".

        Raises one of web.PROBLEMS: the metadata cannot be read, is of another issuer, or does not name the endpoint.
        """
        async with self._lock:
            if self._monotonic() - self._read_at >= _FRESH_SECONDS:
                await self._read()
        url = self._metadata.get(name)
        if not isinstance(url, str):
            raise Unusable(f"the issuer's metadata does not name {name}")
        return check_url(url, allow_insecure=self._allow_insecure)

    async def _read(self) -> None:
        try:
            metadata, _ = await fetch(self._http, "GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if metadata.get("issuer") != self._issuer:
                raise Unusable("the metadata is of another issuer")
        except PROBLEMS:
            if not self._metadata:
                raise
            return  # endpoints seldom move: those known are still the best guess
        self._metadata = metadata
        self._read_at = self._monotonic()
