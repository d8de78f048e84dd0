"""An ordinary RFC 6749 client library against the `oauth2` dialect; it reads nothing but the platform's metadata."""

import asyncio
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from tests.dialects.running import Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER = {"username": "someone@example.com", "password": "def56789"}


@pytest.fixture(autouse=True)
def _without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


def session(platform: Platform, method: str, **more: Any) -> OAuth2Session:
    """The demo client, which proves itself by `method`."""
    return OAuth2Session("abc123", "456789", token_endpoint_auth_method=method, **more)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_each_grant(platform: Platform, method: str) -> None:
    """The library gets a token by each grant, whichever way it sends the client's secret."""

    def use() -> None:
        url = f"{platform.url}/oauth/v2/token"
        client = session(platform, method)
        machine = client.fetch_token(url, grant_type="client_credentials", scope="read")
        assert machine["token_type"] == "bearer"
        assert machine["scope"] == "read"
        assert "refresh_token" not in machine
        user = client.fetch_token(url, grant_type="password", **USER)
        refreshed = client.refresh_token(url)
        assert refreshed["refresh_token"] != user["refresh_token"]
        assert client.get(f"{platform.url}/oauth/v2/userinfo", timeout=10).json()["email"] == USER["username"]

    await asyncio.to_thread(use)


async def test_a_token_that_ends_is_refreshed_on_the_way(platform: Platform) -> None:
    """The library refreshes before a request when its token is about to end."""

    def use() -> list[Any]:
        url = f"{platform.url}/oauth/v2/token"
        seen: list[Any] = []
        client = session(
            platform,
            "client_secret_basic",
            token_endpoint=url,
            leeway=3700,  # seconds before the end: longer than the token lives
            update_token=lambda token, refresh_token=None, access_token=None: seen.append((token, refresh_token)),
        )
        first = client.fetch_token(url, grant_type="password", **USER)
        answer = client.get(f"{platform.url}/oauth/v2/userinfo", timeout=10)
        assert answer.status_code == 200
        assert seen[0][1] == first["refresh_token"]
        return seen

    assert len(await asyncio.to_thread(use)) == 1


async def test_revoking_and_introspecting(platform: Platform) -> None:
    """The library asks what a token says and ends it (RFC 7662, RFC 7009)."""

    def use() -> None:
        client = session(platform, "client_secret_basic")
        token = client.fetch_token(f"{platform.url}/oauth/v2/token", grant_type="password", **USER)
        introspect = f"{platform.url}/oauth/v2/introspect"
        said = client.introspect_token(introspect, token=token["access_token"]).json()
        assert said["active"] is True
        assert said["client_id"] == "abc123"
        revoked = client.revoke_token(  # type: ignore[no-untyped-call]
            f"{platform.url}/oauth/v2/revoke", token=token["refresh_token"], token_type_hint="refresh_token"
        )
        assert revoked.status_code == 200
        assert client.introspect_token(introspect, token=token["refresh_token"]).json() == {"active": False}

    await asyncio.to_thread(use)


async def test_errors_are_the_librarys_own(platform: Platform) -> None:
    """The library understands each refusal as the standard's error."""

    def use() -> None:
        url = f"{platform.url}/oauth/v2/token"
        with pytest.raises(OAuthError) as refused:
            session(platform, "client_secret_basic").fetch_token(
                url, grant_type="password", username=USER["username"], password="wrong"
            )
        assert refused.value.error == "invalid_grant"
        with pytest.raises(OAuthError) as unknown:
            OAuth2Session("abc123", "wrong", token_endpoint_auth_method="client_secret_post").fetch_token(
                url, grant_type="client_credentials"
            )
        assert unknown.value.error == "invalid_client"

    await asyncio.to_thread(use)
