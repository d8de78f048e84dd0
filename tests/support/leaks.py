"""Secrets in logs: whatever a test run used as a secret must not be in anything that it logged (user-pains row 31)."""

import functools
import re
from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr

_SHORTEST = 8
"""Shorter ones, as codes of six digits, are found in any text by chance: in a time, in an id."""
_PLAIN_WORD = re.compile(r"[a-z_]+")
"""No secret: tests try the word password, or a client's name, as one."""
_WORD = re.compile(r"[A-Za-z0-9._~-]+")
_SECRET_FIELDS = {
    "access_token",
    "client_secret",
    "id_token",
    "password",
    "refresh_token",
    "session",
    "token",
}


class UsedSecrets:
    """The secrets that this process has had to do with."""

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._phrases: set[str] = set()

    def note(self, secret: str) -> None:
        """From now on no log may have it."""
        if len(secret) >= _SHORTEST and not _PLAIN_WORD.fullmatch(secret):
            (self._words if _WORD.fullmatch(secret) else self._phrases).add(secret)

    def note_fields(self, body: Any) -> None:
        """Whatever a body sent or received has under the name of a secret."""
        if isinstance(body, dict):
            for name, value in body.items():
                if name in _SECRET_FIELDS and isinstance(value, str):
                    self.note(value)
                self.note_fields(value)

    def watch(self) -> None:
        """Note whatever becomes a `SecretStr` from now on: every password, code and token that crosses the bus."""
        construct = SecretStr.__init__

        @functools.wraps(construct)
        def noting(secret: SecretStr, value: str) -> None:
            self.note(value)
            construct(secret, value)

        SecretStr.__init__ = noting  # type: ignore[method-assign, assignment]

    def found_in(self, text: str) -> list[str]:
        """The secrets that are in a text, each shortened to what tells which one it is."""
        words = set(_WORD.findall(text))
        return [f"{secret[:4]}… ({len(secret)} characters)" for secret in sorted(self._in(words, text))]

    def _in(self, words: set[str], text: str) -> Iterator[str]:
        yield from self._words & words
        yield from (phrase for phrase in self._phrases if phrase in text)


USED_SECRETS = UsedSecrets()
