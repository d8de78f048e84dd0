"""Access tokens that come back to the platform's own endpoints, verified by the library that other services use."""

from aiohttp import web
from dragoman_verifier import Claims, TokenExpired, TokenRefused, Unavailable, Verifier

from shared.errors import Error, ErrorCode, unavailable


class BearerTokens:
    """Finds a request's access token (RFC 6750 §2.1) and verifies it."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def verify(self, request: web.Request) -> Claims | None:
        """The claims of the request's bearer token, None when it carries none. Raises as `verify_text`."""
        token = bearer_text(request)
        return None if token is None else await self.verify_text(token)

    async def required(self, request: web.Request) -> Claims:
        """As `verify`, but a request without a token is refused: `invalid_token` with `detail.missing`."""
        claims = await self.verify(request)
        if claims is None:
            raise missing_token()
        return claims

    async def verify_text(self, token: str) -> Claims:
        """The claims of an access token, wherever in a request it was.

        Raises `invalid_token`, with `detail.expired` when that is all that is wrong; `unavailable` when it cannot be
        told for want of keys or of news of revocations.
        """
        try:
            return await self._verifier.verify(token)
        except TokenRefused as refusal:
            detail = {"expired": isinstance(refusal, TokenExpired)}
            raise Error(ErrorCode.INVALID_TOKEN, str(refusal), detail=detail) from None
        except Unavailable as error:
            raise unavailable(str(error), retry_after=error.retry_after) from None


def bearer_text(request: web.Request) -> str | None:
    """What a request's Authorization header gives as a bearer token, unverified; None when it gives none."""
    given = request.headers.getall("Authorization", [""])
    if len(given) > 1:  # whoever stands in front may have read another one
        raise Error(ErrorCode.INVALID_TOKEN, "the request carries several Authorization headers")
    scheme, _, token = given[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def missing_token() -> Error:
    """The refusal of a request that carries no access token where one is needed."""
    return Error(ErrorCode.INVALID_TOKEN, "the request carries no access token", detail={"missing": True})
