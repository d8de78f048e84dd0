"""Our own hashes: argon2id over the normalized password, and the verdict on any stored one."""

from base64 import b64encode
from dataclasses import dataclass

import argon2
from argon2.low_level import ARGON2_VERSION, Type, hash_secret

from services.password.domain.foreign import parse
from services.password.domain.text import normalize
from shared.entropy import Entropy

_SALT_BYTES = 16
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password matches and, if so, whether its hash should be made again."""

    matches: bool
    outdated: bool


class Hasher:
    """Makes argon2id hashes of one strength and verifies these and foreign ones. Slow: run it in a `HashPool`."""

    def __init__(self, *, memory_kib: int, time_cost: int, parallelism: int, entropy: Entropy) -> None:
        """`memory_kib` of memory, `time_cost` passes over it, `parallelism` lanes."""
        self._parameters = argon2.Parameters(
            type=Type.ID,
            version=ARGON2_VERSION,
            salt_len=_SALT_BYTES,
            hash_len=_DIGEST_BYTES,
            time_cost=time_cost,
            memory_cost=memory_kib,
            parallelism=parallelism,
        )
        self._entropy = entropy
        salt, digest = (_bare_base64(entropy.token_bytes(size)) for size in (_SALT_BYTES, _DIGEST_BYTES))
        self.dummy = f"$argon2id$v={ARGON2_VERSION}$m={memory_kib},t={time_cost},p={parallelism}${salt}${digest}"
        """Takes as long to verify as one of our hashes and is the hash of no password that anybody knows."""

    def hash(self, password: str) -> str:
        """The hash of `password` with a fresh salt, as a PHC string."""
        parameters = self._parameters
        return hash_secret(
            normalize(password).encode(),
            self._entropy.token_bytes(_SALT_BYTES),
            parameters.time_cost,
            parameters.memory_cost,
            parameters.parallelism,
            _DIGEST_BYTES,
            Type.ID,
        ).decode()

    def verify(self, stored: str, password: str) -> Verdict:
        """Compare `password` with a stored hash of any known form.

        Our own hashes are of the normalized password, foreign ones mostly of what was typed: the likelier is tried
        first, and the other only when they differ. Raises `UnsupportedHash`.
        """
        check = parse(stored)
        current = self._is_current(stored)
        normal = normalize(password)
        likely = [normal, password] if current else [password, normal]
        for spelling in dict.fromkeys(likely):
            if check(spelling.encode()):
                return Verdict(matches=True, outdated=not current or spelling != normal)
        return Verdict(matches=False, outdated=False)

    def _is_current(self, stored: str) -> bool:
        try:
            return argon2.extract_parameters(stored) == self._parameters
        except argon2.exceptions.InvalidHashError:
            return False


def _bare_base64(value: bytes) -> str:
    return b64encode(value).decode().rstrip("=")
