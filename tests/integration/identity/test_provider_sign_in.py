"""Who signs in through an external provider, and who does not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from services.identity.domain.providers import ProviderLink
from services.identity.repository.users import UserRepository
from shared.contracts.identity import Authentication, CreateUser, SetSecuritySetting, User
from shared.contracts.providers import RemoveProvider
from tests.integration.identity.conftest import EMAIL, TOTP_SECRET, Identity, Platform, outcome
from tests.integration.identity.visitors import BROWSER, CALLBACK, Visitor, mounted, query
from tests.support.oidc_provider import FakeProvider

CREATED = "identity.user_created.v1"


@pytest.fixture
async def provider(platform: Platform) -> AsyncIterator[FakeProvider]:
    """The provider, by the same clock."""
    async with FakeProvider(platform.clock) as started:
        yield started


@pytest.fixture
async def visitor(platform: Platform, provider: FakeProvider, tmp_path: Path) -> AsyncIterator[Visitor]:
    """Somebody at a browser, with the provider configured; it may bring new users."""
    async with platform.running(provider_secrets=mounted(tmp_path)) as identity:
        visitor = Visitor(identity, provider)
        await visitor.configure()
        yield visitor


async def users(identity: Identity) -> int:
    """How many there are."""
    count: int = await identity.platform.database.fetchval("SELECT count(*) FROM identity.users")
    return count


async def links(identity: Identity) -> list[str]:
    """The subjects that are linked."""
    rows = await identity.platform.database.fetch("SELECT subject FROM identity.provider_links ORDER BY subject")
    return [row["subject"] for row in rows]


async def test_somebody_new(visitor: Visitor) -> None:
    """Who comes for the first time becomes a user with the address, and is the same one the next time."""
    first = await visitor.sign_in()
    assert (first.user.email, first.methods, first.challenge) == (EMAIL, ["fed"], None)
    assert await visitor.identity.told() == [CREATED]
    visitor.provider.person["email"] = "moved@example.com"
    again = await visitor.sign_in()
    assert again.user == first.user
    assert await users(visitor.identity) == 1


async def test_the_way_there(visitor: Visitor) -> None:
    """The browser is sent with everything that protects the way back, new each time, and not with what finishes it."""
    one, two = query(await visitor.begin()), query(await visitor.begin())
    assert (one["redirect_uri"], one["response_type"], one["scope"]) == (CALLBACK, "code", "openid email")
    assert one["code_challenge_method"] == "S256"
    for name in ("state", "nonce", "code_challenge"):
        assert len(one[name]) == 43
        assert one[name] != two[name]
    assert "code_verifier" not in one


async def test_nothing_secret_is_kept(visitor: Visitor, platform: Platform, redis_url: str) -> None:
    """Whoever looks into Redis meanwhile can neither finish the sign-in nor recognise it."""
    sent = query(await visitor.begin())
    async with Redis.from_url(redis_url) as redis:
        names = [name async for name in redis.scan_iter(f"{platform.settings['DRAGOMAN_REDIS_PREFIX']}*state*")]
        kept = str([*names, *[await redis.get(name) for name in names]])
    assert len(names) == 1
    for secret in (sent["state"], sent["nonce"], sent["code_challenge"], BROWSER):
        assert secret not in kept


async def test_state_works_once(visitor: Visitor) -> None:
    """What came back once cannot come back again, whether it was right or wrong."""
    back = await visitor.visit()
    assert await outcome(visitor.come_back(back)) == "ok"
    assert await outcome(visitor.come_back(back)) == "wrong_password"
    back = await visitor.visit()
    assert await outcome(visitor.come_back(back, code=SecretStr("a code that was never given"))) == "wrong_password"
    assert await outcome(visitor.come_back(back)) == "wrong_password"


async def test_state_at_once(visitor: Visitor) -> None:
    """Of many who come back with the same state at once one signs in."""
    back = await visitor.visit()
    outcomes = await asyncio.gather(*(outcome(visitor.come_back(back)) for _ in range(10)))
    assert sorted(outcomes) == ["ok"] + ["wrong_password"] * 9


@pytest.mark.parametrize(
    "changed",
    [
        {"browser": SecretStr("secret of another browser")},
        {"browser": SecretStr("")},
        {"provider": "other"},
        {"dialect": "oauth2"},
        {"state": SecretStr("a state that was never given")},
        {"state": SecretStr("")},
    ],
)
async def test_another_sign_in(visitor: Visitor, changed: dict[str, Any]) -> None:
    """What one browser began at one provider in one dialect is finished by no other, and the provider is not asked."""
    await visitor.configure(name="other")
    back = await visitor.visit()
    assert await outcome(visitor.come_back(back, **changed)) == "wrong_password"
    assert visitor.provider.redeemed == []
    assert await users(visitor.identity) == 0


async def test_five_minutes(visitor: Visitor) -> None:
    """Who takes more than five minutes at the provider begins anew."""
    back = await visitor.visit()
    visitor.identity.platform.clock.advance(299)
    assert await outcome(visitor.come_back(back)) == "ok"
    back = await visitor.visit()
    visitor.identity.platform.clock.advance(300)
    assert await outcome(visitor.come_back(back)) == "wrong_password"


@pytest.mark.parametrize(
    "wrong",
    [
        {"claims": {"nonce": "another"}},
        {"claims": {"nonce": None}},
        {"claims": {"iss": "https://elsewhere.example.com"}},
        {"claims": {"aud": "another client"}},
        {"claims": {"exp": 1}},
        {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
        {"claims": {"sub": None}},
        {"signing": "none"},
        {"signing": "HS256"},
        {"signing": "stranger"},
        {"callback_issuer": "https://elsewhere.example.com"},
        {"metadata": {"authorization_response_iss_parameter_supported": True}},
        {
            "in_id_token": ("sub",),
            "answers": {"/userinfo": {"sub": "person-2", "email": EMAIL, "email_verified": True}},
        },
        {"answers": {"/token": {"access_token": "of nobody", "token_type": "Bearer"}}},
        {"answers": {"/token": {"error": "bad_verification_code"}}},
        {"answers": {"/token": []}},
    ],
)
async def test_answers_that_do_not_hold(visitor: Visitor, wrong: dict[str, Any]) -> None:
    """An answer of another issuer, for another sign-in or client, or that nobody signed, signs nobody in."""
    for name, value in wrong.items():
        setattr(visitor.provider, name, value)
    assert await outcome(visitor.sign_in()) == "wrong_password"
    assert await users(visitor.identity) == 0


@pytest.mark.parametrize(
    "fine",
    [
        {"callback_issuer": "own"},
        {"callback_issuer": "own", "metadata": {"authorization_response_iss_parameter_supported": True}},
        {"in_id_token": ("sub",)},
        {"metadata": {"token_endpoint_auth_methods_supported": ["client_secret_post"]}},
        {"metadata": {"token_endpoint_auth_methods_supported": None}},
    ],
)
async def test_providers_differ(visitor: Visitor, fine: dict[str, Any]) -> None:
    """Providers that name themselves, tell the address apart or want the secret in the form are understood."""
    for name, value in fine.items():
        setattr(visitor.provider, name, value)
    assert (await visitor.sign_in()).user.email == EMAIL


@pytest.mark.parametrize("changed", [{"email_verified": False}, {"email_verified": None}, {"email": "no address"}])
async def test_addresses_that_do_not_count(visitor: Visitor, changed: dict[str, Any]) -> None:
    """Nobody becomes a user, new or old, by an address that the provider has not verified."""
    visitor.provider.person |= changed
    await visitor.configure(trust_email=True)
    assert await outcome(visitor.sign_in()) == "no_such_user"
    await visitor.identity.create(email=EMAIL)
    assert await outcome(visitor.sign_in()) == "no_such_user"
    assert await links(visitor.identity) == []


async def test_address_of_a_user(visitor: Visitor) -> None:
    """A user is found by the address where the provider is trusted for that, and stays linked once it is not."""
    user = await visitor.identity.create()
    assert await outcome(visitor.sign_in()) == "no_such_user"
    assert await links(visitor.identity) == []
    await visitor.configure(trust_email=True)
    assert (await visitor.sign_in()).user == user
    await visitor.configure()
    visitor.provider.person |= {"email": "moved@example.com", "email_verified": False}
    assert (await visitor.sign_in()).user == user
    assert await links(visitor.identity) == ["person-1"]


async def test_no_new_users(visitor: Visitor, platform: Platform, tmp_path: Path) -> None:
    """New users come only where both the provider and the platform allow them."""
    await visitor.configure(allow_new_users=False)
    assert await outcome(visitor.sign_in()) == "no_such_user"
    elsewhere = Platform(platform.settings, platform.database, platform.clock)
    async with elsewhere.running(provider_secrets=str(tmp_path), allow_new_users="no") as closed:
        other = Visitor(closed, visitor.provider)
        await other.configure()
        assert await outcome(other.sign_in()) == "no_such_user"
    assert await users(visitor.identity) == 0


async def test_suspended(visitor: Visitor) -> None:
    """Somebody suspended stays out, and is not linked while that lasts."""
    await visitor.identity.create()
    await visitor.identity.suspend(EMAIL)
    await visitor.configure(trust_email=True)
    assert await outcome(visitor.sign_in()) == "user_suspended"
    assert await links(visitor.identity) == []
    visitor.provider.person |= {"sub": "person-2", "email": "second@example.com"}
    assert await outcome(visitor.sign_in()) == "ok"
    await visitor.identity.suspend("second@example.com")
    assert await outcome(visitor.sign_in()) == "user_suspended"


async def test_second_factor(visitor: Visitor) -> None:
    """The second factor is asked for all the same, in the dialect that began."""
    identity = visitor.identity
    await identity.create(totp_secret=TOTP_SECRET)
    await visitor.configure(trust_email=True)
    asked = await visitor.sign_in()
    assert asked.challenge is not None
    assert asked.challenge.token is not None
    assert (asked.challenge.kind, asked.challenge.factor) == ("second_factor", "totp")
    token = asked.challenge.token.get_secret_value()
    assert await outcome(identity.answer("second_factor", token, "000000", dialect="directus")) == "wrong_code"
    admitted = await identity.answer("second_factor", token, identity.totp(), dialect="directus")
    assert admitted.methods == ["fed", "otp", "mfa"]


async def test_factor_by_default(visitor: Visitor) -> None:
    """Where everybody begins with a factor by e-mail, so does who comes from a provider."""
    change = SetSecuritySetting(name="email_second_factor_default", value="on", changed_by="ada")
    await visitor.identity.callers["operator"].call(change)
    asked = await visitor.sign_in()
    assert asked.challenge is not None
    assert asked.challenge.factor == "email"


async def test_password_that_must_change(visitor: Visitor) -> None:
    """Who has to change the password first has to here too."""
    await visitor.identity.create(must_change_password=True)
    await visitor.configure(trust_email=True)
    assert await outcome(visitor.sign_in()) == "password_change_required"


async def test_failures_are_forgotten(visitor: Visitor) -> None:
    """Who has come in through the provider is not held up by a stranger's guesses, and their network is known."""
    identity, home = visitor.identity, "192.0.2.1/32"
    await identity.create()
    await visitor.configure(trust_email=True)
    for _ in range(11):
        await outcome(identity.authenticate(EMAIL, "wrong"))
    assert await outcome(identity.authenticate(EMAIL)) == "too_many_attempts"
    await visitor.come_back(await visitor.visit(), source=home)
    for _ in range(11):
        await outcome(identity.authenticate(EMAIL, "wrong"))
    assert await outcome(identity.authenticate(EMAIL)) == "too_many_attempts"
    assert await outcome(identity.authenticate(EMAIL, source=home)) == "ok"


