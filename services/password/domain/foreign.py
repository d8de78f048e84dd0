"""Stored hashes as text: which forms can be verified, within bounds that no hash brought from elsewhere can break.

Read are argon2 (PHC string), bcrypt (modular crypt), PBKDF2 and scrypt as written by passlib, the PHC string format,
Django and Werkzeug. The bounds keep a verification near a second and 128 MiB on a common core, so that an imported hash
can neither exhaust the machine nor outlast the call.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import pbkdf2_hmac, scrypt
from hmac import compare_digest

import bcrypt
from argon2.low_level import Type, hash_secret_raw

Check = Callable[[bytes], bool]
"""Tells whether a password in UTF-8 is the one that was hashed, in constant time for the comparison."""

_MAX_MEMORY = 128 * 1024 * 1024
_MAX_ARGON2_WORK = 8 * _MAX_MEMORY
_MAX_SCRYPT_WORK = 2 * _MAX_MEMORY
_MAX_ITERATIONS = 2_000_000
_BCRYPT_BYTES = 72
_ARGON2_TYPES = {"id": Type.ID, "i": Type.I, "d": Type.D}


class UnsupportedHash(ValueError):  # noqa: N818 - it says what the hash is
    """The stored hash has a form that cannot be verified or is out of bounds; the message holds nothing of it."""


def parse(stored: str) -> Check:
    """How to verify against `stored`. Raises `UnsupportedHash`."""
    for form in _FORMS:
        if found := form.pattern.fullmatch(stored):
            parts = found.groupdict()
            try:
                return form.read(parts, form.decode_salt(parts["salt"]), form.decode_digest(parts["digest"]))
            except binascii.Error:
                raise UnsupportedHash("salt or digest of the hash is not well encoded") from None
    raise UnsupportedHash("the hash has no form that can be verified")


def _argon2(parts: Mapping[str, str], salt: bytes, digest: bytes) -> Check:
    memory, passes, lanes = int(parts["m"]), int(parts["t"]), int(parts["p"])
    _bound("lanes of argon2", lanes, 1, 16)
    _bound("memory of argon2 in KiB", memory, 8 * lanes, _MAX_MEMORY // 1024)
    _bound("passes of argon2", passes, 1, _MAX_ARGON2_WORK // 1024 // memory)
    _bound("bytes of the salt", len(salt), 8, 64)
    _bound("bytes of the digest", len(digest), 16, 64)
    kind, version = _ARGON2_TYPES[parts["kind"]], int(parts["v"] or 16)

    def check(password: bytes) -> bool:
        made = hash_secret_raw(password, salt, passes, memory, lanes, len(digest), kind, version)
        return compare_digest(made, digest)

    return check


def _bcrypt(parts: Mapping[str, str], _salt: bytes, _digest: bytes) -> Check:
    _bound("cost of bcrypt", int(parts["cost"]), 4, 14)
    encoded = parts["whole"].encode()
    # The systems that made these hashes ignored what is behind 72 bytes; the library refuses it.
    return lambda password: bcrypt.checkpw(password[:_BCRYPT_BYTES], encoded)


def _pbkdf2(parts: Mapping[str, str], salt: bytes, digest: bytes) -> Check:
    algorithm, iterations = parts["algorithm"] or "sha1", int(parts["iterations"])
    _bound("iterations of PBKDF2", iterations, 1, _MAX_ITERATIONS)
    _bound("bytes of the digest", len(digest), 16, 64)
    return lambda password: compare_digest(pbkdf2_hmac(algorithm, password, salt, iterations, len(digest)), digest)


def _scrypt(parts: Mapping[str, str], salt: bytes, digest: bytes) -> Check:
    n = int(parts["n"]) if "n" in parts else 1 << int(parts["ln"])
    r, p = int(parts["r"]), int(parts["p"])
    if n < 2 or n & (n - 1):
        raise UnsupportedHash("N of scrypt is not a power of two")
    _bound("r of scrypt", r, 1, 64)
    _bound("memory of scrypt in bytes", 128 * n * r, 1, _MAX_MEMORY)
    _bound("p of scrypt", p, 1, _MAX_SCRYPT_WORK // (128 * n * r))
    _bound("p times r of scrypt", p * r, 1, 1024)
    _bound("bytes of the digest", len(digest), 16, 64)

    def check(password: bytes) -> bool:
        # Twice the memory leaves room for what OpenSSL needs beside its large block.
        made = scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=2 * _MAX_MEMORY, dklen=len(digest))
        return compare_digest(made, digest)

    return check


def _bound(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UnsupportedHash(f"{what}: {value} is not between {least} and {most}")


def _base64(text: str) -> bytes:
    """Base64 with or without padding, "." for "+" as passlib writes it; only the one canonical spelling."""
    bare = text.rstrip("=").replace(".", "+")
    padded = bare + "=" * (-len(bare) % 4)
    decoded = b64decode(padded, validate=True)
    if b64encode(decoded).decode() != padded:
        raise binascii.Error("not canonical")
    return decoded


@dataclass(frozen=True)
class _Form:
    """A way to write hashes down; every pattern has the groups `salt` and `digest`."""

    pattern: re.Pattern[str]
    read: Callable[[Mapping[str, str], bytes, bytes], Check]
    decode_salt: Callable[[str], bytes] = str.encode
    decode_digest: Callable[[str], bytes] = str.encode


def _pattern(text: str) -> re.Pattern[str]:
    """Compile; `<N>` is a short number, `<SALT>` printable text, `<B64>` and `<HEX>` are encoded bytes."""
    for word, meaning in {
        "<N>": "[0-9]{1,8}",
        "<SALT>": "(?P<salt>[!-#%-~]{1,128})",
        "<B64SALT>": "(?P<salt>[A-Za-z0-9+/.]{0,128})",
        "<B64>": "(?P<digest>[A-Za-z0-9+/.]{1,90}={0,2})",
        "<HEX>": "(?P<digest>(?:[0-9a-f]{2}){1,64})",
        "<SHA>": "(?P<algorithm>sha1|sha256|sha512)",
    }.items():
        text = text.replace(word, meaning)
    return re.compile(f"(?P<whole>{text})")


_FORMS = (
    _Form(
        _pattern(
            r"\$argon2(?P<kind>id|i|d)(?:\$v=(?P<v>16|19))?\$m=(?P<m><N>),t=(?P<t><N>),p=(?P<p><N>)\$<B64SALT>\$<B64>"
        ),
        _argon2,
        _base64,
        _base64,
    ),
    # The last letters of salt and digest carry two and four bits; others were never written by bcrypt and never match.
    _Form(
        _pattern(
            r"\$2[aby]\$(?P<cost>[0-9]{2})\$(?P<salt>[./A-Za-z0-9]{21}[.Oeu])"
            r"(?P<digest>[./A-Za-z0-9]{30}[.CGKOSWaeimquy26])"
        ),
        _bcrypt,
    ),
    _Form(
        _pattern(r"\$pbkdf2(?:-<SHA>)?\$(?:i=)?(?P<iterations><N>)(?:,l=<N>)?\$<B64SALT>\$<B64>"),
        _pbkdf2,
        _base64,
        _base64,
    ),
    _Form(_pattern(r"pbkdf2_<SHA>\$(?P<iterations><N>)\$<SALT>\$<B64>"), _pbkdf2, str.encode, _base64),
    _Form(_pattern(r"pbkdf2:<SHA>:(?P<iterations><N>)\$<SALT>\$<HEX>"), _pbkdf2, str.encode, bytes.fromhex),
    _Form(
        _pattern(r"\$scrypt\$ln=(?P<ln>[0-9]{1,2}),r=(?P<r><N>),p=(?P<p><N>)\$<B64SALT>\$<B64>"),
        _scrypt,
        _base64,
        _base64,
    ),
    _Form(_pattern(r"scrypt:(?P<n><N>):(?P<r><N>):(?P<p><N>)\$<SALT>\$<HEX>"), _scrypt, str.encode, bytes.fromhex),
    _Form(
        _pattern(r"scrypt\$(?P<n><N>)\$<SALT>\$(?P<r><N>)\$(?P<p><N>)\$<B64>"),
        _scrypt,
        str.encode,
        _base64,
    ),
)
