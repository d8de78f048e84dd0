"""What holds across the dialects, whichever of them somebody comes through (api-contracts §1.5)."""

from typing import Any

import pyotp
import pytest

from shared.contracts.identity import CreateUser, SetSecondFactors, SuspendUser
from shared.contracts.token import RotateClientSecret, WithdrawClientSecrets
from tests.dialects.doors import BACKOFFICE, DIRECTUS, DOORS, ENTERPRISE, OAUTH2, Door, gives_tokens, is_let_in
from tests.dialects.running import Answer, Platform
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse battery staple"
NEW = "another horse, another staple"
each_door = pytest.mark.parametrize("door", DOORS, ids=[door.name for door in DOORS])


async def new_user(platform: Platform, name: str, **attributes: Any) -> str:
    """A user of the test's own, who is named by e-mail and by username; the e-mail."""
    email = f"{name}@example.com"
    call = CreateUser(email=email, username=name, password=PASSWORD, enforce_policy=False, replace=True, **attributes)
    await platform.operate(call)
    return email


async def signed_in(platform: Platform, door: Door, email: str, password: str = PASSWORD) -> Answer:
    """The answer with the tokens; the sign-in has to succeed."""
    answer = await door.sign_in(platform, email, password)
    assert answer.status == 200, answer.text
    assert gives_tokens(answer), answer.text
    return answer


async def dies(platform: Platform, access_token: str) -> None:
    """Return once the token is refused."""

    async def refused() -> bool | None:
        return None if await is_let_in(platform, access_token) else True

    await eventually(refused, 10.0, "the token is refused")


# --- 1. a second factor is never skipped ------------------------------------------------------------------------------


@each_door
@pytest.mark.parametrize("factor", ["email", "totp"])
async def test_no_dialect_lets_a_second_factor_be_skipped(platform: Platform, door: Door, factor: str) -> None:
    """The right password alone gives no token to whoever has a second factor."""
    secret = {"totp_secret": pyotp.random_base32()} if factor == "totp" else {"email_second_factor": True}
    email = await new_user(platform, f"factor-{factor}-{door.name}", **secret)
    answer = await door.sign_in(platform, email, PASSWORD)
    assert not gives_tokens(answer), answer.text


async def test_a_code_as_password_does_not_skip_a_second_factor(platform: Platform) -> None:
    """A one-time code is one factor, not two."""
    email = await new_user(platform, "coded", totp_secret=pyotp.random_base32())
    assert (await platform.send_code(email=email))[0] == 200
    answer = await OAUTH2.sign_in(platform, email, await platform.code_for(email))
    assert not gives_tokens(answer), answer.text


async def test_no_dialect_refreshes_on_without_a_factor_that_a_challenge_still_asks_for(platform: Platform) -> None:
    """A challenge is no session: its token opens nothing until it was met."""
    email = await new_user(platform, "challenged", email_second_factor=True)
    answer = await BACKOFFICE.sign_in(platform, email, PASSWORD)
    token = answer.json()["2faDetails"]["token"]
    for door in DOORS:
        refused = await door.refresh(platform, email, token)
        assert refused.status in {400, 401}, refused.text
        assert not gives_tokens(refused)
    assert not await is_let_in(platform, token)


# --- 2. a forced new password is never skipped ------------------------------------------------------------------------


@each_door
async def test_no_dialect_lets_a_forced_new_password_be_skipped(platform: Platform, door: Door) -> None:
    """Until the password was changed nobody gets a token by the one to be changed."""
    email = await new_user(platform, f"forced-{door.name}", must_change_password=True)
    answer = await door.sign_in(platform, email, PASSWORD)
    assert not gives_tokens(answer), answer.text
    wrong = await door.sign_in(platform, email, "not the password at all")
    if door is not ENTERPRISE:
        assert (wrong.status, wrong.text) == (answer.status, answer.text)


async def test_a_second_factor_comes_before_a_forced_new_password(platform: Platform) -> None:
    """Whoever knows only the password can't replace it either."""
    email = await new_user(platform, "both", must_change_password=True, totp_secret=pyotp.random_base32())
    answer = await ENTERPRISE.sign_in(platform, email, PASSWORD)
    assert answer.json() == {"challenge_name": "SOFTWARE_TOKEN_MFA"}


