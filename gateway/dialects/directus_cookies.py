"""The cookies of the `directus` dialect's sessions: a refresh token, and in the mode `session` an access token too.

Both are HttpOnly, so that no script reads them. A browser sends them along for whichever page asks, hence pages of
origins that nobody has listed are refused, beside what SameSite does.
"""

from aiohttp import web
from yarl import URL

from gateway.body import is_clean
from gateway.cors import CorsPolicy
from gateway.dialects.directus_wire import Mode, data_response, token_data
from gateway.settings import GatewaySettings
from shared.contracts.token import TokenSet
from shared.errors import Error, ErrorCode


class Cookies:
    """Sets, reads and takes back the two cookies, as the settings have them."""

    def __init__(self, settings: GatewaySettings, cors: CorsPolicy | None) -> None:
        self._refresh_name = settings.directus_refresh_cookie_name
        self._session_name = settings.directus_session_cookie_name
        self._domain = settings.directus_cookie_domain or None
        self._secure = settings.directus_cookie_secure
        self._same_site = settings.directus_cookie_same_site.capitalize()
        listed = cors.origins if cors is not None else None
        self._origins = {str(URL(settings.issuer).origin()), *(listed or ())}
        # A page that came over plain HTTP may be anybody's on the way, unless nothing here goes another way.
        plain = settings.issuer.startswith("http:") or not self._secure
        self._schemes = ("https", "http") if plain else ("https",)

    def refresh_token(self, request: web.Request) -> str | None:
        """The refresh token that a request's cookie has, None without one."""
        return _value(request, self._refresh_name)

    def access_token(self, request: web.Request) -> str | None:
        """The access token that a request's cookie has, None without one."""
        return _value(request, self._session_name)

    def refuse_strangers(self, request: web.Request, *, will_set: bool = False) -> None:
        """Refuse (`forbidden`) a page of another origin that would act by this browser's cookies, or give it some.

        Browsers name the origin with every POST; what names none is no page.
        """
        origin = request.headers.get("Origin")
        involved = will_set or bool({self._refresh_name, self._session_name} & request.cookies.keys())
        own = {*self._origins, *(f"{scheme}://{request.host}" for scheme in self._schemes)}
        if involved and origin is not None and origin not in own:
            raise Error(ErrorCode.FORBIDDEN, "a page of another origin may not use this browser's cookies")

    def answer(self, tokens: TokenSet, mode: Mode) -> web.Response:
        """The answer that gives tokens, in the body and in cookies as the mode says."""
        response = data_response(token_data(tokens, mode))
        if mode != "json":
            self.give(response, tokens, session=mode == "session")
        return response

    def give(self, response: web.Response, tokens: TokenSet, *, session: bool) -> None:
        """Set the refresh token's cookie, and with `session` the access token's."""
        if tokens.refresh_token is not None:
            self._set(response, self._refresh_name, tokens.refresh_token.get_secret_value(), tokens.refresh_expires_in)
        if session:
            self._set(response, self._session_name, tokens.access_token.get_secret_value(), tokens.expires_in)

    def take_back(self, request: web.Request, response: web.Response) -> None:
        """Have the browser forget those of the cookies that it sent."""
        for name in (self._refresh_name, self._session_name):
            if name in request.cookies:
                self._set(response, name, "", 0)

    def _set(self, response: web.Response, name: str, value: str, seconds: int | None) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            domain=self._domain,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite=self._same_site,
        )


def _value(request: web.Request, name: str) -> str | None:
    value = request.cookies.get(name, "")
    return value if value and is_clean(value) else None
