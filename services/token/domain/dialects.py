"""What is different from dialect to dialect: one frozen policy each; the mechanics are the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from shared.contracts.identity import ChallengeKind, User
from shared.contracts.token import Dialect

SecondFactorMode = Literal["refuse", "inline", "challenge"]

BUILT_IN_CLIENTS: frozenset[str] = frozenset(get_args(Dialect)) - {"oauth2"}
"""Each dialect but oauth2 is one public client of this id. Nobody can register one, or prove to be one."""


@dataclass(frozen=True, slots=True)
class Lives:
    """How many seconds a dialect's tokens live."""

    access: int
    refresh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectPolicy:
    """The rules of one dialect.

    `client_id`: its built-in client, None where clients are registered.
    `rotates`: a refresh token is good once, and its life begins anew with its successor.
    `refresh_limit`: how many access tokens one that does not rotate yields.
    `id_token`: its clients read one (OpenID Connect Core §2).
    `second_factor`, `new_password`, `accept_code`: what identity may ask of its users, and take as their proof.
    `names_second_factor`: its clients are told which factor is missing, though they can't prove it.
    `providers`: its users may come by way of an external provider. There is no password then beside which a second
    factor could be given, so that it is a challenge, however the dialect has it otherwise.
    """

    dialect: Dialect
    client_id: str | None
    lives: Lives
    rotates: bool = True
    refresh_limit: int | None = None
    id_token: bool = False
    second_factor: SecondFactorMode = "refuse"
    new_password: bool = False
    accept_code: bool = False
    names_second_factor: bool = False
    providers: bool = False

    @property
    def refresh_life(self) -> timedelta:
        """How long a refresh token lives."""
        return timedelta(seconds=self.lives.refresh)

    def may_challenge(self, kind: ChallengeKind) -> bool:
        """Whether its clients can meet such a challenge."""
        return self.new_password if kind == "new_password" else self.second_factor == "challenge" or self.providers


Policies = Mapping[Dialect, DialectPolicy]


def policies(lives: Mapping[Dialect, Lives], *, enterprise_refresh_limit: int) -> Policies:
    """The policy of every dialect, with the lives that the operator chose."""
    return {
        policy.dialect: policy
        for policy in (
            DialectPolicy(dialect="oauth2", client_id=None, lives=lives["oauth2"], accept_code=True),
            DialectPolicy(
                dialect="backoffice", client_id="backoffice", lives=lives["backoffice"], second_factor="challenge"
            ),
            DialectPolicy(
                dialect="enterprise",
                client_id="enterprise",
                lives=lives["enterprise"],
                rotates=False,
                refresh_limit=enterprise_refresh_limit,
                id_token=True,
                new_password=True,
                names_second_factor=True,
            ),
            DialectPolicy(
                dialect="directus",
                client_id="directus",
                lives=lives["directus"],
                second_factor="inline",
                providers=True,
            ),
        )
    }


def access_claims(dialect: Dialect, session_id: UUID, user_id: UUID, user: User | None) -> dict[str, Any]:
    """What the dialect's clients read in an access token beside the claims of RFC 9068; enterprise needs the `user`.

    enterprise: those of Cognito, which leaves `aud` out. Ours has one: RFC 9068 §2.2 requires it, and so does every
    verifier that refuses a token meant for somebody else.
    directus: nobody is let into its administration by a token of this platform.
    """
    if dialect == "enterprise":
        assert user is not None
        return {"token_use": "access", "origin_jti": str(session_id), "username": display_name(user)}
    if dialect == "directus":
        return {"id": str(user_id), "role": None, "app_access": False, "admin_access": False}
    return {}


def display_name(user: User) -> str:
    """What a user is called where there is one name only."""
    return user.username or user.email or str(user.id)