async def test_the_new_password_of_enterprise_opens_every_dialect(platform: Platform) -> None:
    """Once changed, the new password is good everywhere and the old one nowhere."""
    email = await new_user(platform, "renewed", must_change_password=True)
    session = (await ENTERPRISE.sign_in(platform, email, PASSWORD)).json()["session"]
    body = {"session": session, "username": email, "new_password": NEW}
    answer = await platform.send("POST", "/v1/new-password-required", json=body)
    assert answer.status == 200, answer.text
    assert await is_let_in(platform, ENTERPRISE.access(answer))
    platform.clock.advance(1)
    for door in DOORS:
        await signed_in(platform, door, email, body["new_password"])
        assert not gives_tokens(await door.sign_in(platform, email, PASSWORD))


# --- 3. one failure counter -------------------------------------------------------------------------------------------


@each_door
async def test_one_failure_counter_per_account(platform: Platform, door: Door) -> None:
    """Guesses through all dialects and by all names of a user add up, and then the right password waits as well."""
    email = await new_user(platform, f"guessed-{door.name}")
    for name in (email, f"guessed-{door.name}", email.upper()):
        for other in DOORS:
            await other.sign_in(platform, name, "a wrong guess at the password")
    assert not gives_tokens(await door.sign_in(platform, email, PASSWORD))


async def test_second_factors_count_as_failures_too(platform: Platform) -> None:
    """Guessing codes uses up the same allowance as guessing passwords."""
    secret = pyotp.random_base32()
    email = await new_user(platform, "otp-guessed", totp_secret=secret)
    for step in range(12):
        wrong = pyotp.TOTP(secret).at(platform.clock.now(), counter_offset=50 + step)
        body = {"email": email, "password": PASSWORD, "otp": wrong}
        assert not gives_tokens(await platform.send("POST", "/auth/login", json=body))
    right = pyotp.TOTP(secret).at(platform.clock.now())
    answer = await platform.send("POST", "/auth/login", json={"email": email, "password": PASSWORD, "otp": right})
    assert not gives_tokens(answer), answer.text


@each_door
async def test_unknown_accounts_are_counted_like_known_ones(platform: Platform, door: Door) -> None:
    """Guessing at somebody who does not exist ends in the same answers, one after the other."""
    known = await new_user(platform, f"counted-{door.name}")
    unknown = f"uncounted-{door.name}@example.com"
    for _ in range(13):
        one, other = [await door.sign_in(platform, name, "a wrong guess") for name in (known, unknown)]
        assert (one.status, _comparable(one)) == (other.status, _comparable(other))


# --- 4. the end of tokens reaches every dialect -----------------------------------------------------------------------


async def tokens_of_every_dialect(platform: Platform, email: str) -> dict[str, tuple[str, str]]:
    """An access and a refresh token from each dialect."""
    answers = {door.name: await signed_in(platform, door, email) for door in DOORS}
    return {door.name: (door.access(answers[door.name]), door.refresh_token(answers[door.name])) for door in DOORS}


async def all_die(platform: Platform, email: str, tokens: dict[str, tuple[str, str]]) -> None:
    """Return once every one of these tokens is refused, at its own dialect too."""
    for door in DOORS:
        access, refresh = tokens[door.name]
        await dies(platform, access)
        refused = await door.refresh(platform, email, refresh)
        assert refused.status in {400, 401}, refused.text
        assert not gives_tokens(refused)


async def test_suspension_reaches_tokens_of_every_dialect(platform: Platform) -> None:
    """A suspended user is out, whichever way they came in."""
    email = await new_user(platform, "suspended")
    tokens = await tokens_of_every_dialect(platform, email)
    await platform.operate(SuspendUser(identifier=email))
    await all_die(platform, email, tokens)
    for door in DOORS:
        assert not gives_tokens(await door.sign_in(platform, email, PASSWORD))


async def test_a_password_changed_in_one_dialect_ends_the_sessions_of_all(platform: Platform) -> None:
    """The change, made through enterprise, is known everywhere."""
    email = await new_user(platform, "changes")
    tokens = await tokens_of_every_dialect(platform, email)
    body = {
        "access_token": tokens["enterprise"][0],
        "previous_password": PASSWORD,
        "proposed_password": NEW,
    }
    answer = await platform.send("POST", "/v1/change-password", json=body)
    assert answer.status == 204, answer.text
    await all_die(platform, email, tokens)
    platform.clock.advance(1)
    await signed_in(platform, DIRECTUS, email, body["proposed_password"])


