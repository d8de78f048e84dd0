"""Whose codes and failed attempts are counted together."""

from uuid import UUID

from shared.contracts.identity import User
from shared.identifiers import LONGEST, Identifier


def of_user(user_id: UUID) -> str:
    """The account of a user, whichever name is used."""
    return f"user:{user_id}"


def of(identifier: Identifier | None, typed: str, user: User | None) -> str:
    """Whose account it is: the user's, or that of an identifier which nobody has, or of a text that is none."""
    if user is not None:
        return of_user(user.id)
    if identifier is not None:
        return f"{identifier.kind}:{identifier.value}"
    return f"text:{typed.strip()[:LONGEST]}"


def nobody(account: str) -> str:
    """An account that no code is ever accepted for, so that the work is the same for those who may not have one."""
    return f"nobody:{account}"
