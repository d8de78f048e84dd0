"""The watch over secrets in logs, which every test of the suite is under."""

import pytest
from pydantic import SecretStr, TypeAdapter

from tests.support.leaks import USED_SECRETS, UsedSecrets

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("secret", "line"),
    [
        (TOKEN, f"GET /users/me?access_token={TOKEN} 200"),
        (TOKEN, f"Bearer {TOKEN}"),
        ("correct horse battery", 'reason="correct horse battery is weak"'),
        ("j8BDWYrQwDF5u4Yu", "password='j8BDWYrQwDF5u4Yu'"),
    ],
)
def test_a_secret_in_a_log_is_found(secret: str, line: str) -> None:
    """It is recognised inside of a line, and the finding itself does not give it away."""
    secrets = UsedSecrets()
    secrets.note(secret)
    found = secrets.found_in(line)
    assert len(found) == 1
    assert secret not in found[0]


def test_what_is_no_secret_is_not_found() -> None:
    """Neither a part of a secret, nor what was never one, nor the names of fields."""
    secrets = UsedSecrets()
    secrets.note(TOKEN)
    secrets.note("password")
    assert secrets.found_in(f"path=/oauth/v2/token password=*** token={TOKEN[:20]}") == []


def test_every_secret_of_the_process_is_watched() -> None:
    """A secret that pydantic reads from a message is known without anybody's noting it."""
    TypeAdapter(SecretStr).validate_python("a sentence known to nobody")
    assert USED_SECRETS.found_in("reason='a sentence known to nobody'")
