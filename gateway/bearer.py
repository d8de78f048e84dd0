"""Access tokens that come back to the platform's own endpoints, verified by the library that other services use."""

from aiohttp import web
from dragoman_verifier import Claims, TokenExpired, TokenRefused, Unavailable, Verifier

from shared.errors import Error, ErrorCode, unavailable


class BearerTokens:
    """Finds a request's access token (RFC 6750 §2.1) and verifies it."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def verify(self, request: web.Request) -> Claims | None:
        """The claims of the request's bearer token, None when it carries none.

        Raises `invalid_token`, with `detail.expired` when that is all that is wrong; `unavailable` when it cannot be
        told for want of keys or of news of revocations.
        """
        given = request.headers.getall("Authorization", [""])
        if len(given) > 1:  # whoever stands in front may have read another one
            raise Error(ErrorCode.INVALID_TOKEN, "the request carries several Authorization headers")
        scheme, _, token = given[0].partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            return await self._verifier.verify(token.strip())
        except TokenRefused as refusal:
            detail = {"expired": isinstance(refusal, TokenExpired)}
            raise Error(ErrorCode.INVALID_TOKEN, str(refusal), detail=detail) from None
        except Unavailable as error:
            raise unavailable(str(error), retry_after=error.retry_after) from None

    async def required(self, request: web.Request) -> Claims:
        """As `verify`, but a request without a token is refused: `invalid_token` with `detail.missing`."""
        claims = await self.verify(request)
        if claims is None:
            raise Error(ErrorCode.INVALID_TOKEN, "the request carries no access token", detail={"missing": True})
        return claims
