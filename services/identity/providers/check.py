"""What an operator wants to know of a provider before anybody signs in with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession

from services.identity.domain import providers
from services.identity.domain.providers import Endpoints
from services.identity.providers.client import ProviderClient
from services.identity.providers.documents import read_endpoints, read_keys
from services.identity.providers.secrets import ProviderSecrets
from shared.contracts.providers import Provider, ProviderChecked
from shared.errors import Error


class ProviderCheck:
    """Asks a provider for what a sign-in would ask it for, as it answers now."""

    def __init__(self, http: ClientSession, client: ProviderClient, secrets: ProviderSecrets, seconds: float) -> None:
        """`seconds` is how long each answer may take."""
        self._http = http
        self._client = client
        self._secrets = secrets
        self._seconds = seconds

    async def run(self, provider: Provider) -> ProviderChecked:
        """What is wrong, in words, and the endpoints that were found."""
        problems: list[str] = []
        endpoints = await self._endpoints(provider, problems)
        if endpoints is not None and endpoints.jwks is not None:
            async with self._noting(problems):
                if not await read_keys(self._http, endpoints.jwks):
                    problems.append("none of the published keys is one that we know")
        async with self._noting(problems):
            self._secrets.read(provider.secret)
            if endpoints is not None and not await self._client.knows_client(provider, endpoints):
                problems.append("the provider does not take our client: its client_id or its secret is another")
        return ProviderChecked(problems=problems, endpoints=_told(endpoints))

    async def _endpoints(self, provider: Provider, problems: list[str]) -> Endpoints | None:
        if provider.issuer is None:
            return providers.known_endpoints(provider)
        async with self._noting(problems):
            return await read_endpoints(self._http, provider.issuer)
        return None

    @asynccontextmanager
    async def _noting(self, problems: list[str]) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            problems.append("the provider did not answer in time")
        except Error as error:
            problems.append(error.message)


def _told(endpoints: Endpoints | None) -> dict[str, str]:
    if endpoints is None:
        return {}
    named = {
        "authorization": endpoints.authorization,
        "token": endpoints.token,
        "userinfo": endpoints.userinfo,
        "jwks": endpoints.jwks,
    }
    return {name: url for name, url in named.items() if url is not None}
