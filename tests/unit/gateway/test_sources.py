"""Where a sign-in comes from travels with it, in every dialect."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.dialects.backoffice import BackOffice
from gateway.dialects.dialect import Dialect, Gateway
from gateway.dialects.directus import Directus
from gateway.dialects.enterprise import Enterprise
from gateway.dialects.oauth2 import OAuth2
from shared.contracts.token import ContinueSignIn, GrantPassword, SignIn
from shared.errors import Error, ErrorCode
from tests.unit.gateway.edge import SOURCE, open_edge

CHALLENGE = "b2fcf999-2b0b-451d-9888-094a79117aa5"
NAME = {"username": "ada"}


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        (OAuth2, "/oauth/v2/token", {"grant_type": "password", **NAME, "password": "p", "client_id": "abc123"}),
        (BackOffice, "/api/v2/signin", {"email": "ada@example.com", "password": "p"}),
        (BackOffice, "/api/v2/2fa/confirm", {"token": CHALLENGE, "code": "123456"}),
        (Enterprise, "/v1/login", {**NAME, "password": "p"}),
        (Enterprise, "/v1/new-password-required", {**NAME, "session": "s", "new_password": "a new one"}),
        (Directus, "/auth/login", {"email": "ada@example.com", "password": "p"}),
    ],
)
async def test_source(dialect: Callable[[Gateway], Dialect], path: str, body: dict[str, Any]) -> None:
    """Identity learns which network asks, so that it can tell the owner's own from a stranger's (row 21)."""
    async with open_edge(dialect) as edge:
        refusal = Error(ErrorCode.WRONG_PASSWORD, "wrong")
        edge.answers |= dict.fromkeys((GrantPassword, SignIn, ContinueSignIn), refusal)
        await edge.post(path, body)
        [call] = edge.calls
        assert isinstance(call, GrantPassword | SignIn | ContinueSignIn)
        assert call.source == SOURCE
