"""What a token allows."""

from dragoman_verifier.claims import Claims
from dragoman_verifier.errors import InsufficientScope


def check_scopes(claims: Claims, *required: str) -> None:
    """Let through a token that has each of the `required` scopes.

    Raises InsufficientScope, which both middlewares answer with 403.
    """
    missing = frozenset(required) - claims.scopes
    if missing:
        raise InsufficientScope(frozenset(required), missing)
