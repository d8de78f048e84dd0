"""The documents under /.well-known: public keys, metadata, and the revocation feed. Errors speak the oauth2 dialect."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import web

from gateway.dialects.dialect import Gateway, json_response
from gateway.feed import FeedEndpoint

_PUBLIC = {"Cache-Control": "public, max-age=300"}
_KEYS = {"Cache-Control": "public, max-age=20"}
"""A cache's copy that a verifier keeps once more is still no older than keys are when they begin to sign (0007)."""


class WellKnown:
    """What others find keys, endpoints and revocations by. Names no endpoint that is not there."""

    def __init__(self, gateway: Gateway, feed: FeedEndpoint) -> None:
        self._gateway = gateway
        self._feed = feed
        self._base = gateway.settings.issuer.rstrip("/")
        self._path = unquote(urlsplit(self._base).path)

    def routes(self) -> list[web.RouteDef]:
        """The paths."""
        return [
            web.get("/.well-known/jwks.json", self.jwks),
            web.get("/.well-known/oauth-authorization-server", self.authorization_server),
            web.get("/.well-known/oauth-authorization-server/{tail:.+}", self.authorization_server_of_path),
            web.get("/.well-known/openid-configuration", self.openid_configuration),
            web.get("/.well-known/revocations", self._feed.get),
        ]

    async def jwks(self, _request: web.Request) -> web.Response:
        """GET /.well-known/jwks.json (RFC 7517 §5)."""
        return json_response({"keys": await self._gateway.keys.all()}, headers=_KEYS)

    async def authorization_server(self, _request: web.Request) -> web.Response:
        """GET /.well-known/oauth-authorization-server (RFC 8414)."""
        return json_response(self._metadata(), headers=_PUBLIC)

    async def authorization_server_of_path(self, request: web.Request) -> web.Response:
        """GET /.well-known/oauth-authorization-server/…: where clients look when the issuer has a path (§3.1)."""
        if f"/{request.match_info['tail']}" != self._path:
            raise web.HTTPNotFound
        return await self.authorization_server(request)

    async def openid_configuration(self, _request: web.Request) -> web.Response:
        """GET /.well-known/openid-configuration: what a resource server needs to find keys by discovery."""
        keys = await self._gateway.keys.all()
        more = {
            "userinfo_endpoint": f"{self._base}/oauth/v2/userinfo",
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key["alg"] for key in keys}),
        }
        return json_response({**self._metadata(), **more}, headers=_PUBLIC)

    def _metadata(self) -> Mapping[str, Any]:
        methods = ["client_secret_basic", "client_secret_post"]
        return {
            "issuer": self._gateway.settings.issuer,
            "token_endpoint": f"{self._base}/oauth/v2/token",
            "revocation_endpoint": f"{self._base}/oauth/v2/revoke",
            "introspection_endpoint": f"{self._base}/oauth/v2/introspect",
            "jwks_uri": f"{self._base}/.well-known/jwks.json",
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials", "password", "refresh_token"],
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_methods_supported": methods,
        }
