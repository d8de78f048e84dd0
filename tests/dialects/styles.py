"""How each dialect looks from outside: its own way to say that something is wrong, and a good request for each path."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.dialects.exchanges import check_headers
from tests.dialects.running import Answer

_CHALLENGE = "b2fcf999-2b0b-451d-9888-094a79117aa5"
_PASSWORD = "def56789"


@dataclass(frozen=True)
class Style:
    """`posts` are the paths that take a body, each with one that is good, but of nobody."""

    name: str
    posts: Mapping[str, Mapping[str, str]]
    is_error: Callable[[Answer, Any], bool]

    def check(self, answer: Answer) -> None:
        """The answer is one of this dialect, whatever it says."""
        check_headers(answer)
        if answer.status >= 400:
            assert self.is_error(answer, json.loads(answer.text)), (answer.status, answer.text)


BACKOFFICE = Style(
    "backoffice",
    {
        "/api/v2/signin": {"email": "nobody@example.com", "password": _PASSWORD},
        "/api/v2/2fa/confirm": {"token": _CHALLENGE, "code": "123456"},
        "/api/v2/refresh": {"refreshToken": "abc"},
    },
    lambda answer, body: list(body) == ["code", "message", "errors"] and body["code"] == answer.status,
)
ENTERPRISE = Style(
    "enterprise",
    {
        "/v1/login": {"username": "nobody", "password": _PASSWORD},
        "/v1/new-password-required": {"session": _CHALLENGE, "username": "nobody", "new_password": _PASSWORD},
        "/v1/token-refresh": {"username": "nobody", "refresh_token": "abc"},
        "/v1/token-revoke": {"refresh_token": "abc"},
        "/v1/forgot-password": {"username": "nobody"},
        "/v1/forgot-password-confirm": {"username": "nobody", "password": _PASSWORD, "confirmation_code": "123456"},
        "/v1/change-password": {
            "access_token": "abc",
            "previous_password": _PASSWORD,
            "proposed_password": _PASSWORD,
        },
    },
    lambda answer, body: list(body) == ["status", "message"] and body["status"] == answer.status,
)
DIRECTUS = Style(
    "directus",
    {
        "/auth/login": {"email": "nobody@example.com", "password": _PASSWORD, "otp": "123456"},
        "/auth/refresh": {"refresh_token": "abc", "mode": "json"},
        "/auth/logout": {"refresh_token": "abc"},
        "/auth/password/request": {"email": "nobody@example.com"},
        "/auth/password/reset": {"token": "abc", "password": _PASSWORD},
    },
    lambda _answer, body: all(error["message"] and error["extensions"]["code"] for error in body["errors"]),
)
STYLES = (BACKOFFICE, ENTERPRISE, DIRECTUS)
EACH_POST = [(style, path) for style in STYLES for path in style.posts]
"""Every path that takes a body, with its dialect."""
EACH_FIELD = [(style, path, field) for style, path in EACH_POST for field in style.posts[path]]
"""Every field of such a body."""


def names(cases: list[tuple[Any, ...]]) -> list[str]:
    """Ids for the tests of these cases."""
    return [" ".join(str(getattr(part, "name", part)) for part in case) for case in cases]
