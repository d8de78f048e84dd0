"""Who has come back from a provider: what its user info says, in the words of each kind."""

from typing import Any

from aiohttp import ClientSession

from services.identity.domain.providers import Endpoints, Person, person
from services.identity.providers import web
from shared.contracts.providers import Provider
from shared.errors import Error, ErrorCode


async def by_claims(http: ClientSession, endpoints: Endpoints, claims: dict[str, Any], access_token: str) -> Person:
    """Whom an id_token tells of, with the e-mail address of the user info where the token has none."""
    if "email" not in claims and endpoints.userinfo is not None:
        info = await _user_info(http, endpoints.userinfo, access_token)
        if info.get("sub") != claims.get("sub"):  # OpenID Connect Core §5.3.2
            raise Error(ErrorCode.WRONG_PASSWORD, "the user info is of somebody else")
        claims = info
    return person(claims.get("sub"), claims.get("email"), verified=claims.get("email_verified"))


async def by_access_token(http: ClientSession, provider: Provider, endpoints: Endpoints, access_token: str) -> Person:
    """Whom a provider that is no OpenID provider tells of. Raises `unavailable`, `wrong_password`."""
    assert endpoints.userinfo is not None, "only OpenID providers do without"
    info = await _user_info(http, endpoints.userinfo, access_token)
    if provider.kind == "github":
        email = await _github_email(http, endpoints.userinfo, access_token)
        return person(info.get("id"), email, verified=True)
    if provider.kind == "facebook":
        # It does not say whether it has verified the address: the operator does, or nobody.
        return person(info.get("id"), info.get("email"), verified=provider.trust_email)
    return person(
        info.get(provider.subject_field),
        info.get(provider.email_field),
        verified=info.get(provider.email_verified_field),
    )


async def _github_email(http: ClientSession, user_url: str, access_token: str) -> str | None:
    """The primary address where it is verified: the one of the profile may be anybody's, or nobody's.

    Source: https://docs.github.com/en/rest/users/emails
    """
    status, addresses = await web.ask(http, f"{user_url}/emails", headers=_bearer(access_token))
    if status != 200 or not isinstance(addresses, list):
        return None  # no address is told without the scope for it
    for address in addresses:
        if isinstance(address, dict) and address.get("primary") is True and address.get("verified") is True:
            email = address.get("email")
            return email if isinstance(email, str) else None
    return None


async def _user_info(http: ClientSession, url: str, access_token: str) -> dict[str, Any]:
    status, info = await web.ask(http, url, headers=_bearer(access_token))
    if status in {401, 403}:
        raise Error(ErrorCode.WRONG_PASSWORD, "the provider does not take its own access token")
    if status != 200 or not isinstance(info, dict):
        raise web.no_answer(url, f"answered {status} and no JSON object")
    return info


def _bearer(access_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access_token}"}
