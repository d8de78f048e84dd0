"""Where a browser may be sent once it was signed in: only to pages below those that the operator has named.

Without this whoever makes a link to the platform could have it lead anywhere, under the platform's good name (RFC 9700
§4.11.2; api-contracts §1.4).
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from gateway.reset_urls import page_of

# What a browser, or a server behind the page, takes for another path than it looks like: dots that lead upwards, also
# encoded, or with a parameter behind them; encoded separators; whatever is encoded twice; empty segments.
_ODD_PATH = re.compile(r"%(?:2e|2f|5c|25)|/\.{1,2}(?:[/;]|%3b|$)|//", re.IGNORECASE)


def check_prefix(url: str) -> None:
    """Raise ValueError for what cannot stand in the list: no plain URL of an origin and a path."""
    page_of(url)
    if "?" in url or "#" in url:
        raise ValueError(f"any query and any fragment is allowed, so that those of {url} say nothing")
    if _ODD_PATH.search(urlsplit(url).path):
        raise ValueError(f"{url}: its path can be read in more than one way")


def may_return_to(url: str, allowed: Iterable[str]) -> bool:
    """Whether a URL is of the same origin as one of `allowed`, and has the same path or one below it.

    Scheme, host and port have to be the same, and the path to begin with whole segments: `/app` is for `/app` and
    `/app/login`, not for `/application`. Any query and any fragment will do. A path that can be read in more than one
    way is below nothing.
    """
    try:
        scheme, host, port, path, _fragment = page_of(url)
        prefixes = [page_of(one) for one in allowed]
    except ValueError:
        return False
    if _ODD_PATH.search(path):
        return False
    return any(prefix[:3] == (scheme, host, port) and _is_below(path, prefix[3]) for prefix in prefixes)


def with_reason(url: str, reason: str) -> str:
    """The URL, telling the page why nobody is signed in; of its query only an older reason is lost."""
    parts = urlsplit(url)
    kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] != "reason"]
    return urlunsplit(parts._replace(query="&".join([*kept, f"reason={reason}"])))


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix.rstrip('/')}/")
