"""Accounts and tokens of the `enterprise` dialect, beyond single exchanges."""

import asyncio
from typing import Any
from uuid import UUID

import jwt
import pytest
import pytest_asyncio

from deploy.inbox.mailbox import Query
from shared.contracts.identity import CreateUser
from tests.dialects.conftest import OpenPlatform
from tests.dialects.exchanges import check_headers
from tests.dialects.running import ISSUER, Answer, Platform
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

OLD, NEW = "j8BDWYrQwDF5u4Yu", "b2BDWZrQwDF5u4Yu"


@pytest_asyncio.fixture(loop_scope="module")
async def username(platform: Platform, request: pytest.FixtureRequest) -> str:
    """A user of the test's own, with an e-mail address at example.org."""
    name = "".join(filter(str.isalnum, request.node.name)).lower()
    await platform.operate(CreateUser(username=name, email=f"{name}@example.org", password=OLD, enforce_policy=False))
    platform.clock.advance(1)
    return name


async def post(platform: Platform, path: str, **fields: str) -> Answer:
    """POST these fields."""
    answer = await platform.send("POST", f"/v1/{path}", json=fields)
    check_headers(answer)
    return answer


async def logged_in(platform: Platform, username: str, password: str = OLD) -> dict[str, Any]:
    """What a user who signs in gets."""
    answer = await post(platform, "login", username=username, password=password)
    assert answer.status == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def used(platform: Platform, token: str) -> int:
    """The status of a request that shows a token as an access token."""
    headers = {"Authorization": f"Bearer {token}"}
    return (await platform.send("GET", "/oauth/v2/userinfo", headers=headers)).status


async def dies(platform: Platform, token: str) -> None:
    """Return once an access token is refused."""

    async def look() -> bool | None:
        return True if await used(platform, token) == 401 else None

    await eventually(look, 5.0, "the access token is refused")


async def test_id_token(platform: Platform, username: str) -> None:
    """The id token says who signed in, verifies by the published keys, and is no access token."""
    tokens = await logged_in(platform, username)
    keys = jwt.PyJWKSet.from_dict((await platform.send("GET", "/.well-known/jwks.json")).json())
    header = jwt.get_unverified_header(tokens["id_token"])
    key = next(key for key in keys.keys if key.key_id == header["kid"])
    options: Any = {"verify_exp": False, "verify_iat": False}  # the platform's clock is ahead
    claims = jwt.decode(
        tokens["id_token"], key, algorithms=["ES256"], audience="enterprise", issuer=ISSUER, options=options
    )
    assert claims["token_use"] == "id"
    assert claims["cognito:username"] == username
    assert claims["email"] == f"{username}@example.org"
    assert claims["exp"] - claims["iat"] == 86_400
    assert await used(platform, tokens["access_token"]) == 200
    assert await used(platform, tokens["id_token"]) == 401


async def test_revoked_tokens(platform: Platform, username: str) -> None:
    """A revoked refresh token takes all its access tokens along, the one of the login first; others' live on."""
    first, other = await logged_in(platform, username), await logged_in(platform, username)
    refreshed = await post(platform, "token-refresh", username=username, refresh_token=first["refresh_token"])
    assert (await post(platform, "token-revoke", refresh_token=first["refresh_token"])).status == 204
    await dies(platform, first["access_token"])
    await dies(platform, refreshed.json()["access_token"])
    assert await used(platform, other["access_token"]) == 200
    again = await post(platform, "token-refresh", username=username, refresh_token=other["refresh_token"])
    assert again.status == 200


async def test_refresh_at_once(platform: Platform, username: str) -> None:
    """Programs that share a refresh token may all use it at the same time."""
    token = (await logged_in(platform, username))["refresh_token"]
    answers = await asyncio.gather(
        *(post(platform, "token-refresh", username=username, refresh_token=token) for _ in range(5))
    )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json()["access_token"] for answer in answers}) == 5


async def test_refresh_for_weeks(platform: Platform, username: str) -> None:
    """A refresh token lives for ninety days from the login, however often it is used."""
    token = (await logged_in(platform, username))["refresh_token"]
    for days, status in ((89, 200), (0.99, 200), (0.02, 401)):
        platform.clock.advance(days * 86_400)
        answer = await post(platform, "token-refresh", username=username, refresh_token=token)
        assert answer.status == status


PHONED, NAMED = {"phone": "+491511230077"}, {"email": "ada@b\u00fccher.example"}


@pytest.mark.parametrize(
    ("names", "form"),
    [
        *((PHONED, form) for form in ("+491511230077", "01511230077", "0151 1230077", "0049 151/1230077")),
        *(
            (NAMED, form)
            for form in ("ada@b\u00fccher.example", "ADA@XN--bcher-kva.example", "ada@bu\u0308cher\u3002example")
        ),
    ],
    ids=ascii,
)
async def test_refresh_by_whatever_signs_in(platform: Platform, names: dict[str, str], form: str) -> None:
    """A name that opens the login also refreshes, as does what the token calls its user; another's does not."""
    await platform.operate(CreateUser(**names, password=OLD, enforce_policy=False, replace=True))
    platform.clock.advance(1)
    tokens = await logged_in(platform, form)
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    for name in (form, claims["username"], claims["sub"].upper()):
        answer = await post(platform, "token-refresh", username=name, refresh_token=tokens["refresh_token"])
        assert answer.status == 200, name
    others = ("01511230078", "+49 151 123007", "ada@bucher.example", "admin", str(UUID(int=7)), "no name")
    for name in others:
        answer = await post(platform, "token-refresh", username=name, refresh_token=tokens["refresh_token"])
        assert (answer.status, answer.json()["message"]) == (401, "Unauthorized."), name


