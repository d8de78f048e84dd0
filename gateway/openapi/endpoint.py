"""GET /openapi.json and GET /docs. Errors speak the oauth2 dialect."""

import base64
import hashlib
from collections.abc import Iterable

from aiohttp import web

from gateway.dialects.dialect import json_response
from gateway.openapi.document import build_document
from gateway.openapi.page import render, style
from gateway.settings import GatewaySettings

_PUBLIC = {"Cache-Control": "public, max-age=300"}


class OpenApi:
    """Serves the description of the routes it is told of, and of its own."""

    def __init__(self, routes: Iterable[web.RouteDef], settings: GatewaySettings) -> None:
        self._document = build_document([*routes, *self.routes()], settings)
        self._page = render(self._document)
        digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
        # Nothing is loaded, nothing runs: the page is text and one style.
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )

    def routes(self) -> list[web.RouteDef]:
        """The paths."""
        return [web.get("/openapi.json", self.document), web.get("/docs", self.page)]

    async def document(self, _request: web.Request) -> web.Response:
        """GET /openapi.json."""
        return json_response(self._document, headers=_PUBLIC)

    async def page(self, _request: web.Request) -> web.Response:
        """GET /docs."""
        headers = {**_PUBLIC, "Content-Security-Policy": self._policy, "Referrer-Policy": "no-referrer"}
        return web.Response(text=self._page, content_type="text/html", charset="utf-8", headers=headers)
