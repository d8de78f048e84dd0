"""What each dialect's clients may rely on."""

from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

import pytest

from services.token.domain import dialects
from services.token.settings import TokenSettings
from shared.contracts.identity import User
from shared.contracts.token import Dialect
from tests.unit.token.test_settings import REQUIRED

DAY = 86_400
SESSION, SOMEONE = UUID(int=1), UUID(int=2)


def policies(**changed: str) -> dialects.Policies:
    """The policies under these settings."""
    environment = {f"DRAGOMAN_TOKEN_{name.upper()}": value for name, value in changed.items()}
    return TokenSettings.load(REQUIRED | environment).policies()


def user(**names: str) -> User:
    """A user who is called so."""
    return User(id=SOMEONE, created_at=datetime(2026, 1, 1, tzinfo=UTC), **names)


def test_every_dialect_has_a_policy_of_its_own() -> None:
    """No dialect is left out, and each but oauth2 is one client that is called like it."""
    assert {dialect: policy.client_id for dialect, policy in policies().items()} == {
        "oauth2": None,
        "backoffice": "backoffice",
        "enterprise": "enterprise",
        "directus": "directus",
    }
    assert {dialect: policy.dialect for dialect, policy in policies().items()} == {
        dialect: dialect for dialect in get_args(Dialect)
    }
    assert {"backoffice", "enterprise", "directus"} == dialects.BUILT_IN_CLIENTS


@pytest.mark.parametrize(
    ("dialect", "access", "refresh"),
    [
        ("oauth2", 3600, 14 * DAY),
        ("backoffice", 36_000, 30 * DAY),
        ("enterprise", DAY, 90 * DAY),
        ("directus", 900, 7 * DAY),
    ],
)
def test_default_lives(dialect: Dialect, access: int, refresh: int) -> None:
    """Tokens live as long as with the origins, whose clients partly know it by heart."""
    assert policies()[dialect].lives == dialects.Lives(access, refresh)
    assert policies()[dialect].refresh_life.total_seconds() == refresh


@pytest.mark.parametrize("dialect", ["backoffice", "enterprise", "directus"])
def test_lives_are_the_operators_choice(dialect: Dialect) -> None:
    """Each life is a setting, and changes nothing for another dialect."""
    changed = policies(**{f"{dialect}_access_seconds": "60", f"{dialect}_refresh_seconds": "300"})
    assert changed[dialect].lives == dialects.Lives(60, 300)
    assert {name: policy for name, policy in changed.items() if name != dialect} == {
        name: policy for name, policy in policies().items() if name != dialect
    }


def test_only_enterprise_keeps_its_refresh_token() -> None:
    """Its official clients would be logged out by a rotation; its limit is a setting, and it alone has ID tokens."""
    assert {name for name, policy in policies().items() if not policy.rotates} == {"enterprise"}
    assert {name: policy.refresh_limit for name, policy in policies().items() if policy.refresh_limit} == {
        "enterprise": 90
    }
    assert policies(enterprise_refresh_limit="3")["enterprise"].refresh_limit == 3
    assert {name for name, policy in policies().items() if policy.id_token} == {"enterprise"}


def test_what_may_be_asked_of_users() -> None:
    """Factors are challenged for in backoffice, and behind providers in directus; new passwords in enterprise alone."""
    table = policies()
    assert {name: policy.second_factor for name, policy in table.items()} == {
        "oauth2": "refuse",
        "backoffice": "challenge",
        "enterprise": "refuse",
        "directus": "inline",
    }
    assert {name for name, policy in table.items() if policy.may_challenge("second_factor")} == {
        "backoffice",
        "directus",
    }
    assert {name for name, policy in table.items() if policy.providers} == {"directus"}
    assert {name for name, policy in table.items() if policy.may_challenge("new_password")} == {"enterprise"}
    assert {name for name, policy in table.items() if policy.accept_code} == {"oauth2"}
    assert {name for name, policy in table.items() if policy.names_second_factor} == {"enterprise"}


def test_claims_of_each_dialect() -> None:
    """Access tokens say what the origin's clients read, and no more."""
    someone = user(username="someone", email="someone@example.com")
    read = {dialect: dialects.access_claims(dialect, SESSION, SOMEONE, someone) for dialect in get_args(Dialect)}
    assert read == {
        "oauth2": {},
        "backoffice": {},
        "enterprise": {"token_use": "access", "username": "someone", "origin_jti": str(SESSION)},
        "directus": {"id": str(SOMEONE), "role": None, "app_access": False, "admin_access": False},
    }


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ({"username": "someone", "email": "someone@example.com"}, "someone"),
        ({"email": "someone@example.com", "phone": "+64211234567"}, "someone@example.com"),
        ({"phone": "+64211234567"}, str(SOMEONE)),
    ],
)
def test_the_one_name(names: dict[str, str], shown: str) -> None:
    """A user is called by the username, without one by the e-mail address, without that by the id."""
    assert dialects.display_name(user(**names)) == shown
