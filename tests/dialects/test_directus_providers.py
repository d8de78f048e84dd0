"""Signing in to the `directus` dialect through an external provider, there and back again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
import pytest_asyncio
from pydantic import SecretStr

from shared.contracts.identity import CreateUser, SetSecondFactors, SuspendUser
from shared.contracts.providers import AddProvider, RemoveProvider
from tests.dialects.doors import is_let_in
from tests.dialects.exchanges import check_headers
from tests.dialects.running import ISSUER, Answer, Platform, Servers, load_demo, open_platform
from tests.support.oidc_provider import CLIENT_SECRET, DISCOVERY, SECRET_NAME, FakeProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "https://app.example.com/admin/login"
PASSWORD = "correct horse battery staple"
each_door = pytest.mark.parametrize("door", ["oauth", "login"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """Everything runs, and knows a page to return to and the secret of a client."""
    secrets: Path = tmp_path_factory.mktemp("secrets")
    (secrets / SECRET_NAME).write_text(f"{CLIENT_SECRET}\n")
    async with open_platform(
        servers,
        identity_provider_secrets=str(secrets),
        gateway_directus_redirect_allow_list="https://app.example.com/admin",
        gateway_directus_login_stall_ms="0",
    ) as running:
        await load_demo(running)
        yield running


@dataclass
class Browser:
    """A browser that keeps the cookies of the platform, and the provider that it visits."""

    platform: Platform
    provider: FakeProvider
    name: str
    cookies: dict[str, str]

    async def get(self, path: str, **query: str) -> Answer:
        """GET a path of the platform."""
        return self._kept(await self.platform.send("GET", path, params=query, headers=self._headers()))

    async def post(self, path: str, body: dict[str, str]) -> Answer:
        """POST JSON to one."""
        return self._kept(await self.platform.send("POST", path, json=body, headers=self._headers()))

    async def begin(self, door: str = "login", redirect: str | None = PAGE) -> dict[str, str]:
        """Go to the provider, which has somebody sign in: what it sends the browser back with."""
        answer = await self.get(f"/auth/{door}/{self.name}", **({"redirect": redirect} if redirect else {}))
        assert answer.status == 302, answer.text
        return await self.provider.visit(answer.headers["Location"])

    async def come_back(self, brought: dict[str, str], door: str = "login") -> Answer:
        """Go back to the platform with it."""
        return await self.get(f"/auth/{door}/{self.name}/callback", **brought)

    async def sign_in(self, door: str = "login", redirect: str | None = PAGE) -> Answer:
        """There and back again."""
        return await self.come_back(await self.begin(door, redirect), door)

    def another(self) -> "Browser":
        """The browser of somebody else."""
        return Browser(self.platform, self.provider, self.name, {})

    def _headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    def _kept(self, answer: Answer) -> Answer:
        check_headers(answer)
        for line in answer.headers.getall("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return answer


@pytest_asyncio.fixture(loop_scope="module")
async def browser(platform: Platform) -> AsyncIterator[Browser]:
    """A browser, and a provider of the test's own whose word for an e-mail address counts."""
    async with FakeProvider(platform.clock) as provider:
        name = f"example-{urlsplit(provider.url).port}"
        await configure(platform, provider, name)
        yield Browser(platform, provider, name, {})
        await platform.operate(RemoveProvider(name=name))


async def configure(platform: Platform, provider: FakeProvider, name: str, **more: Any) -> None:
    """Add the provider, or change it."""
    configured = provider.configured(name, **{"trust_email": True, "allow_new_users": True} | more)
    await platform.operate(AddProvider(provider=configured, replace=True))


async def somebody(browser: Browser, name: str, **attributes: Any) -> str:
    """A user of the test's own whom the provider will sign in; the e-mail address."""
    email = f"{name}@example.com"
    await browser.platform.operate(
        CreateUser(email=email, password=SecretStr(PASSWORD), enforce_policy=False, replace=True, **attributes)
    )
    browser.platform.clock.advance(1)
    browser.provider.person |= {"sub": f"subject of {name}", "email": email}
    return email


