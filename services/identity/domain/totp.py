"""TOTP (RFC 6238) as authenticator apps know it: SHA-1, 30 seconds, six digits."""

import binascii
import hmac
import re
from base64 import b32decode, b32encode
from datetime import datetime
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from services.identity.domain.keys import mac, subkey
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode

_DIGITS = 6
_STEP_SECONDS = 30
_DRIFT_STEPS = 1
"""How far a phone's clock may be off, to either side (RFC 6238 §5.2 and §6)."""

_RANDOM_BYTES = 10
_MARK_BYTES = 10
"""Together what RFC 4226 §4 recommends. Without our key the mark is as good as random; with it there are 80 bits."""
_HOUR_SECONDS = 3600
_LEAST_BYTES = 10
"""What apps and other systems have long made; a secret brought along must not be shorter."""
_MOST_BYTES = 64
_NONCE_BYTES = 12
_CODE = re.compile(r"[0-9]{6}")


def encode_secret(secret: bytes) -> str:
    """The secret as people type it: base32 without padding."""
    return b32encode(secret).decode().rstrip("=")


def decode_secret(text: str) -> bytes:
    """The secret again, however it was spaced. Raises `invalid_request` with `detail.field` "secret"."""
    compact = re.sub(r"[\s-]", "", text).rstrip("=")
    try:
        secret = b32decode(compact + "=" * (-len(compact) % 8), casefold=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not _LEAST_BYTES <= len(secret) <= _MOST_BYTES:
        raise Error(
            ErrorCode.INVALID_REQUEST, "not a TOTP secret: base32 of 80 to 512 bits", detail={"field": "secret"}
        )
    return secret


def is_code(text: str) -> bool:
    """Whether `text` has the form of a TOTP code."""
    return _CODE.fullmatch(text) is not None


def matching_step(secret: bytes, code: str, now: datetime) -> int | None:
    """The newest step whose code this is, among those that count `now`; None when it is wrong."""
    current = int(now.timestamp()) // _STEP_SECONDS
    totp = TOTP(secret, _DIGITS, SHA1(), _STEP_SECONDS, enforce_key_length=False)  # noqa: S303 - RFC 6238's default
    steps = range(max(0, current - _DRIFT_STEPS), current + _DRIFT_STEPS + 1)
    # Each is compared, whichever matches, and in constant time.
    matches = [step for step in steps if hmac.compare_digest(totp.generate(step * _STEP_SECONDS), code.encode())]
    return max(matches, default=None)


def otpauth_url(secret: bytes, issuer: str, account: str) -> str:
    """What an authenticator app reads from a QR code: the URL form that Google Authenticator began."""
    totp = TOTP(secret, _DIGITS, SHA1(), _STEP_SECONDS, enforce_key_length=False)  # noqa: S303
    # The library writes spaces as a plus sign, which some apps show as one.
    return totp.get_provisioning_uri(account, issuer).replace("+", "%20")


class NewSecrets:
    """Makes secrets that bear a mark of whom they were made for and when, so that nothing has to be kept of them.

    Which secrets may be enabled is told by the mark: otherwise whoever holds a user's access token for a moment could
    turn TOTP on by a secret of their own, without the password, and shut the user out.
    """

    def __init__(self, secret_key: bytes, entropy: Entropy, previous: bytes = b"") -> None:
        """Marks of the previous key, if there is one, count as well; new ones are of `secret_key` alone."""
        self._keys = [subkey(key, "new totp secret") for key in (secret_key, previous) if key]
        self._entropy = entropy

    def make(self, user_id: UUID, now: datetime) -> bytes:
        """A secret for this user."""
        random = self._entropy.token_bytes(_RANDOM_BYTES)
        return random + _mark(self._keys[0], user_id, random, _hour(now))

    def is_ours(self, user_id: UUID, secret: bytes, now: datetime) -> bool:
        """Whether it was made for this user, in this hour or the one before."""
        random, mark = secret[:_RANDOM_BYTES], secret[_RANDOM_BYTES:]
        # In the next hour is a replica whose clock is ahead. Each is compared, whichever matches, and in constant time.
        hours = range(_hour(now) - 1, _hour(now) + 2)
        right = [_mark(key, user_id, random, hour) for key in self._keys for hour in hours]
        matches = [hmac.compare_digest(mark, one) for one in right]
        return any(matches)


def _hour(now: datetime) -> int:
    return int(now.timestamp()) // _HOUR_SECONDS


def _mark(key: bytes, user_id: UUID, random: bytes, hour: int) -> bytes:
    return mac(key, user_id.bytes, random, str(hour).encode())[:_MARK_BYTES]


class SecretBox:
    """Encrypts TOTP secrets at rest with AES-256-GCM, bound to the user, so that none passes for another's."""

    def __init__(self, secret_key: bytes, entropy: Entropy, previous: bytes = b"") -> None:
        """What was encrypted under the previous key, if there is one, can still be read."""
        self._cipher = _cipher(secret_key)
        self._ciphers = [self._cipher, *([_cipher(previous)] if previous else [])]
        self._entropy = entropy

    def wrap(self, user_id: UUID, secret: bytes) -> bytes:
        """The secret as it is stored."""
        nonce = self._entropy.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, user_id.bytes)

    def unwrap(self, user_id: UUID, wrapped: bytes) -> bytes:
        """The secret again. Raises `internal` when it was wrapped under neither key or for another user."""
        for cipher in self._ciphers:
            if (secret := _opened(cipher, user_id, wrapped)) is not None:
                return secret
        message = (
            f"the TOTP secret of user {user_id} cannot be decrypted: is DRAGOMAN_IDENTITY_SECRET_KEY another one than "
            "before, and that one not in DRAGOMAN_IDENTITY_SECRET_KEY_PREVIOUS"
        )
        raise Error(ErrorCode.INTERNAL, message)

    def is_current(self, user_id: UUID, wrapped: bytes) -> bool:
        """Whether it was wrapped under the current key."""
        return _opened(self._cipher, user_id, wrapped) is not None


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(subkey(key, "totp secret"))


def _opened(cipher: AESGCM, user_id: UUID, wrapped: bytes) -> bytes | None:
    try:
        return cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], user_id.bytes)
    except (InvalidTag, ValueError):
        return None
