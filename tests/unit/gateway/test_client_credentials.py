"""Who a client says it is, in the header or the body."""

from base64 import b64encode

import pytest
from pydantic import SecretStr

from gateway.body import BodyError
from gateway.dialects.oauth2 import TokenRequest, client_credentials
from shared.errors import Error, ErrorCode
from tests.unit.gateway.requests import request


def basic(credentials: str) -> str:
    """The header's value."""
    return "Basic " + b64encode(credentials.encode()).decode()


def fields(client_id: str | None = None, client_secret: str | None = None) -> TokenRequest:
    """What the body says."""
    secret = None if client_secret is None else SecretStr(client_secret)
    return TokenRequest.model_construct(client_id=client_id, client_secret=secret)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("me:secret", ("me", "secret")),
        ("me:se:cret", ("me", "se:cret")),
        ("m%65:s%3Ae+c", ("me", "s:e c")),
        ("me:", ("me", "")),
        (":", ("", "")),
        ("mé:ü", ("mé", "ü")),
    ],
)
async def test_header(header: str, expected: tuple[str, str]) -> None:
    """The header's id and secret are decoded as a form's (RFC 6749 §2.3.1)."""
    client_id, secret = client_credentials(request(Authorization=basic(header)), fields())
    assert secret is not None
    assert (client_id, secret.get_secret_value()) == expected


async def test_body() -> None:
    """Without Basic the body says who asks, whatever else the header holds."""
    for bare in (request(), request(Authorization="Bearer abc")):
        assert client_credentials(bare, fields("me", "secret")) == ("me", SecretStr("secret"))
        assert client_credentials(bare, fields()) == (None, None)


@pytest.mark.parametrize("body", [("me", "secret"), ("me", None), (None, "secret"), (None, None)])
async def test_both_agree(body: tuple[str | None, str | None]) -> None:
    """Credentials in both places are accepted when they are the same."""
    assert client_credentials(request(Authorization=basic("me:secret")), fields(*body))[0] == "me"


@pytest.mark.parametrize("body", [("you", "secret"), ("me", "other"), ("you", None), (None, "other")])
async def test_both_differ(body: tuple[str | None, str | None]) -> None:
    """Credentials in both places that differ are more than one way to authenticate."""
    with pytest.raises(BodyError) as refused:
        client_credentials(request(Authorization=basic("me:secret")), fields(*body))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic ***", "Basic ÄÖ", basic("no colon"), basic("me:\x00"), basic("m%00e:s"), basic("me:%ff")],
)
async def test_unreadable(header: str) -> None:
    """A header that cannot be read proves no client."""
    with pytest.raises(Error) as refused:
        client_credentials(request(Authorization=header), fields("me", "secret"))
    assert refused.value.code == ErrorCode.INVALID_CLIENT