async def test_code_expires(platform: Platform, username: str) -> None:
    """A code that came too late is told apart from a wrong one, so that people ask for another."""
    await post(platform, "forgot-password", username=username)
    code = await platform.code_for(f"{username}@example.org")
    platform.clock.advance(601)
    answer = await post(platform, "forgot-password-confirm", username=username, password=NEW, confirmation_code=code)
    assert (answer.status, answer.json()["message"]) == (
        401,
        "ExpiredCodeException: Invalid code provided, please request a code again.",
    )
    assert await logged_in(platform, username)


async def test_code_by_email_address(platform: Platform, username: str) -> None:
    """Asking by e-mail address and confirming by username is the same account."""
    address = f"{username}@example.org"
    await post(platform, "forgot-password", username=address.upper())
    code = await platform.code_for(address)
    confirmed = await post(
        platform, "forgot-password-confirm", username=username.upper(), password=NEW, confirmation_code=code
    )
    assert confirmed.status == 204
    platform.clock.advance(1)
    assert await logged_in(platform, username, NEW)


async def test_code_of_somebody_else(platform: Platform, username: str) -> None:
    """A code counts for the user whom it was sent to."""
    await post(platform, "forgot-password", username=username)
    code = await platform.code_for(f"{username}@example.org")
    answer = await post(platform, "forgot-password-confirm", username="admin", password=NEW, confirmation_code=code)
    assert (answer.status, answer.json()["message"].split(":")[0]) == (401, "CodeMismatchException")


async def test_nothing_sent_to_nobody(platform: Platform, username: str) -> None:
    """Asking for nobody's password, or a suspended user's, sends nothing and looks the same."""
    answers = [
        await post(platform, "forgot-password", username=name)
        for name in ("ghost@example.org", "expelled@example.com", username)
    ]
    assert {(answer.status, answer.text) for answer in answers} == {(204, "")}
    await platform.code_for(f"{username}@example.org")  # asked for last, so that the others would have come before
    for nobody in ("ghost@example.org", "expelled@example.com"):
        assert not platform.mailbox.find(Query(to=nobody))


async def test_guessed_codes(platform: Platform, username: str) -> None:
    """Guesses at a code run out: then the right one does not count either, and it is told when to try again."""
    await post(platform, "forgot-password", username=username)
    code = await platform.code_for(f"{username}@example.org")
    fields = {"username": username, "password": NEW}
    for _ in range(12):
        await post(platform, "forgot-password-confirm", **fields, confirmation_code="guess")
    answer = await post(platform, "forgot-password-confirm", **fields, confirmation_code=code)
    assert answer.status in {401, 429}, answer.text
    platform.clock.advance(3600)
    assert await logged_in(platform, username)


async def test_changed_password(platform: Platform, username: str) -> None:
    """A new password ends every session, the one by which it was changed as well."""
    mine, other = await logged_in(platform, username), await logged_in(platform, username)
    platform.clock.advance(1)
    fields = {"previous_password": OLD, "proposed_password": NEW}
    changed = await post(platform, "change-password", access_token=mine["access_token"], **fields)
    assert changed.status == 204
    platform.clock.advance(1)
    for tokens in (mine, other):
        await dies(platform, tokens["access_token"])
        answer = await post(platform, "token-refresh", username=username, refresh_token=tokens["refresh_token"])
        assert (answer.status, answer.json()["message"]) == (401, "Unauthorized.")
    again = {"previous_password": NEW, "proposed_password": OLD}
    answer = await post(platform, "change-password", access_token=mine["access_token"], **again)
    assert (answer.status, answer.json()["message"]) == (401, "Incorrect username or password.")


@pytest.mark.parametrize(("length", "status"), [(255, 200), (256, 200), (1024, 200), (1025, 401)])
async def test_long_passwords(platform: Platform, length: int, status: int) -> None:
    """A password that was set elsewhere opens this door too; one longer than any can be is like a wrong one."""
    name, password = f"long{length}", "ä" * length
    await platform.operate(CreateUser(username=name, password=password[:1024], enforce_policy=False))
    platform.clock.advance(1)
    answer = await post(platform, "login", username=name, password=password)
    assert answer.status == status
    if status == 401:
        assert answer.json()["message"] == "Incorrect username or password."


async def test_block(open_other: OpenPlatform) -> None:
    """Who fails too often waits, with the right password too, and is told how long."""
    async with open_other(identity_failures_allowed="3") as platform:
        for _ in range(3):
            assert (await post(platform, "login", username="admin", password="wrong")).status == 401
        answer = await post(platform, "login", username="admin", password=OLD)
        assert (answer.status, answer.json()["status"]) == (429, 429)
        platform.clock.advance(int(answer.headers["Retry-After"]))
        assert await logged_in(platform, "admin")
