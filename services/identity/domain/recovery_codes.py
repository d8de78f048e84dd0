"""Recovery codes: what lets somebody in, once each, whose authenticator is lost."""

import re
from base64 import b32encode
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from services.identity.domain.keys import mac, subkey

COUNT = 10
_GROUPS, _GROUP_LENGTH = 3, 4
_LENGTH = _GROUPS * _GROUP_LENGTH
"""Characters of base32, so 60 bits."""

_MISREAD = str.maketrans("018", "OIB")
"""Digits that base32 leaves out, and the letters that they are taken for."""
_FORM = re.compile(rf"[A-Z2-7]{{{_LENGTH}}}")
_LONGEST = 64


class RecoveryCodes:
    """Makes codes and the keyed digests that are kept of them.

    The codes follow from the user and the TOTP secret, so that nothing has to be kept between showing them and
    enabling the secret.
    """

    def __init__(self, secret_key: bytes, previous: bytes = b"") -> None:
        """Codes that the previous key made, if there is one, are known as well; new ones are of `secret_key` alone."""
        self._current = _Keys.of(secret_key)
        self._previous = _Keys.of(previous) if previous else None

    def codes(self, user_id: UUID, totp_secret: bytes) -> list[str]:
        """The codes that belong to this secret of this user, as they are shown."""
        return self._current.codes(user_id, totp_secret)

    def kept(self, user_id: UUID, totp_secret: bytes) -> list[bytes]:
        """What is kept of these codes, and of those that were shown if the key was still the previous one then."""
        made = [code for keys in (self._current, self._previous) if keys for code in keys.codes(user_id, totp_secret)]
        return [self._current.digest(user_id, code) for code in filter(None, map(_compact, made))]

    def digests(self, user_id: UUID, typed: str) -> list[bytes]:
        """What may be kept of a code, however it was typed: one for each key; none for what has not the form of one."""
        code = _compact(typed)
        return [keys.digest(user_id, code) for keys in (self._current, self._previous) if keys and code]

    def rekeyed(self, user_id: UUID, totp_secret: bytes) -> dict[bytes, bytes]:
        """By what is kept of each code that the previous key made for this secret: what to keep of it instead."""
        if self._previous is None:
            return {}
        codes = filter(None, map(_compact, self._previous.codes(user_id, totp_secret)))
        return {self._previous.digest(user_id, code): self._current.digest(user_id, code) for code in codes}


@dataclass(frozen=True, slots=True)
class _Keys:
    """What codes and their digests are made with."""

    for_codes: bytes
    for_digests: bytes

    @classmethod
    def of(cls, secret_key: bytes) -> Self:
        return cls(subkey(secret_key, "recovery code"), subkey(secret_key, "recovery code digest"))

    def codes(self, user_id: UUID, totp_secret: bytes) -> list[str]:
        return [self._code(user_id, totp_secret, number) for number in range(COUNT)]

    def digest(self, user_id: UUID, code: str) -> bytes:
        return mac(self.for_digests, user_id.bytes, code.encode())

    def _code(self, user_id: UUID, totp_secret: bytes, number: int) -> str:
        text = b32encode(mac(self.for_codes, user_id.bytes, totp_secret, bytes([number]))).decode()[:_LENGTH]
        return "-".join(text[at : at + _GROUP_LENGTH] for at in range(0, _LENGTH, _GROUP_LENGTH))


def _compact(typed: str) -> str | None:
    """A code without what people type around it; None for what has not the form of one."""
    if len(typed) > _LONGEST or not typed.isascii():
        return None
    compact = re.sub(r"[\s-]", "", typed).upper().translate(_MISREAD)
    return compact if _FORM.fullmatch(compact) else None
