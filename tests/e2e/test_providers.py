"""Signing in through a real OpenID provider, on the whole platform: the way there and back, and what is refused."""

import asyncio
from base64 import b32decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from yarl import URL

from shared.clock import SystemClock
from tests.e2e.provider_site import Site, newcomer, open_site
from tests.support.browser import browser
from tests.support.leaks import USED_SECRETS
from tests.support.oidc_provider import CLIENT_ID, PERSON, SECRET_NAME, FakeProvider
from tests.support.urls import ServerUrls
from tests.support.visitor import Visitor

pytestmark = pytest.mark.timeout(600)

TOTP_SECRET = b32decode("JBSWY3DPEHPK3PXP")
SIGN_IN = {"email": "someone@example.com", "password": "def56789"}
REFUSED, AWAY = "INVALID_USER", "SERVICE_UNAVAILABLE"


@pytest.fixture(scope="module")
def site(server_urls: ServerUrls, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The platform, the provider, and where the application will be."""
    with open_site(server_urls, worker, tmp_path_factory.mktemp("providers")) as opened:
        yield opened


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    """Somebody who comes for the first time."""
    async with newcomer() as somebody:
        yield somebody


def kept_cookies(visitor: Visitor) -> dict[str, str]:
    """What the gateway has had this browser keep for the way."""
    kept = {cookie.key: cookie.value for cookie in visitor.http.cookie_jar if cookie.key.startswith("oauth2.")}
    assert kept
    for value in kept.values():
        USED_SECRETS.note(value)
    return kept


def session_cookies(visitor: Visitor) -> set[str]:
    """Those of a session that this browser has."""
    return {cookie.key for cookie in visitor.http.cookie_jar if cookie.key.startswith("directus_")}


@pytest.mark.parametrize("path", ["/auth/oauth/company", "/auth/oauth?provider=company", "/auth/login/company"])
async def test_a_new_user_comes_back_signed_in(site: Site, visitor: Visitor, path: str) -> None:
    """Whoever signs in at the provider is on the application's page with a session, by every name of the way."""
    landed = await visitor.sign_in(site.begin(path), "ada")
    assert (landed.status, landed.location) == (302, site.page)
    assert (await site.user(visitor))["email"] == "ada@example.com"


async def test_the_same_person_is_the_same_user(site: Site, visitor: Visitor) -> None:
    """Whoever comes again, from another browser and by the later names, is the user of the first time."""
    await visitor.sign_in(site.begin(), "ada")
    async with newcomer() as elsewhere:
        await elsewhere.sign_in(site.begin("/auth/login/company"), "ada")
        assert (await site.user(elsewhere))["id"] == (await site.user(visitor))["id"]


async def test_without_a_page_the_tokens_are_json(site: Site, visitor: Visitor) -> None:
    """Without a page to return to, the answer is the tokens themselves."""
    landed = await visitor.sign_in(site.begin(redirect=None), "ada")
    assert (landed.status, landed.location) == (200, "")
    data = landed.body["data"]
    assert (set(data), data["expires"]) == ({"access_token", "expires", "refresh_token"}, 900_000)
    USED_SECRETS.note(data["refresh_token"])
    assert (await site.user(visitor, data["access_token"]))["email"] == "ada@example.com"


async def test_a_trusted_address_finds_the_user_who_has_it(site: Site, visitor: Visitor) -> None:
    """A user who has a password here signs in through the company as well, and is the same user."""
    async with visitor.http.post(f"{site.platform.url}/auth/login", json=SIGN_IN) as response:
        known = await site.user(visitor, (await response.json())["data"]["access_token"])
    await visitor.sign_in(site.begin(), "someone")
    assert await site.user(visitor) == known


async def test_the_second_factor_is_still_asked_for(site: Site, visitor: Visitor) -> None:
    """A user with an authenticator comes back without a session, and gets it for a code."""
    landed = await visitor.sign_in(site.begin("/auth/login/company"), "otto")
    assert landed.location == f"{site.page}?reason=INVALID_OTP"
    assert session_cookies(visitor) == set()
    totp = TOTP(TOTP_SECRET, 6, SHA1(), 30, enforce_key_length=False)
    code = totp.generate(SystemClock().now().timestamp()).decode()
    body = {"otp": code, "mode": "cookie"}
    async with visitor.http.post(f"{site.platform.url}/auth/login/company", json=body) as response:
        assert response.status == 200, await response.text()
    assert (await site.user(visitor))["email"] == "otto@example.com"


@pytest.mark.parametrize(
    ("provider", "login"),
    [("company", "unverified"), ("company", "suspended"), ("club", "someone"), ("club", "grace")],
)
async def test_who_may_not_come_in_is_refused_in_the_same_words(
    site: Site, visitor: Visitor, provider: str, login: str
) -> None:
    """Unverified, suspended, known by an address that is not trusted, unknown where nobody new may come: one answer."""
    landed = await visitor.sign_in(site.begin(f"/auth/oauth/{provider}"), login)
    assert (landed.status, landed.location) == (302, f"{site.page}?reason={REFUSED}")
    assert session_cookies(visitor) == set()


async def test_whoever_turns_back_at_the_provider_is_told_so(site: Site, visitor: Visitor) -> None:
    """Cancelling at the provider leads back to the application, with a reason and without a session."""
    landed = await visitor.sign_in(site.begin(), None)
    assert (landed.status, landed.location) == (302, f"{site.page}?reason={REFUSED}")


async def test_a_callback_works_once(site: Site, visitor: Visitor) -> None:
    """Whoever gets hold of a callback's address is too late, even with the cookie that belongs to it."""
    callback = await visitor.prove(site.begin(), "ada")
    kept = kept_cookies(visitor)
    assert (await visitor.step(callback)).location == site.page
    async with newcomer() as thief:
        thief.http.cookie_jar.update_cookies(kept, URL(site.platform.url))
        assert (await thief.step(callback)).reason == REFUSED


async def test_a_callback_works_in_its_own_browser_alone(site: Site, visitor: Visitor) -> None:
    """A link to a callback signs nobody else in, whether they were on their own way to the provider or not."""
    async with newcomer() as attacker, newcomer() as victim:
        callback = await attacker.prove(site.begin(), "grace")
        assert (await visitor.step(callback)).status == 401
        await victim.step(site.begin())
        assert (await victim.step(callback)).reason == REFUSED


@pytest.mark.parametrize("value", ["made up", None])
@pytest.mark.parametrize("name", ["code", "state", "iss"])
async def test_a_changed_callback_signs_nobody_in(site: Site, visitor: Visitor, name: str, value: str | None) -> None:
    """A code, a state or an issuer that is not what the provider has sent, or that is left out, is refused."""
    callback = URL(await visitor.prove(site.begin(), "ada"))
    assert name in callback.query
    changed = callback.without_query_params(name) if value is None else callback.update_query({name: value})
    assert (await visitor.step(str(changed))).location == f"{site.page}?reason={REFUSED}"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/signed-in",
        "//evil.example/signed-in",
        "{page}.evil.example",
        "{application}.evil.example/signed-in",
        "{application}@evil.example/signed-in",
        "{application}\\@evil.example/signed-in",
        "{page}/../elsewhere",
        "{page}/%2e%2e/elsewhere",
        "javascript:alert(1)",
        "/signed-in",
    ],
)
async def test_nobody_is_sent_to_a_page_that_is_not_listed(site: Site, visitor: Visitor, elsewhere: str) -> None:
    """A way back that is not on the list is refused at once, before anybody is sent to the provider."""
    url = elsewhere.format(page=site.page, application=site.application)
    for path in ("/auth/oauth/company", "/auth/login/company"):
        refused = await visitor.step(site.begin(path, url))
        assert (refused.status, refused.location) == (400, "")


