"""Signing in through an external provider, in the `directus` dialect.

| path | what it does | answer |
|---|---|---|
| GET /auth | lists the providers | `{"data": [{name, label, driver, icon}], "disableDefault": false}` |
| GET /auth/oauth | lists their names; with `provider` as /auth/oauth/{provider} | `{"data": [name]}` |
| GET /auth/oauth/{provider}, /auth/login/{provider} | sends the browser to the provider | 302 |
| GET /auth/oauth/{provider}/callback, /auth/login/… | takes it back, and signs in | 302 to `redirect`, or tokens |
| POST /auth/login/{provider} | proves the second factor that was asked for by `otp` | as POST /auth/login |

Oddities, and where they come from (reference: api-contracts §1.4):
- The seed has /auth/oauth, of release candidates; /auth/login/{provider} is what clients of 9.0 and later call. They do
  the same, and differ in the words for a failure: `reason` is one of three there, and an error's code here.
- With `redirect` the browser gets the refresh token as a cookie and goes there, whatever happens; without one it is
  shown JSON. The origin went wherever `redirect` said: here the pages are listed, and looked up again on the way back.
- The way back is made from the platform's own URL, never from the request's Host.
- Who has begun is remembered by the browser itself, in a cookie: a link that somebody else began signs nobody in.
- A second factor is asked for behind the provider too; the origin let those users in without. `INVALID_OTP` says so,
  and the challenge waits in a cookie, and without `redirect` in the answer as well.
"""

from base64 import urlsafe_b64encode
from dataclasses import dataclass

from aiohttp import web
from pydantic import SecretStr

from gateway.body import BodyError, is_clean
from gateway.dialects.dialect import NO_STORE, Gateway, json_response
from gateway.dialects.directus_cookies import Cookies
from gateway.dialects.directus_provider_cookies import Begun, ProviderCookies
from gateway.dialects.directus_wire import HEADERS, ProviderCode, data_response, provider_data, read
from gateway.redirects import may_return_to, with_reason
from shared.contracts.providers import BeginProviderSignIn, ListProviders
from shared.contracts.token import ContinueSignIn, SignedIn, SignInChallenge, SignInWithProvider
from shared.errors import Error, ErrorCode, unavailable

_NAME = "{provider:[a-z0-9-]+}"
_BROWSER_BYTES = 32
_PROVIDER_AWAY = {"server_error", "temporarily_unavailable"}
"""What a provider calls an outage of its own (RFC 6749 §4.1.2.1); whatever else it says is a refusal."""


@dataclass(frozen=True)
class _WayBack:
    """How a refusal reaches the browser: by way of the page at `redirect`, where there is one.

    `over`: what it began is over. `challenge`: what it is to keep. `challenge_over`: what it kept is good no more.
    """

    provider: str
    redirect: str | None = None
    over: bool = False
    challenge: SignInChallenge | None = None
    challenge_over: bool = False


_WAY_BACK = web.RequestKey("way_back", _WayBack)


