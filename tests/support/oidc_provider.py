"""An external provider on this machine that signs one person in without asking, and misbehaves as it is told."""

import asyncio
import functools
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from aiohttp import ClientSession, web
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from shared.clock import Clock, SystemClock
from shared.contracts.providers import Provider
from shared.entropy import SystemEntropy
from shared.json_bytes import json_bytes

CLIENT_ID, CLIENT_SECRET, SECRET_NAME = "dragoman at the provider", "secret of the client+100%", "example-client"
PERSON: dict[str, Any] = {
    "sub": "person-1",
    "email": "someone@example.com",
    "email_verified": True,
    "name": "Someone",
}
DISCOVERY, KEYS, AUTHORIZE, TOKEN = "/.well-known/openid-configuration", "/jwks", "/authorize", "/token"
USER_INFO, GITHUB_USER, GITHUB_EMAILS, FACEBOOK_ME = "/userinfo", "/user", "/user/emails", "/me"

_ENTROPY = SystemEntropy()
_HUGE = 2 << 20
_TOKEN_SECONDS = 300


@functools.cache
def _key(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"}, private=True)


@dataclass
class _Request:
    """What came with an authorization request, kept for its code."""

    redirect_uri: str
    challenge: str | None
    nonce: str | None


@dataclass
class FakeProvider:
    """The provider; enter it to start it. Its issuer is `url`.

    `person` is who signs in. Everything else is what it does wrong, or differently:

    `claims` replaces claims of the id_token, None removes one (`{"nonce": "other"}`); `metadata` does so in the
    discovery document. `in_id_token` says which of the person's claims are in the id_token; all are in the user info.
    `signing` is how the id_token is signed: "stranger" by a key that is not published under a kid that is, "none" not
    at all, "HS256" under the client's secret. `key` names the key in use: another one is another kid.
    `callback_issuer` is the `iss` that the browser brings back (RFC 9207), None for none; "own" is the issuer itself.
    `denied` is the error that the browser brings back instead of a code.
    `status`, `answers`, `huge` and `silent` are by path: a status to answer with, a JSON value to answer with, answers
    of 2 MiB, and no answer until it stops.
    `asked` are the paths that were asked for, `redeemed` the forms that came to the token endpoint.
    """

    clock: Clock = field(default_factory=SystemClock)
    person: dict[str, Any] = field(default_factory=PERSON.copy)
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    in_id_token: tuple[str, ...] = ("sub", "email", "email_verified")
    signing: Literal["RS256", "stranger", "none", "HS256"] = "RS256"
    key: str = "first"
    callback_issuer: str | None = None
    denied: str | None = None
    status: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    huge: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    github_emails: list[dict[str, Any]] | None = None
    asked: list[str] = field(default_factory=list)
    redeemed: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._codes: dict[str, _Request] = {}
        self._tokens: set[str] = set()
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port; after `stop` on the one before."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Listen."""
        self._stopping.clear()
        _key(self.key)  # made before anybody waits for it
        application = web.Application(middlewares=[self._misbehave])
        application.router.add_get(DISCOVERY, self._discovery)
        application.router.add_get(KEYS, self._jwks)
        application.router.add_get(AUTHORIZE, self._authorize)
        application.router.add_post(TOKEN, self._token)
        application.router.add_get(USER_INFO, self._user_info)
        application.router.add_get(GITHUB_USER, self._github_user)
        application.router.add_get(GITHUB_EMAILS, self._github_emails)
        application.router.add_get(FACEBOOK_ME, self._facebook_me)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", urlsplit(self.url).port or 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Answer nobody any more; `start` comes back at the same address."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def configured(self, name: str = "example", kind: str = "oidc", **more: Any) -> Provider:
        """How this platform is told of the provider, as one of that kind."""
        given: dict[str, Any] = {"name": name, "kind": kind, "client_id": CLIENT_ID, "secret": SECRET_NAME}
        if kind == "oidc":
            given["issuer"] = self.url
        else:
            info = {"github": GITHUB_USER, "facebook": FACEBOOK_ME}.get(kind, USER_INFO)
            given |= {"authorization_endpoint": self.url + AUTHORIZE, "token_endpoint": self.url + TOKEN}
            given["userinfo_endpoint"] = self.url + info
        return Provider(**(given | more))

    async def visit(self, url: str) -> dict[str, str]:
        """Go where the platform sent the browser: what the provider sends it back with."""
        async with ClientSession() as browser, browser.get(url, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.path
        self.asked.append(path)
        if path in self.silent:
            await self._stopping.wait()
        if path in self.huge:
            return web.json_response({"filling": "x" * _HUGE})
        if path in self.answers:
            return web.json_response(self.answers[path], status=self.status.get(path, 200))
        if path in self.status:
            location = {"Location": self.url + DISCOVERY} if 300 <= self.status[path] < 400 else {}
            return web.json_response({"error": "server_error"}, status=self.status[path], headers=location)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _discovery(self, _request: web.Request) -> web.Response:
        document = {
            "issuer": self.url,
            "authorization_endpoint": self.url + AUTHORIZE,
            "token_endpoint": self.url + TOKEN,
            "jwks_uri": self.url + KEYS,
            "userinfo_endpoint": self.url + USER_INFO,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }
        return web.json_response(_replaced(document, self.metadata))

    async def _jwks(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [_key(self.key).as_dict(private=False)]})

    async def _authorize(self, request: web.Request) -> web.Response:
        query = request.query
        if query.get("client_id") != CLIENT_ID or query.get("response_type") != "code":
            return web.Response(status=400, text="not a request of the client")
        if query.get("code_challenge") and query.get("code_challenge_method") != "S256":
            return web.Response(status=400, text="PKCE by S256 only")
        back = {"state": query["state"]}
        if self.denied is not None:
            back["error"] = self.denied
        else:
            code = _random()
            self._codes[code] = _Request(query["redirect_uri"], query.get("code_challenge"), query.get("nonce"))
            back["code"] = code
        if self.callback_issuer is not None:
            back["iss"] = self.url if self.callback_issuer == "own" else self.callback_issuer
        return web.Response(status=302, headers={"Location": f"{query['redirect_uri']}?{urlencode(back)}"})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.redeemed.append(form)
        if not _is_client(request.headers.get("Authorization"), form):
            return web.json_response({"error": "invalid_client"}, status=401)
        asked = self._codes.pop(form.get("code", ""), None)
        if form.get("grant_type") != "authorization_code" or asked is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        if asked.challenge is not None and asked.challenge != _s256(form.get("code_verifier", "")):
            return web.json_response({"error": "invalid_grant"}, status=400)
        if asked.redirect_uri != form.get("redirect_uri"):
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = _random()
        self._tokens.add(token)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": _TOKEN_SECONDS}
        return web.json_response(answer | {"id_token": self._id_token(asked, token)})

    def _id_token(self, asked: _Request, access_token: str) -> str:
        now = int(self.clock.now().timestamp())
        at_hash = _encoded(sha256(access_token.encode()).digest()[:16])
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + _TOKEN_SECONDS, "at_hash": at_hash}
        claims |= {name: self.person[name] for name in self.in_id_token if name in self.person}
        if asked.nonce is not None:
            claims["nonce"] = asked.nonce
        claims = _replaced(claims, self.claims)
        if self.signing == "none":
            return ".".join([_encoded(json_bytes({"alg": "none"})), _encoded(json_bytes(claims)), ""])
        if self.signing == "HS256":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET))
        return jwt.encode(
            {"alg": "RS256", "kid": self.key}, claims, _key("stranger" if self.signing == "stranger" else self.key)
        )

    async def _user_info(self, request: web.Request) -> web.Response:
        return self._told(request, self.person)

    async def _github_user(self, request: web.Request) -> web.Response:
        user = {"id": 583231, "login": "someone", "email": self.person.get("email"), "name": self.person.get("name")}
        return self._told(request, user)

    async def _github_emails(self, request: web.Request) -> web.Response:
        verified = self.person.get("email_verified", False)
        address = {"email": self.person.get("email"), "primary": True, "verified": verified, "visibility": None}
        other = {"email": "other@example.com", "primary": False, "verified": True, "visibility": None}
        return self._told(request, [other, address] if self.github_emails is None else self.github_emails)

    async def _facebook_me(self, request: web.Request) -> web.Response:
        return self._told(request, {"id": "10150000000000001", "email": self.person.get("email")})

    def _told(self, request: web.Request, answer: Any) -> web.Response:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self._tokens:
            return web.json_response({"error": "invalid_token"}, status=401)
        return web.json_response(answer)


def _replaced(values: dict[str, Any], by: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (values | by).items() if value is not None}


def _is_client(authorization: str | None, form: dict[str, str]) -> bool:
    if authorization is None:
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
    given = b64decode(authorization.removeprefix("Basic ")).decode().split(":")
    # RFC 6749 §2.3.1: both are form-encoded before they are joined.
    return [unquote_plus(part) for part in given] == [CLIENT_ID, CLIENT_SECRET]


def _random() -> str:
    return _encoded(_ENTROPY.token_bytes(24))


def _s256(verifier: str) -> str:
    return _encoded(sha256(verifier.encode()).digest())


def _encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
