"""What OpenID providers publish: their discovery document and their keys (OpenID Connect Discovery 1.0 §4)."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, KeySet, OKPKey, RSAKey

from services.identity.domain.providers import ClientAuth, Endpoints, secure_url
from services.identity.providers import web
from services.identity.providers.web import Kept

_FRESH_SECONDS = 3600.0
_AGAIN_SECONDS = 30.0
"""Keys are asked for again no sooner, however many unknown ones somebody names."""
_MOST_KEYS = 100
_LEAST_RSA_BITS = 2048
"""RFC 7518 §3.3."""


class Documents:
    """Discovery documents and key sets by issuer, each kept for an hour."""

    def __init__(self, http: ClientSession, monotonic: Callable[[], float]) -> None:
        """`monotonic` tells seconds since whenever."""
        self._http = http
        self._endpoints: dict[str, Kept[Endpoints]] = defaultdict(lambda: Kept(monotonic))
        self._keys: dict[str, Kept[KeySet]] = defaultdict(lambda: Kept(monotonic))

    async def endpoints(self, issuer: str) -> Endpoints:
        """Where the provider is asked for what. Raises `unavailable` when it does not say so, or says nonsense."""
        return await self._endpoints[issuer].get(lambda: read_endpoints(self._http, issuer), _FRESH_SECONDS)

    async def keys(self, issuer: str, url: str, *, again: bool = False) -> KeySet:
        """The keys that the provider signs with; `again` for newer ones. Raises `unavailable`."""
        seconds = _AGAIN_SECONDS if again else _FRESH_SECONDS
        return await self._keys[issuer].get(lambda: read_keys(self._http, url), seconds)


async def read_endpoints(http: ClientSession, issuer: str) -> Endpoints:
    """The endpoints as the discovery document has them now. Raises `unavailable`."""
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    found = await web.document(http, url)
    if found.get("issuer") != issuer:
        raise web.no_answer(url, "is the document of another issuer")
    try:
        return Endpoints(
            authorization=_url(found, "authorization_endpoint"),
            token=_url(found, "token_endpoint"),
            userinfo=_url(found, "userinfo_endpoint") if found.get("userinfo_endpoint") is not None else None,
            jwks=_url(found, "jwks_uri"),
            client_auth=_client_auth(found.get("token_endpoint_auth_methods_supported")),
            names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        )
    except ValueError as error:
        raise web.no_answer(url, f"makes no sense: {error}") from None


def _url(found: dict[str, Any], name: str) -> str:
    url = found.get(name)
    if not isinstance(url, str):
        raise ValueError(f"no {name}")  # noqa: TRY004 - what is wrong is the value of a document
    try:
        return secure_url(url)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _client_auth(supported: object) -> ClientAuth:
    # Without a list it is basic (OpenID Connect Discovery §3).
    if not isinstance(supported, list) or "client_secret_basic" in supported:
        return "client_secret_basic"
    if "client_secret_post" in supported:
        return "client_secret_post"
    raise ValueError("no way to prove a client that we know: client_secret_basic and client_secret_post")


async def read_keys(http: ClientSession, url: str) -> KeySet:
    """The public keys as they are published now; those that nobody understands are left out. Raises `unavailable`."""
    published = (await web.document(http, url)).get("keys")
    if not isinstance(published, list):
        raise web.no_answer(url, "has no keys")
    return KeySet([key for entry in published[:_MOST_KEYS] if (key := _key(entry)) is not None])


def _key(entry: object) -> Key | None:
    if not isinstance(entry, dict):
        return None
    try:
        key = JWKRegistry.import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_RSA_BITS:
        return None
    # A shared secret that anybody can read would prove nothing.
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None