def refused(answer: Answer, reason: str = "INVALID_CREDENTIALS") -> bool:
    """Whether the browser is back at its page with this reason, and with nothing that lets it in."""
    assert "directus_refresh_token" not in str(answer.headers)
    return (answer.status, answer.headers.get("Location")) == (302, f"{PAGE}?reason={reason}")


@each_door
async def test_there_and_back_again(browser: Browser, door: str) -> None:
    """The browser is back at its page, and its cookie gives the tokens of who signed in there."""
    email = await somebody(browser, f"traveller-{door}")
    answer = await browser.sign_in(door)
    assert (answer.status, answer.headers["Location"]) == (302, PAGE)
    assert list(browser.cookies) == ["directus_refresh_token"]
    refreshed = await browser.post("/auth/refresh", {"mode": "cookie"})
    access = refreshed.json()["data"]["access_token"]
    assert await is_let_in(browser.platform, access)
    me = await browser.platform.send("GET", "/users/me", headers={"Authorization": f"Bearer {access}"})
    assert me.json()["data"]["email"] == email
    [redeemed] = browser.provider.redeemed
    assert redeemed["redirect_uri"] == f"{ISSUER}/auth/{door}/{browser.name}/callback"


@each_door
async def test_without_a_page(browser: Browser, door: str) -> None:
    """A client that named no page gets JSON, and can sign out with it."""
    await somebody(browser, f"client-{door}")
    answer = await browser.sign_in(door, redirect=None)
    assert answer.status == 200
    assert list(answer.json()["data"]) == ["access_token", "expires", "refresh_token"]
    assert browser.cookies == {}
    refresh_token = answer.json()["data"]["refresh_token"]
    assert (await browser.post("/auth/logout", {"refresh_token": refresh_token})).status == 204


@pytest.mark.parametrize("kind", ["oauth2", "github"])
async def test_providers_without_openid(browser: Browser, kind: str) -> None:
    """Plain OAuth 2 will do, by what the provider tells of its user."""
    await somebody(browser, f"plain-{kind}")
    await configure(browser.platform, browser.provider, browser.name, kind=kind)
    assert (await browser.sign_in()).headers["Location"] == PAGE


async def test_a_state_is_good_once(browser: Browser) -> None:
    """Neither the same browser nor one with its cookie gets in by it again."""
    await somebody(browser, "replayed")
    brought = await browser.begin()
    kept = dict(browser.cookies)
    assert (await browser.come_back(brought)).headers["Location"] == PAGE
    assert (await browser.come_back(brought)).status == 401
    thief = browser.another()
    thief.cookies = kept
    assert refused(await thief.come_back(brought))
    assert len(browser.provider.redeemed) == 1


async def test_only_the_browser_that_began_can_finish(browser: Browser) -> None:
    """Whoever is made to follow somebody else's link is not signed in as them, also while signing in themselves."""
    await somebody(browser, "tricked")
    brought = await browser.begin()
    victim = browser.another()
    assert (await victim.come_back(brought)).status == 401
    await victim.begin()
    assert refused(await victim.come_back(brought))
    assert browser.provider.redeemed == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"claims": {"nonce": "another"}},
        {"claims": {"nonce": None}},
        {"claims": {"iss": "https://evil.example.com"}},
        {"claims": {"aud": "somebody else"}},
        {"signing": "stranger"},
        {"signing": "none"},
        {"signing": "HS256"},
        {"callback_issuer": "https://evil.example.com"},
    ],
    ids=str,
)
async def test_answers_that_prove_nothing(browser: Browser, wrong: dict[str, Any]) -> None:
    """What the provider did not say, or did not say to us, signs nobody in."""
    await somebody(browser, "unproved")
    for name, value in wrong.items():
        setattr(browser.provider, name, value)
    assert refused(await browser.sign_in())