async def test_first_sign_ins_at_once(visitor: Visitor) -> None:
    """Somebody new who signs in with several devices at once is one user."""
    backs = [await visitor.visit() for _ in range(5)]
    found = await asyncio.gather(*(visitor.come_back(back) for back in backs))
    assert len({authentication.user.id for authentication in found}) == 1
    assert await users(visitor.identity) == 1
    assert await visitor.identity.told() == [CREATED]


async def test_a_first_sign_in_that_another_one_overtakes(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who becomes a user with one device, after another one has found that they are none yet, is let in with both."""
    first, second = await visitor.visit(), await visitor.visit()
    find_linked = UserRepository.find_linked
    overtaking: list[Authentication] = []

    async def find_late(users: UserRepository, link: ProviderLink) -> User | None:
        found = await find_linked(users, link)
        if not overtaking:
            monkeypatch.undo()
            overtaking.append(await visitor.come_back(second))
        return found

    monkeypatch.setattr(UserRepository, "find_linked", find_late)
    assert (await visitor.come_back(first)).user.id == overtaking[0].user.id
    assert await users(visitor.identity) == 1


async def test_replaced_users(visitor: Visitor) -> None:
    """Whom an operator replaces by somebody else is no longer let in by the link that the former one had."""
    await visitor.sign_in()
    call = CreateUser(email=EMAIL, password=SecretStr("Somebody-else-1234"), replace=True)
    await visitor.identity.callers["operator"].call(call)
    assert await links(visitor.identity) == []
    assert await outcome(visitor.sign_in()) == "no_such_user"


async def test_deleted_users(visitor: Visitor) -> None:
    """A user who was deleted leaves no link; the same person may become a new user."""
    first = await visitor.sign_in()
    await visitor.identity.delete(EMAIL)
    assert await links(visitor.identity) == []
    assert (await visitor.sign_in()).user.id != first.user.id


async def test_another_provider_of_the_same_name(visitor: Visitor) -> None:
    """People stay linked when their provider is described anew, and not when another one takes its name."""
    await visitor.sign_in()
    subjects = await links(visitor.identity)
    await visitor.configure(label="Renamed", trust_email=True)
    assert await links(visitor.identity) == subjects != []
    await visitor.configure(kind="github")
    assert await links(visitor.identity) == []


async def test_removed_provider(visitor: Visitor) -> None:
    """Once a provider is removed nobody signs in through it, also who is on the way; its users stay."""
    await visitor.sign_in()
    back = await visitor.visit()
    await visitor.identity.callers["operator"].call(RemoveProvider(name="example"))
    assert await outcome(visitor.come_back(back)) == "wrong_password"
    assert await outcome(visitor.begin()) == "not_found"
    assert (await users(visitor.identity), await links(visitor.identity)) == (1, [])


async def test_github(visitor: Visitor) -> None:
    """GitHub names people by number, and its verified primary address counts alone."""
    await visitor.configure(kind="github")
    visitor.provider.github_emails = [
        {"email": "other@example.com", "primary": False, "verified": True},
        {"email": EMAIL, "primary": True, "verified": False},
    ]
    assert await outcome(visitor.sign_in()) == "no_such_user"
    visitor.provider.github_emails[1]["verified"] = True
    assert (await visitor.sign_in()).user.email == EMAIL
    assert await links(visitor.identity) == ["583231"]
    visitor.provider.status["/user/emails"] = 404  # without the scope for it
    assert await outcome(visitor.sign_in()) == "ok"


async def test_facebook(visitor: Visitor) -> None:
    """Facebook does not say whether it has verified an address: it counts where the operator says so."""
    await visitor.configure(kind="facebook")
    assert await outcome(visitor.sign_in()) == "no_such_user"
    await visitor.configure(kind="facebook", trust_email=True)
    assert (await visitor.sign_in()).user.email == EMAIL
    assert await links(visitor.identity) == ["10150000000000001"]


async def test_plain_oauth(visitor: Visitor) -> None:
    """Any other provider is read by the names that it has for things."""
    fields = {"subject_field": "id", "email_field": "mail", "email_verified_field": "confirmed"}
    await visitor.configure(kind="oauth2", scopes=["identify"], **fields)
    visitor.provider.person = {"id": 7, "mail": EMAIL, "confirmed": False}
    assert query(await visitor.begin())["scope"] == "identify"
    assert await outcome(visitor.sign_in()) == "no_such_user"
    visitor.provider.person["confirmed"] = True
    assert (await visitor.sign_in()).user.email == EMAIL
    assert await links(visitor.identity) == ["7"]
