"""A password as text: how long it may be and which of its spellings is hashed."""

import unicodedata

LONGEST = 1024
"""Characters of the longest password that is ever hashed; longer ones are nobody's."""


def normalize(password: str) -> str:
    """The spelling that is hashed: NFKC, so that the same keys give the same hash on every device (SP 800-63B-4)."""
    return unicodedata.normalize("NFKC", password)


def is_hashable(password: str) -> bool:
    """Whether it has between one and `LONGEST` characters as typed."""
    return 0 < len(password) <= LONGEST
