"""The ASGI middleware, driven as a server would."""

import json
from typing import Any

import pytest
from dragoman_verifier import Claims, InsufficientScope, Verifier, VerifierError, check_scopes
from dragoman_verifier.asgi import Message, Receive, Scope, Send, VerifierMiddleware, claims_of

from tests.verifier.asgi_driver import connect
from tests.verifier.issuer import Issuer
from tests.verifier.signing import Clock


class App:
    """Answers with the subject, keeps the scopes it saw; asks for a scope on /admin, after answering on /late."""

    def __init__(self) -> None:
        self.seen: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        self.seen.append(scope)
        if scope["path"] == "/admin":
            check_scopes(claims_of(scope), "admin")
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"served"})
        if scope["path"] == "/late":
            check_scopes(claims_of(scope), "admin")


@pytest.fixture
def inner() -> App:
    """The application inside."""
    return App()


@pytest.fixture
def app(inner: App, verifier: Verifier) -> VerifierMiddleware:
    """The application behind the middleware."""
    return VerifierMiddleware(inner, verifier, exempt=["/healthz"])


def status(sent: list[Message]) -> Any:
    """The status of an answer."""
    return sent[0]["status"]


async def test_a_good_token(issuer: Issuer, app: VerifierMiddleware, inner: App) -> None:
    """A request with a good token reaches the application, which finds the claims where it looks for them."""
    state = {"pool": 1}
    sent, _ = await connect(app, "/", f"bearer  {issuer.token()}", state=state)
    assert status(sent) == 200
    claims = claims_of(inner.seen[0])
    assert isinstance(claims, Claims)
    assert inner.seen[0]["state"] == {"pool": 1, "claims": claims}
    assert state == {"pool": 1}, "nothing of this request is left where the next one would find it"
    connection = type("Request", (), {"scope": inner.seen[0]})()
    assert claims_of(connection) is claims


@pytest.mark.parametrize("authorization", [[], ["Basic YTpi"], ["Bearer"], ["Bearer "], [""]])
async def test_no_token(app: VerifierMiddleware, inner: App, authorization: list[str]) -> None:
    """A request without a token learns only how to authenticate (RFC 6750 §3.1)."""
    sent, headers = await connect(app, "/", *authorization)
    assert (status(sent), headers["www-authenticate"]) == (401, "Bearer")
    assert not inner.seen


@pytest.mark.parametrize("authorization", [["Bearer x"], ["Bearer \xff"], ["Bearer a", "Bearer b"]])
async def test_a_bad_token(app: VerifierMiddleware, inner: App, authorization: list[str]) -> None:
    """A request with a bad token, or with two, is answered 401 with a code and a JSON body."""
    sent, headers = await connect(app, "/", *authorization)
    assert status(sent) == 401
    assert headers["www-authenticate"] == 'Bearer error="invalid_token", error_description="the token is not valid"'
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(sent[1]["body"]))
    assert json.loads(sent[1]["body"]) == {"error": "invalid_token"}
    assert not inner.seen


async def test_an_expired_token(issuer: Issuer, app: VerifierMiddleware, clock: Clock) -> None:
    """A client learns that its token has expired, and can get a new one."""
    token = issuer.token()
    clock.pass_(1000)
    _, headers = await connect(app, "/", f"Bearer {token}")
    assert "the token has expired" in headers["www-authenticate"]


async def test_keys_away(issuer: Issuer, app: VerifierMiddleware) -> None:
    """While nobody can tell, clients keep their tokens and are asked to come again."""
    issuer.mood = "down"
    sent, headers = await connect(app, "/", f"Bearer {issuer.token()}")
    assert status(sent) == 503
    assert int(headers["retry-after"]) > 0
    assert "www-authenticate" not in headers


async def test_exempt(app: VerifierMiddleware) -> None:
    """An exempt path needs no token, one that merely looks like it does."""
    sent, _ = await connect(app, "/healthz")
    assert status(sent) == 200
    for path in ("/healthz/", "/healthz/../", "//healthz", "/HEALTHZ"):
        sent, _ = await connect(app, path)
        assert status(sent) == 401


async def test_a_missing_scope(issuer: Issuer, app: VerifierMiddleware) -> None:
    """A token that lacks a scope is answered 403, with the scope; not when the answer has already begun."""
    sent, headers = await connect(app, "/admin", f"Bearer {issuer.token()}")
    assert (status(sent), headers["www-authenticate"]) == (403, 'Bearer error="insufficient_scope", scope="admin"')
    sent, _ = await connect(app, "/admin", f"Bearer {issuer.token(scope='admin')}")
    assert status(sent) == 200
    with pytest.raises(InsufficientScope):
        await connect(app, "/late", f"Bearer {issuer.token()}")


async def test_errors_of_the_application_pass(issuer: Issuer, verifier: Verifier) -> None:
    """What goes wrong inside the application is not mistaken for a bad token of its caller."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise VerifierError("about another token")

    with pytest.raises(VerifierError):
        await connect(VerifierMiddleware(broken, verifier), "/", f"Bearer {issuer.token()}")


async def test_websockets(issuer: Issuer, app: VerifierMiddleware, inner: App) -> None:
    """A WebSocket opens with a good token only; servers that can, say why."""
    sent, _ = await connect(app, kind="websocket")
    assert sent == [{"type": "websocket.close", "code": 1008}]
    sent, headers = await connect(app, kind="websocket", extensions={"websocket.http.response": {}})
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert (status(sent), headers["www-authenticate"]) == (401, "Bearer")
    assert not inner.seen
    sent, _ = await connect(app, "/", f"Bearer {issuer.token()}", kind="websocket")
    assert sent == [{"type": "websocket.accept"}]


async def test_lifespan(verifier: Verifier) -> None:
    """Starting and stopping the application passes through."""
    seen = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await connect(VerifierMiddleware(inner, verifier), kind="lifespan")
    assert seen == ["lifespan"]
