"""Our client at each provider: the way there (RFC 6749 §4.1.1), and what the way back is worth (§4.1.3)."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus

from aiohttp import ClientSession, encode_basic_auth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from services.identity.domain import providers
from services.identity.domain.providers import Endpoints, Person
from services.identity.providers import id_tokens, people, web
from services.identity.providers.documents import Documents
from services.identity.providers.id_tokens import UnknownKeyError
from services.identity.providers.secrets import ProviderSecrets
from shared.clock import Clock
from shared.contracts.providers import Provider
from shared.errors import Error, ErrorCode, unavailable

_OUR_FAULT = frozenset({"invalid_client", "unauthorized_client", "incorrect_client_credentials"})
"""Errors of the token endpoint that say nothing of the code: RFC 6749 §5.2, and GitHub's own word."""
_ERROR = re.compile(r"[a-z_]{1,40}")
_ACCESS_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


class ProviderClient:
    """Asks providers, each within a time for all of it and not too often at once."""

    def __init__(
        self, http: ClientSession, documents: Documents, secrets: ProviderSecrets, seconds: float, clock: Clock
    ) -> None:
        """`seconds` is how long one sign-in may wait for a provider, coming and going."""
        self._http = http
        self._documents = documents
        self._secrets = secrets
        self._seconds = seconds
        self._clock = clock
        self._asking: Counter[str] = Counter()

    async def authorization_url(
        self, provider: Provider, *, callback_url: str, state: str, nonce: str, code_verifier: str
    ) -> str:
        """Where to send the browser. Raises `unavailable` when the provider does not say, `overloaded`."""
        async with self._within_limits(provider):
            endpoints = await self._endpoints(provider)
        more = {"nonce": nonce} if provider.kind == "oidc" else {}
        url: str = prepare_grant_uri(
            endpoints.authorization,
            client_id=provider.client_id,
            response_type="code",
            redirect_uri=callback_url,
            scope=providers.scopes(provider),
            state=state,
            code_challenge=create_s256_code_challenge(code_verifier),  # type: ignore[no-untyped-call]
            code_challenge_method="S256",
            **more,
        )
        return url

    async def redeem(
        self, provider: Provider, *, code: str, issuer: str | None, callback_url: str, nonce: str, code_verifier: str
    ) -> Person:
        """Whom the provider has recognised, by the code and the `iss` that the browser brought back.

        Raises `wrong_password` for what does not hold, `unavailable`, `overloaded`.
        """
        async with self._within_limits(provider):
            endpoints = await self._endpoints(provider)
            _check_issuer(provider, endpoints, issuer)
            form = prepare_token_request(
                "authorization_code", redirect_uri=callback_url, code=code, code_verifier=code_verifier
            )
            answer = await self._token_answer(provider, endpoints, form)
            access_token = _access_token(answer)
            if provider.kind != "oidc":
                return await people.by_access_token(self._http, provider, endpoints, access_token)
            claims = await self._claims(provider, endpoints, answer.get("id_token"), access_token, nonce)
            return await people.by_claims(self._http, endpoints, claims, access_token)

    async def knows_client(self, provider: Provider, endpoints: Endpoints) -> bool:
        """Whether the provider takes our client's secret, by asking it for the token of a code that is none."""
        form = prepare_token_request("authorization_code", code="none", code_verifier="0" * 43)
        status, answer = await self._ask_token(provider, endpoints, form)
        return status != 401 and _error(answer) not in _OUR_FAULT

    @asynccontextmanager
    async def _within_limits(self, provider: Provider) -> AsyncIterator[None]:
        if self._asking[provider.name] >= web.MOST_AT_ONCE:
            message = f"too many sign-ins wait for the provider {provider.name}"
            raise Error(ErrorCode.OVERLOADED, message, retry_after=self._seconds)
        self._asking[provider.name] += 1
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise unavailable(f"the provider {provider.name} did not answer in time", retry_after=5.0) from None
        finally:
            self._asking[provider.name] -= 1

    async def _endpoints(self, provider: Provider) -> Endpoints:
        if provider.issuer is not None:
            return await self._documents.endpoints(provider.issuer)
        return providers.known_endpoints(provider)

    async def _token_answer(self, provider: Provider, endpoints: Endpoints, form: str) -> dict[str, Any]:
        status, answer = await self._ask_token(provider, endpoints, form)
        error = _error(answer)
        if status == 401 or error in _OUR_FAULT:
            raise unavailable(f"the provider {provider.name} does not take our client: {error or status}")
        if status != 200 or error is not None or not isinstance(answer, dict):
            raise Error(ErrorCode.WRONG_PASSWORD, f"the provider does not take the code: {error or status}")
        return answer

    async def _ask_token(self, provider: Provider, endpoints: Endpoints, form: str) -> tuple[int, Any]:
        secret = self._secrets.read(provider.secret)
        headers = {}
        if endpoints.client_auth == "client_secret_basic":
            # RFC 6749 §2.3.1: both are form-encoded first, which the library leaves out.
            headers["Authorization"] = encode_basic_auth(quote_plus(provider.client_id), quote_plus(secret))
        else:
            form += f"&client_id={quote_plus(provider.client_id)}&client_secret={quote_plus(secret)}"
        return await web.ask(self._http, endpoints.token, form=form, headers=headers)

    async def _claims(
        self, provider: Provider, endpoints: Endpoints, token: object, access_token: str, nonce: str
    ) -> dict[str, Any]:
        assert provider.issuer is not None
        assert endpoints.jwks is not None
        for again in (False, True):
            keys = await self._documents.keys(provider.issuer, endpoints.jwks, again=again)
            try:
                return id_tokens.claims_of(
                    token,
                    keys,
                    issuer=provider.issuer,
                    client_id=provider.client_id,
                    nonce=nonce,
                    access_token=access_token,
                    now=self._clock.now(),
                )
            except UnknownKeyError:
                continue
        raise Error(ErrorCode.WRONG_PASSWORD, "the id_token does not hold: it names a key that nobody knows")


def _check_issuer(provider: Provider, endpoints: Endpoints, issuer: str | None) -> None:
    """RFC 9207 §2.4: an answer that another provider gave never reaches this one. Raises `wrong_password`."""
    if provider.issuer is None:
        return  # nothing to compare with; each provider has a callback of its own besides
    if issuer is None and endpoints.names_itself:
        raise Error(ErrorCode.WRONG_PASSWORD, "the provider names itself, and the answer does not")
    if issuer is not None and issuer != provider.issuer:
        raise Error(ErrorCode.WRONG_PASSWORD, "the answer is another issuer's")


def _access_token(answer: dict[str, Any]) -> str:
    token = answer.get("access_token")
    # It becomes a header: nothing else may be in it.
    if not isinstance(token, str) or not _ACCESS_TOKEN.fullmatch(token):
        raise Error(ErrorCode.WRONG_PASSWORD, "the provider gave no access token")
    return token


def _error(answer: object) -> str | None:
    """The error that an answer tells of, in its own word where that is one; Facebook's is an object."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if error is None:
        return None
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else "error"