async def test_a_password_reset_in_one_dialect_ends_the_sessions_of_all(platform: Platform) -> None:
    """The reset, made through directus, is known everywhere."""
    email = await new_user(platform, "resets")
    tokens = await tokens_of_every_dialect(platform, email)
    assert (await platform.send("POST", "/auth/password/request", json={"email": email})).status == 204
    token = await platform.link_token_for(email)
    answer = await platform.send("POST", "/auth/password/reset", json={"token": token, "password": NEW})
    assert answer.status == 204, answer.text
    await all_die(platform, email, tokens)


async def test_signing_out_of_one_dialect_leaves_the_others(platform: Platform) -> None:
    """One session ends, with both of its tokens; the user's others go on."""
    email = await new_user(platform, "leaves")
    tokens = await tokens_of_every_dialect(platform, email)
    access, refresh = tokens.pop("backoffice")
    answer = await platform.send("POST", "/api/v2/signout", headers={"Authorization": f"Bearer {access}"})
    assert answer.status == 200
    await dies(platform, access)
    assert (await BACKOFFICE.refresh(platform, email, refresh)).status == 401
    for name, (other, _) in tokens.items():
        assert await is_let_in(platform, other), name


# --- 5. refresh tokens are bound to their dialect and client ----------------------------------------------------------


@each_door
async def test_refresh_tokens_are_bound_to_dialect_and_client(platform: Platform, door: Door) -> None:
    """A refresh token works where it was given and nowhere else; having been tried elsewhere it still works."""
    email = await new_user(platform, f"bound-{door.name}")
    token = door.refresh_token(await signed_in(platform, door, email))
    for other in DOORS:
        if other is not door:
            refused = await other.refresh(platform, email, token)
            assert refused.status in {400, 401}, refused.text
            assert not gives_tokens(refused)
    stranger = {"client_id": "other", "client_secret": "other-secret"}
    body = OAUTH2.refresh_body(email, token) | stranger
    assert (await platform.send("POST", "/oauth/v2/token", json=body)).status == 400
    own = await door.refresh(platform, email, token)
    assert own.status == 200, own.text


@pytest.mark.parametrize("client_id", ["backoffice", "enterprise", "directus"])
async def test_nobody_else_is_the_client_of_a_dialect(platform: Platform, client_id: str) -> None:
    """The dialects' own clients have no secret, and so can't come through the token API."""
    for secret in ("", client_id, "456789"):
        body = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        assert (await platform.send("POST", "/oauth/v2/token", json=body)).status == 401
    for call in (RotateClientSecret(client_id=client_id), WithdrawClientSecrets(client_id=client_id)):
        with pytest.raises(Exception, match="not_found"):
            await platform.operate(call)


# --- 6. every secret has one purpose ----------------------------------------------------------------------------------


SECRETS = ("access token", "refresh token", "id token", "challenge", "session", "link")


@pytest.mark.parametrize("name", SECRETS)
async def test_secrets_of_one_purpose_are_never_accepted_for_another(platform: Platform, name: str) -> None:
    """Access, refresh and ID tokens, challenges, sessions, links and codes: each opens only its own lock."""
    user = f"purpose-{name.replace(' ', '-')}"
    email = await new_user(platform, user)
    factored = await new_user(platform, f"{user}-factored", email_second_factor=True)
    forced = await new_user(platform, f"{user}-forced", must_change_password=True)
    enterprise = (await signed_in(platform, ENTERPRISE, email)).json()
    assert (await platform.send("POST", "/auth/password/request", json={"email": email})).status == 204
    challenge = (await BACKOFFICE.sign_in(platform, factored, PASSWORD)).json()["2faDetails"]["token"]
    code = await platform.code_for(factored)
    secret = {
        "access token": enterprise["access_token"],
        "refresh token": enterprise["refresh_token"],
        "id token": enterprise["id_token"],
        "challenge": challenge,
        "session": (await ENTERPRISE.sign_in(platform, forced, PASSWORD)).json()["session"],
        "link": await platform.link_token_for(email),
    }[name]
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("session", "/v1/new-password-required", {"session": secret, "username": forced, "new_password": NEW}),
        ("challenge", "/api/v2/2fa/confirm", {"token": secret, "code": code}),
        ("link", "/auth/password/reset", {"token": secret, "password": NEW}),
        ("code", "/v1/forgot-password-confirm", {"username": email, "password": NEW, "confirmation_code": secret}),
        ("password", "/v1/login", {"username": email, "password": secret}),
        (
            "access token",
            "/v1/change-password",
            {"access_token": secret, "previous_password": PASSWORD, "proposed_password": NEW},
        ),
        *(("refresh token", door.refresh_path, door.refresh_body(email, secret)) for door in DOORS),
    ]
    for lock, path, body in attempts:
        if lock != name:
            answer = await platform.send("POST", path, json=body)
            assert answer.status in {400, 401, 403}, f"{name} as {lock}: {answer.status} {answer.text}"
            assert not gives_tokens(answer), f"{name} as {lock}"
    if name != "access token":
        assert not await is_let_in(platform, secret)


