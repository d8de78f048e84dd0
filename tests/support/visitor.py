"""Somebody on the way through an external provider, with a browser's cookies and without a browser."""

import html
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import ClientSession
from yarl import URL

from tests.support.leaks import USED_SECRETS

_STEPS = 20
_PROOFS = ("code", "state", "nonce")
"""Query parameters on the way that no log may have."""


@dataclass(frozen=True)
class Landed:
    """How a request was answered: where the browser is sent (empty: nowhere), or else what there is to read."""

    status: int
    location: str
    text: str

    @property
    def reason(self) -> str:
        """Why the sign-in has failed; empty where it has not."""
        return "".join(parse_qs(urlsplit(self.location).query).get("reason", []))

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object."""
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed


class Visitor:
    """Follows redirects by hand, since each is worth a look. `http` has the cookies."""

    def __init__(self, http: ClientSession) -> None:
        self.http = http

    async def step(self, url: str, form: dict[str, str] | None = None) -> Landed:
        """One request: GET, or POST of a form."""
        query = parse_qs(urlsplit(url).query)
        for proof in (value for name in _PROOFS for value in query.get(name, [])):
            USED_SECRETS.note(proof)
        asked = URL(url, encoded=True)
        method = "GET" if form is None else "POST"
        async with self.http.request(method, asked, data=form, allow_redirects=False) as response:
            leads = response.headers.get("Location", "")
            location = str(asked.join(URL(leads, encoded=True))) if leads else ""
            return Landed(response.status, location, await response.text())

    async def prove(self, begin: str, login: str | None) -> str:
        """Begin, sign in at the provider as `login` and agree to all that it asks, or with None turn back there.

        Returns:
            The URL of the callback, for which nobody has asked yet.
        """
        url, form = begin, None
        for _ in range(_STEPS):
            seen = await self.step(url, form)
            if urlsplit(seen.location).path.endswith("/callback"):
                return seen.location
            form = None
            if seen.location:
                url = seen.location
                continue
            assert seen.status == 200, seen.text
            if login is None:
                url = _first(r'<a href="([^"]+/abort)"', seen.text)
            else:
                url = _first(r'<form[^>]* action="([^"]+)"', seen.text)
                prompt = _first(r'name="prompt" value="([^"]+)"', seen.text)
                form = {"prompt": prompt, "login": login, "password": "any will do"}
        raise AssertionError(f"{_STEPS} steps have not led to a callback")

    async def sign_in(self, begin: str, login: str | None) -> Landed:
        """The whole way, and how the callback was answered."""
        return await self.step(await self.prove(begin, login))


def _first(pattern: str, page: str) -> str:
    found = re.search(pattern, page)
    assert found is not None, page
    return html.unescape(found[1])
