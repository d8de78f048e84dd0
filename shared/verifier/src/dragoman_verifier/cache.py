"""Tokens that were verified before, so that their signature is computed once."""

from collections import OrderedDict
from hashlib import sha256

from dragoman_verifier.claims import Claims


def fingerprint(token: str) -> bytes:
    """What the cache knows a token by; the token itself is not kept. `token` is ASCII."""
    return sha256(token.encode("ascii")).digest()


class VerifiedTokens:
    """Remembers the claims of the `size` tokens used last; whether they still hold is asked at each use."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._claims: OrderedDict[bytes, Claims] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._claims)

    def get(self, key: bytes) -> Claims | None:
        """The claims of the token with this fingerprint, None when it is not known."""
        claims = self._claims.get(key)
        if claims is None:
            self.misses += 1
            return None
        self._claims.move_to_end(key)
        self.hits += 1
        return claims

    def put(self, key: bytes, claims: Claims) -> None:
        """Remember a token, and forget the one that was unused longest when there are too many."""
        self._claims[key] = claims
        if len(self._claims) > self._size:
            self._claims.popitem(last=False)

    def drop(self, key: bytes) -> None:
        """Forget a token."""
        self._claims.pop(key, None)
