"""The aiohttp middleware, over real HTTP."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer
from dragoman_verifier import Verifier, VerifierError, check_scopes
from dragoman_verifier.aiohttp import claims_of, middleware, require_scope
from multidict import CIMultiDict

from tests.verifier.issuer import Issuer
from tests.verifier.signing import Clock

Client = TestClient[web.Request, web.Application]


async def whoami(request: web.Request) -> web.Response:
    """Answer with the subject."""
    return web.Response(text=claims_of(request).subject)


@require_scope("orders:read", "orders:write")
async def order(request: web.Request) -> web.Response:
    """Needs two scopes."""
    return web.Response(text="ordered")


class Admin(web.View):
    """Checks a scope by hand."""

    async def get(self) -> web.Response:
        """Needs a scope."""
        check_scopes(claims_of(self.request), "admin")
        return web.Response()


async def health(request: web.Request) -> web.Response:
    """Needs no token."""
    return web.Response(text="well")


async def talk(request: web.Request) -> web.WebSocketResponse:
    """Open a WebSocket and close it."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.close()
    return socket


async def broken(request: web.Request) -> web.Response:
    """Fail while verifying something else."""
    raise VerifierError("about another token")


@pytest.fixture
async def client(verifier: Verifier) -> AsyncIterator[Client]:
    """A client of a service behind the middleware."""
    app = web.Application(middlewares=[middleware(verifier, exempt=["/healthz"])])
    app.add_routes(
        [
            web.get("/whoami", whoami),
            web.get("/order", order),
            web.view("/admin", Admin),
            web.get("/healthz", health),
            web.get("/talk", talk),
            web.get("/broken", broken),
        ]
    )
    async with TestClient(TestServer(app)) as client:
        yield client


def bearing(token: str) -> dict[str, str]:
    """The header with this token."""
    return {"Authorization": f"Bearer {token}"}


async def test_a_good_token(issuer: Issuer, client: Client) -> None:
    """A request with a good token reaches its handler, which knows who asks."""
    answer = await client.get("/whoami", headers=bearing(issuer.token(sub="user-7")))
    assert (answer.status, await answer.text()) == (200, "user-7")


async def test_no_token(client: Client) -> None:
    """A request without a token learns only how to authenticate, on unknown paths too."""
    for path in ("/whoami", "/nowhere", "/healthz/"):
        answer = await client.get(path)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (await client.get("/healthz")).status == 200


async def test_bad_tokens(issuer: Issuer, client: Client, clock: Clock) -> None:
    """A bad token, an old one, or two at once are answered 401 with a code and a JSON body."""
    for headers in (bearing("x"), CIMultiDict([("Authorization", "Bearer a"), ("Authorization", "Bearer b")])):
        answer = await client.get("/whoami", headers=headers)
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert await answer.json() == {"error": "invalid_token"}
    token = issuer.token()
    clock.pass_(1000)
    answer = await client.get("/whoami", headers=bearing(token))
    assert "the token has expired" in answer.headers["WWW-Authenticate"]


async def test_keys_away(issuer: Issuer, client: Client) -> None:
    """While nobody can tell, clients keep their tokens and are asked to come again."""
    issuer.mood = "down"
    answer = await client.get("/whoami", headers=bearing(issuer.token()))
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


async def test_scopes(issuer: Issuer, client: Client) -> None:
    """A handler's scopes are asked of the token, and told to the client when they are missing."""
    answer = await client.get("/order", headers=bearing(issuer.token()))
    assert (answer.status, await answer.text()) == (200, "ordered")
    answer = await client.get("/order", headers=bearing(issuer.token(scope="orders:read")))
    challenge = 'Bearer error="insufficient_scope", scope="orders:read orders:write"'
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (403, challenge)
    answer = await client.get("/admin", headers=bearing(issuer.token()))
    assert answer.status == 403


async def test_errors_of_a_handler(issuer: Issuer, client: Client) -> None:
    """What goes wrong inside a handler is not mistaken for a bad token of its caller."""
    assert (await client.get("/broken", headers=bearing(issuer.token()))).status == 500


async def test_websockets(issuer: Issuer, client: Client) -> None:
    """A WebSocket opens with a good token only."""
    with pytest.raises(WSServerHandshakeError) as raised:
        await client.ws_connect("/talk")
    assert raised.value.status == 401
    async with client.ws_connect("/talk", headers=bearing(issuer.token())) as socket:
        assert not socket.closed


async def test_a_session_of_the_owner(issuer: Issuer, clock: Clock) -> None:
    """A session that the owner brings is used and not closed."""
    async with ClientSession() as session:
        async with Verifier(issuer.url, "https://api.example.com", http=session, clock=clock) as verifier:
            await verifier.verify(issuer.token())
        assert not session.closed
