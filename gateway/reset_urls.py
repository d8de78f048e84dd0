"""Where a link in a mail may lead: only to pages that the operator has named (user-pains rows 32 and 33)."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

LONGEST = 1000

# What RFC 3986 §2 allows, so that no browser reads it in a way of its own: a backslash as a slash, a tab as nothing.
_URL = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}

Page = tuple[str, str, int, str, str]
"""Scheme, host, port, path and fragment. A fragment names a page too, where a page finds its way by it."""


def page_of(url: str) -> Page:
    """Which page a URL leads to, whatever its query. Raises ValueError for what is not clearly one http(s) URL."""
    if len(url) > LONGEST or not _URL.fullmatch(url):
        raise ValueError("it is not an http or https URL")
    parts = urlsplit(url)
    if "@" in parts.netloc or not parts.hostname:
        raise ValueError("it names a user, or no host")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    return parts.scheme, parts.hostname, port, parts.path or "/", parts.fragment


def may_lead_to(url: str, allowed: Iterable[str]) -> bool:
    """Whether a URL leads to one of the allowed pages: the same origin and the same path, to the letter."""
    try:
        return page_of(url) in {page_of(one) for one in allowed}
    except ValueError:
        return False
