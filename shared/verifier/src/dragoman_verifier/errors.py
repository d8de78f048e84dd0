"""What can be wrong with a token, or with the means to judge it; what to answer is the caller's to say."""


class VerifierError(Exception):
    """All that this library raises about a token; the message is for logs and never holds the token."""


class TokenRefused(VerifierError):  # noqa: N818 - the names say what happened
    """The token is not accepted, now or later."""


class TokenInvalid(TokenRefused):
    """Not a token of this issuer for this audience: its form, type, algorithm, signature or claims are wrong."""


class TokenExpired(TokenRefused):
    """A genuine token whose time is over."""


class TokenRevoked(TokenRefused):
    """A genuine token that was taken back, alone or with its session, user, client or key."""


class Unavailable(VerifierError):  # noqa: N818
    """Nobody can say now whether the token is good: ask again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KeysUnavailable(Unavailable):
    """The issuer's keys could not be fetched, or those at hand are too old."""


class RevocationsStale(Unavailable):
    """Nothing was heard from the revocation feed for too long, and the owner chose to refuse then."""


class InsufficientScope(VerifierError):  # noqa: N818
    """The token is good but lacks `missing` of the `required` scopes."""

    def __init__(self, required: frozenset[str], missing: frozenset[str]) -> None:
        super().__init__(f"the token lacks the scope {' '.join(sorted(missing))}")
        self.required = required
        self.missing = missing