async def test_codes_of_one_purpose_are_never_accepted_for_another(platform: Platform) -> None:
    """Codes for signing in, for the second factor and for a new password look alike and are not."""
    email = await new_user(platform, "codes", email_second_factor=True)
    token = (await BACKOFFICE.sign_in(platform, email, PASSWORD)).json()["2faDetails"]["token"]
    second_factor = await platform.code_for(email)
    assert (await platform.send("POST", "/v1/forgot-password", json={"username": email})).status == 204
    reset = await platform.code_for(email, messages=2)
    assert second_factor != reset, "one in a million: run it again"
    refused = [
        await platform.send("POST", "/api/v2/2fa/confirm", json={"token": token, "code": reset}),
        await OAUTH2.sign_in(platform, email, reset),
        await OAUTH2.sign_in(platform, email, second_factor),
        await platform.send(
            "POST",
            "/v1/forgot-password-confirm",
            json={"username": email, "password": NEW, "confirmation_code": second_factor},
        ),
    ]
    assert [answer.status for answer in refused] == [401, 400, 400, 401]
    confirmed = await platform.send("POST", "/api/v2/2fa/confirm", json={"token": token, "code": second_factor})
    assert confirmed.status == 200, confirmed.text


async def test_a_sign_in_code_is_a_password_in_the_token_api_only(platform: Platform) -> None:
    """Seed 000 says that a code can be used as a password; the other documents know nothing of it."""
    email = await new_user(platform, "only-there")
    assert (await platform.send_code(email=email))[0] == 200
    code = await platform.code_for(email)
    for door in (BACKOFFICE, ENTERPRISE, DIRECTUS):
        assert not gives_tokens(await door.sign_in(platform, email, code)), door.name
    await signed_in(platform, OAUTH2, email, code)


async def test_a_challenge_is_bound_to_its_dialect(platform: Platform) -> None:
    """The token of a second factor is no session for a new password, even for a user who needs both steps."""
    email = await new_user(platform, "steps", email_second_factor=True)
    token = (await BACKOFFICE.sign_in(platform, email, PASSWORD)).json()["2faDetails"]["token"]
    await platform.operate(SetSecondFactors(identifier=email, email=False))
    body = {"session": token, "username": email, "new_password": NEW}
    assert (await platform.send("POST", "/v1/new-password-required", json=body)).status == 401


# --- 7. the existence of an account looks the same everywhere ---------------------------------------------------------


async def test_account_existence_looks_the_same_everywhere(platform: Platform) -> None:
    """Known, unknown and suspended: whatever can be asked without the password has one answer."""
    known = await new_user(platform, "exists")
    suspended = await new_user(platform, "exists-suspended")
    await platform.operate(SuspendUser(identifier=suspended))
    unknown = "exists-not@example.com"
    questions: list[tuple[str, Any]] = [
        *((door.sign_in_path, lambda name, door=door: door.sign_in_body(name, "a wrong guess")) for door in DOORS),
        ("/v1/forgot-password", lambda name: {"username": name}),
        (
            "/v1/forgot-password-confirm",
            lambda name: {"username": name, "password": NEW, "confirmation_code": "123456"},
        ),
        ("/auth/password/request", lambda name: {"email": name}),
    ]
    for path, body in questions:
        answers = [await platform.send("POST", path, json=body(name)) for name in (known, unknown, suspended)]
        seen = {(answer.status, _comparable(answer), _headers(answer)) for answer in answers}
        assert len(seen) == 1, f"{path}: {seen}"


def _comparable(answer: Answer) -> str:
    """The body, without the seconds to wait that a moment changes."""
    return answer.text.replace(answer.headers.get("Retry-After", "\0"), "")


def _headers(answer: Answer) -> frozenset[str]:
    return frozenset(answer.headers) - {"Retry-After"}