class Providers:
    """The handlers, and the way back of what they refuse."""

    def __init__(self, gateway: Gateway, cookies: Cookies) -> None:
        self._gateway = gateway
        self._bus = gateway.bus
        self._issuer = gateway.settings.issuer.rstrip("/")
        self._allowed = gateway.settings.directus_redirect_allow_list
        self._sessions = cookies
        self._cookies = ProviderCookies(gateway.settings)

    def sent_back(self, request: web.Request, response: web.Response, code: str) -> web.Response:
        """The refusal `response`, as it goes to a browser that is on its way to a provider or back; else as it is."""
        way = request.get(_WAY_BACK)
        if way is None:
            return response
        if way.redirect is not None:
            reason = code if not _is_oauth(request) else _old_reason(response.status, code)
            response = _moved(with_reason(way.redirect, reason))
        if way.over:
            self._cookies.forget(request, response, way.provider)
        if way.challenge_over:
            self._cookies.forget_challenge(request, response, way.provider)
        if way.challenge is not None and way.challenge.token is not None:
            self._cookies.keep_challenge(response, way.provider, way.challenge.token, way.challenge.expires_at)
        return response

    # --- handlers -----------------------------------------------------------------------------------------------------

    async def providers(self, request: web.Request) -> web.Response:
        """GET /auth."""
        await self._gateway.limits.count(request)
        known = (await self._bus.call(ListProviders())).providers
        data = [provider_data(provider) for provider in known]
        return json_response({"data": data, "disableDefault": False}, headers=HEADERS)

    async def names(self, request: web.Request) -> web.Response:
        """GET /auth/oauth."""
        await self._gateway.limits.count(request)
        provider = _parameter(request, "provider")
        if provider is not None:
            return await self._begin(request, provider)
        return data_response([provider.name for provider in (await self._bus.call(ListProviders())).providers])

    async def begin(self, request: web.Request) -> web.Response:
        """GET /auth/oauth/{provider} and /auth/login/{provider}."""
        await self._gateway.limits.count(request)
        return await self._begin(request, request.match_info["provider"])

    async def _begin(self, request: web.Request, provider: str) -> web.Response:
        redirect = _parameter(request, "redirect")
        if redirect is not None and not may_return_to(redirect, self._allowed):
            raise BodyError(400, '"redirect" leads to a page that nobody may be sent to from here')
        browser = urlsafe_b64encode(self._gateway.entropy.token_bytes(_BROWSER_BYTES)).rstrip(b"=").decode()
        door = "oauth" if _is_oauth(request) else "login"
        call = BeginProviderSignIn(
            provider=provider,
            dialect="directus",
            callback_url=f"{self._issuer}/auth/{door}/{provider}/callback",
            browser=SecretStr(browser),
        )
        try:
            there = await self._bus.call(call)
        except Error as error:
            if error.code == ErrorCode.NOT_FOUND:
                raise web.HTTPNotFound from None
            request[_WAY_BACK] = _WayBack(provider, redirect)
            raise
        response = _moved(there.url.get_secret_value())
        self._cookies.remember(response, provider, Begun(browser=browser, redirect=redirect))
        return response

    async def callback(self, request: web.Request) -> web.Response:
        """GET /auth/oauth/{provider}/callback and /auth/login/{provider}/callback."""
        await self._gateway.limits.count(request)
        provider = request.match_info["provider"]
        begun = self._cookies.begun(request, provider)
        if begun is not None and begun.redirect is not None and not may_return_to(begun.redirect, self._allowed):
            begun = None  # the list is another one by now, or the cookie not our doing
        redirect = begun.redirect if begun is not None else None
        request[_WAY_BACK] = _WayBack(provider, redirect, over=True)
        if begun is None:
            raise Error(ErrorCode.WRONG_PASSWORD, "this browser has begun no such sign-in")
        signed_in = await self._bus.call(self._brought_back(request, provider, begun.browser))
        if signed_in.tokens is None:
            factor = _factor(signed_in)
            request[_WAY_BACK] = _WayBack(provider, redirect, over=True, challenge=factor)
            raise _something_first(factor)
        if redirect is not None:
            response = _moved(redirect)
            self._sessions.give(response, signed_in.tokens, session=False)
        else:
            response = self._sessions.answer(signed_in.tokens, "json")
        self._cookies.forget(request, response, provider)
        self._cookies.forget_challenge(request, response, provider)
        return response

    def _brought_back(self, request: web.Request, provider: str, browser: str) -> SignInWithProvider:
        """What the provider sent the browser back with (RFC 6749 §4.1.2); raises what it says went wrong."""
        state, code, refusal = (_parameter(request, name) for name in ("state", "code", "error"))
        if refusal in _PROVIDER_AWAY:
            raise unavailable("the provider says that it cannot sign anybody in now")
        if refusal is not None or state is None or code is None:
            raise Error(ErrorCode.WRONG_PASSWORD, "the provider has signed nobody in")
        return SignInWithProvider(
            dialect="directus",
            provider=provider,
            state=SecretStr(state),
            browser=SecretStr(browser),
            code=SecretStr(code),
            issuer=_parameter(request, "iss"),
            source=self._gateway.addresses.source(request),
        )

    async def prove(self, request: web.Request) -> web.Response:
        """POST /auth/login/{provider}."""
        provider = request.match_info["provider"]
        body = await read(ProviderCode, request)
        kept = self._cookies.challenge(request, provider) if body.challenge is None else None
        challenge = body.challenge or kept
        self._sessions.refuse_strangers(request, will_set=body.mode != "json" or kept is not None)
        account = challenge.get_secret_value() if challenge is not None else None
        await self._gateway.limits.count(request, account=account)
        if not any(known.name == provider for known in (await self._bus.call(ListProviders())).providers):
            raise web.HTTPNotFound  # also for one that was removed meanwhile: nobody comes in by it any more
        if challenge is None:
            raise BodyError(400, '"challenge" is required in either the JSON payload or Cookie')
        call = ContinueSignIn(
            dialect="directus",
            kind="second_factor",
            token=challenge,
            code=body.otp,
            source=self._gateway.addresses.source(request),
        )
        try:
            signed_in = await self._bus.call(call)
        except Error as error:
            if error.code == ErrorCode.CHALLENGE_UNKNOWN:
                request[_WAY_BACK] = _WayBack(provider, challenge_over=True)
            raise
        if signed_in.tokens is None:
            raise _something_first(None)
        response = self._sessions.answer(signed_in.tokens, body.mode)
        self._cookies.forget_challenge(request, response, provider)
        return response

    # --- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """The paths."""
        return [
            web.get("/auth", self.providers),
            web.get("/auth/oauth", self.names),
            web.get(f"/auth/oauth/{_NAME}", self.begin),
            web.get(f"/auth/oauth/{_NAME}/callback", self.callback),
            web.get(f"/auth/login/{_NAME}", self.begin),
            web.get(f"/auth/login/{_NAME}/callback", self.callback),
            web.post(f"/auth/login/{_NAME}", self.prove),
        ]