async def test_a_changed_cookie_leads_nowhere_else(site: Site, visitor: Visitor) -> None:
    """A browser whose cookie was rewritten is not sent where that says."""
    callback = await visitor.prove(site.begin(), "ada")
    [(name, value)] = kept_cookies(visitor).items()
    text = urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()
    assert site.page in text
    changed = urlsafe_b64encode(text.replace(site.page, "https://evil.example/").encode()).rstrip(b"=").decode()
    async with newcomer() as same:
        same.http.cookie_jar.update_cookies({name: changed}, URL(site.platform.url))
        landed = await same.step(callback)
    assert (landed.status >= 400, landed.location) == (True, "")


@pytest.mark.parametrize(
    ("misbehaviour", "reason"),
    [
        ({}, ""),
        ({"claims": {"nonce": "that of another sign-in"}}, REFUSED),
        ({"claims": {"nonce": None}}, REFUSED),
        ({"claims": {"iss": "https://other.example"}}, REFUSED),
        ({"claims": {"aud": "another client"}}, REFUSED),
        ({"callback_issuer": "https://other.example"}, REFUSED),
        ({"signing": "stranger"}, REFUSED),
        ({"signing": "none"}, REFUSED),
    ],
)
async def test_a_provider_that_lies_signs_nobody_in(
    site: Site, visitor: Visitor, misbehaviour: dict[str, Any], reason: str
) -> None:
    """An id_token of another sign-in, issuer or client, or signed by a stranger, and a callback of another issuer."""
    async with FakeProvider(person=PERSON | {"email": "lied-about@example.com"}, **misbehaviour) as provider:
        more = ("--client-id", CLIENT_ID, "--secret-name", SECRET_NAME, "--trust-email", "--allow-new-users")
        await site.add_provider("fake", provider.url, *more)
        landed = await visitor.sign_in(site.begin("/auth/oauth/fake"), "whoever")
    assert (landed.status, landed.reason) == (302, reason)


async def test_a_provider_that_is_down_costs_nothing_else(site: Site, visitor: Visitor) -> None:
    """Whoever comes back while the provider hangs is told so within its time-out; others sign in by password."""
    callback = await visitor.prove(site.begin(), "ada")
    loop = asyncio.get_running_loop()
    site.provider.process.pause()
    try:
        began = loop.time()
        waiting = asyncio.create_task(visitor.step(callback))
        async with newcomer() as other, other.http.post(f"{site.platform.url}/auth/login", json=SIGN_IN) as response:
            assert (response.status, waiting.done()) == (200, False)
        landed = await waiting
        assert (landed.reason, loop.time() - began < 4.5) == (AWAY, True)
    finally:
        site.provider.process.resume()
    assert (await visitor.sign_in(site.begin(), "ada")).location == site.page


async def test_the_whole_way_in_a_browser(site: Site, tmp_path: Path) -> None:
    """In Chromium: from the application to the provider, through its two pages, and back as oneself."""
    async with site.open_application(), browser(tmp_path) as chromium:
        await chromium.open(site.application)
        await chromium.click("#sign-in")
        assert (await chromium.url()).startswith(site.provider.issuer)
        await chromium.type("[name=login]", "ada")
        await chromium.type("[name=password]", "any will do")
        await chromium.click("[type=submit]")
        await chromium.click("[name=prompt][value=consent] ~ [type=submit]")
        assert await chromium.text("#user") == "ada@example.com"
        assert await chromium.url() == site.page
        cookie = await chromium.cookie("directus_refresh_token")
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        assert await chromium.script("return document.cookie") == ""
