"""Requests to the issuer: bounded in time and size, never redirected, and never in the clear over a network."""

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=5)

_DOCUMENT_BYTES = 1 << 20


class Unusable(ValueError):  # noqa: N818 - read as "the answer is unusable"
    """An answer that makes no sense."""


PROBLEMS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
"""What `fetch` may raise; ValueError for an answer that makes no sense."""


def describe(problem: BaseException) -> str:
    """One line for logs and health."""
    return str(problem) or type(problem).__name__


def check_url(url: str, *, allow_insecure: bool) -> str:
    """The URL itself, ValueError unless it is https, or http to this very machine, or `allow_insecure`."""
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ValueError(f"not an http(s) URL: {url}")
    if parts.scheme == "http" and not allow_insecure and not _is_loopback(parts.hostname):
        raise ValueError(f"https is required: {url}")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def fetch(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
    timeout: aiohttp.ClientTimeout = TIMEOUT,  # noqa: ASYNC109 - aiohttp's own, with its parts
    most_bytes: int = _DOCUMENT_BYTES,
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """The JSON object that the issuer answers, and the answer's headers.

    Raises one of PROBLEMS: no answer in time, a status other than 200 (ClientResponseError), more than `most_bytes`,
    or not a JSON object.
    """
    async with http.request(method, url, headers=headers, data=data, timeout=timeout, allow_redirects=False) as answer:
        check_status(answer)
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > most_bytes:
                raise Unusable(f"the answer of {url} is too large")
    try:
        found = json.loads(body)
    except RecursionError:
        found = None
    if not isinstance(found, dict):
        raise Unusable(f"the answer of {url} is not a JSON object")
    return found, answer.headers


def check_status(answer: aiohttp.ClientResponse) -> None:
    """Raise ClientResponseError unless the status is 200: a redirect, too, is no answer."""
    if answer.status != 200:
        raise aiohttp.ClientResponseError(
            answer.request_info, answer.history, status=answer.status, message=f"{answer.reason} from {answer.url}"
        )
