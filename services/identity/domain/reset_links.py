"""Links that reset a password: whose it is, and the place for the code that `otp` puts in."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from shared.errors import Error, ErrorCode

_PARAMETER = "token"
_PLACE = "{code}"
"""What `otp` replaces by the code (shared/contracts/otp.py)."""
_TOKEN = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{16,200})")


def link(reset_url: str, user_id: UUID) -> str:
    """The URL with the token as its parameter `token` and everything else as it was.

    A parameter of that name that it has already goes: the page would not know which to believe.
    Raises `invalid_request` with `detail.field` for what is no URL.
    """
    try:
        # Whatever looks like the place for the code must not get one: it would show in the page's other parameters.
        parts = urlsplit(reset_url.replace("{", "%7B").replace("}", "%7D"))
    except ValueError:
        raise Error(ErrorCode.INVALID_REQUEST, "not a URL", detail={"field": "reset_url"}) from None
    kept = [part for part in parts.query.split("&") if part and part.partition("=")[0] != _PARAMETER]
    query = "&".join([*kept, f"{_PARAMETER}={_handle(user_id)}.{_PLACE}"])
    return urlunsplit(parts._replace(query=query))


def parse(token: str) -> tuple[UUID, str]:
    """Whose token it is, and the code in it. Raises `invalid_token` for what `link` never made."""
    match = _TOKEN.fullmatch(token)
    if match is not None:
        user_id = UUID(bytes=urlsafe_b64decode(match[1] + "=="))
        # One text a user: base64 leaves bits unused in the last character that would make it several.
        if _handle(user_id) == match[1]:
            return user_id, match[2]
    raise Error(ErrorCode.INVALID_TOKEN, "not a token of a reset link")


def _handle(user_id: UUID) -> str:
    return urlsafe_b64encode(user_id.bytes).rstrip(b"=").decode()