def _is_oauth(request: web.Request) -> bool:
    return request.path.startswith("/auth/oauth")


def _old_reason(status: int, code: str) -> str:
    """The word that the release candidates had for an error; for a second factor they had none."""
    if code in ("INVALID_OTP", "SERVICE_UNAVAILABLE"):
        return code
    return "INVALID_USER" if status in (401, 403) else "UNKNOWN_EXCEPTION"


def _factor(signed_in: SignedIn) -> SignInChallenge | None:
    """The challenge for a second factor that stands before the tokens, None for anything else that does."""
    challenge = signed_in.challenge
    return challenge if challenge is not None and challenge.kind == "second_factor" else None


def _something_first(factor: SignInChallenge | None) -> Error:
    """What is said instead of tokens: which second factor is to come, or that nothing can be done here."""
    if factor is None or factor.token is None:
        return Error(ErrorCode.PASSWORD_CHANGE_REQUIRED, "something is to be done first, which cannot be here")
    detail = {"challenge": factor.token.get_secret_value()}
    return Error(ErrorCode.SECOND_FACTOR_REQUIRED, "a second factor is to be proved", detail=detail)


def _parameter(request: web.Request, name: str) -> str | None:
    """A parameter of the query; an empty one counts as omitted (RFC 6749 §3.1), a repeated one is refused."""
    values = [value for value in request.query.getall(name, []) if value]
    if len(values) > 1 or not is_clean("".join(values)):
        raise BodyError(400, f'"{name}" must be a string')
    return values[0] if values else None


def _moved(location: str) -> web.Response:
    """Send a browser elsewhere, without telling there where it comes from: these URLs have codes in their queries."""
    return web.Response(status=302, headers={**NO_STORE, "Location": location, "Referrer-Policy": "no-referrer"})