async def test_who_is_refused_is_refused_in_the_same_words(browser: Browser) -> None:
    """A stranger, somebody suspended, and an address that is not verified or not trusted: one answer for all."""
    platform, provider = browser.platform, browser.provider
    answers = []
    email = await somebody(browser, "expelled-by-provider")
    await platform.operate(SuspendUser(identifier=email))
    answers.append(await browser.sign_in(redirect=None))
    await somebody(browser, "unverified")
    provider.person["email_verified"] = False
    answers.append(await browser.sign_in(redirect=None))
    provider.person["email_verified"] = True
    await configure(platform, provider, browser.name, trust_email=False)
    answers.append(await browser.sign_in(redirect=None))
    provider.person |= {"sub": "nobody", "email": "nobody-at-all@example.com"}
    await configure(platform, provider, browser.name, allow_new_users=False)
    answers.append(await browser.sign_in(redirect=None))
    body = '{"errors":[{"message":"Invalid user credentials.","extensions":{"code":"INVALID_CREDENTIALS"}}]}'
    assert {(answer.status, answer.text) for answer in answers} == {(401, body)}


@pytest.mark.parametrize("redirect", [PAGE, None])
async def test_a_second_factor_is_not_skipped(browser: Browser, redirect: str | None) -> None:
    """Whoever has one proves it in a step of its own; until then nothing lets them in."""
    secret = pyotp.random_base32()
    await somebody(browser, f"careful-{redirect is None}", totp_secret=SecretStr(secret))
    answer = await browser.sign_in(redirect=redirect)
    if redirect is not None:
        assert refused(answer, "INVALID_OTP")
    else:
        [error] = answer.json()["errors"]
        assert (answer.status, error["extensions"]["code"]) == (401, "INVALID_OTP")
        assert error["extensions"]["challenge"] == browser.cookies[f"oauth2.{browser.name}.challenge"]
    assert list(browser.cookies) == [f"oauth2.{browser.name}.challenge"]
    code = pyotp.TOTP(secret).at(browser.platform.clock.now())
    wrong = pyotp.TOTP(secret).at(browser.platform.clock.now(), counter_offset=50)
    path = f"/auth/login/{browser.name}"
    tried = await browser.post(path, {"otp": wrong})
    assert (tried.status, tried.json()["errors"][0]["extensions"]["code"]) == (401, "INVALID_OTP")
    proved = await browser.post(path, {"otp": code, "mode": "cookie"})
    assert proved.status == 200, proved.text
    assert await is_let_in(browser.platform, proved.json()["data"]["access_token"])
    assert list(browser.cookies) == ["directus_refresh_token"]
    assert (await browser.post("/auth/refresh", {})).status == 200


async def test_an_emailed_second_factor(browser: Browser) -> None:
    """The code is on its way when the browser is back."""
    email = await somebody(browser, "mailed-by-provider")
    await browser.platform.operate(SetSecondFactors(identifier=email, email=True))
    assert refused(await browser.sign_in(), "INVALID_OTP")
    code = await browser.platform.code_for(email)
    assert (await browser.post(f"/auth/login/{browser.name}", {"otp": code})).status == 200


async def test_a_provider_that_is_down(browser: Browser) -> None:
    """Its users are told so, before and after they have been there; whoever has a password comes in."""
    email = await somebody(browser, "patient")
    browser.provider.status[DISCOVERY] = 503
    assert refused(await browser.get(f"/auth/login/{browser.name}", redirect=PAGE), "SERVICE_UNAVAILABLE")
    assert (await browser.get(f"/auth/login/{browser.name}")).status == 503
    browser.provider.status.clear()
    brought = await browser.begin()
    await browser.provider.stop()
    assert refused(await browser.come_back(brought), "SERVICE_UNAVAILABLE")
    signed_in = await browser.post("/auth/login", {"email": email, "password": PASSWORD})
    assert signed_in.status == 200


async def test_the_lists(browser: Browser) -> None:
    """Each age of clients finds the provider in its list."""
    assert browser.name in (await browser.get("/auth/oauth")).json()["data"]
    listed = {provider["name"]: provider["driver"] for provider in (await browser.get("/auth")).json()["data"]}
    assert listed[browser.name] == "openid"
