"""Recovery codes: what lets somebody in, once each, whose authenticator is lost."""

import re
from base64 import b32encode
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

    def __init__(self, secret_key: bytes) -> None:
        self._code_key = subkey(secret_key, "recovery code")
        self._digest_key = subkey(secret_key, "recovery code digest")

    def codes(self, user_id: UUID, totp_secret: bytes) -> list[str]:
        """The codes that belong to this secret of this user, as they are shown."""
        return [self._code(user_id, totp_secret, number) for number in range(COUNT)]

    def _code(self, user_id: UUID, totp_secret: bytes, number: int) -> str:
        text = b32encode(mac(self._code_key, user_id.bytes, totp_secret, bytes([number]))).decode()[:_LENGTH]
        return "-".join(text[at : at + _GROUP_LENGTH] for at in range(0, _LENGTH, _GROUP_LENGTH))

    def digest(self, user_id: UUID, typed: str) -> bytes | None:
        """What is kept of a code, however it was typed; None for what has not the form of one."""
        if len(typed) > _LONGEST:
            return None
        compact = re.sub(r"[\s-]", "", typed).upper().translate(_MISREAD)
        if not _FORM.fullmatch(compact):
            return None
        return mac(self._digest_key, user_id.bytes, compact.encode())
