"""/forward-auth: a proxy asks whether a request may pass to the service behind it. Errors speak the oauth2 dialect.

| who asks | the request in question | |
|---|---|---|
| nginx `auth_request` | `X-Original-Method`, `X-Original-URI` | as deploy/nginx/forward-auth.conf sets them |
| Traefik ForwardAuth | `X-Forwarded-Method`, `X-Forwarded-Uri` | set by itself |
| Envoy ext_authz over HTTP | the method, and the path behind /forward-auth | by `path_prefix` |

200 says yes, and who it is; 401 and 403 say no (RFC 6750 §3); 503 with `Retry-After` says that it cannot be told.
Every yes has all of the `X-Auth-` headers, empty where there is nothing to say: Envoy replaces what the client sent
under these names only by what it gets.
"""

from aiohttp import web
from dragoman_verifier import Claims

from gateway.bearer import BearerTokens
from gateway.dialects.dialect import NO_STORE
from gateway.forward_rules import Rule, find_rule, parse_rules
from shared.errors import Error, ErrorCode

PATH = "/forward-auth"

_NAMED_BY = (("X-Original-Method", "X-Original-URI"), ("X-Forwarded-Method", "X-Forwarded-Uri"))


class ForwardAuth:
    """Judges requests by the operator's rules (gateway/forward_rules.py) and the access token they carry."""

    def __init__(self, rules: str, bearer: BearerTokens) -> None:
        self._rules = parse_rules(rules)
        self._bearer = bearer

    def routes(self) -> list[web.RouteDef]:
        """The paths."""
        return [web.route("*", PATH, self.by_headers), web.route("*", f"{PATH}/{{tail:(?s:.*)}}", self.by_path)]

    async def by_headers(self, request: web.Request) -> web.Response:
        """Judge the request that headers name; `forbidden` when they do not name exactly one."""
        named = {(_only(request, method), _only(request, target)) for method, target in _NAMED_BY} - {("", "")}
        # A client could add the pair that its proxy does not set: where two disagree, either may be the forged one.
        if len(named) != 1:
            raise _refused("headers name no request, or two")
        method, target = named.pop()
        if not method or not target:
            raise _refused("headers name a request by half")
        return await self._answer(request, method, target)

    async def by_path(self, request: web.Request) -> web.Response:
        """Judge the request whose method is this one's and whose path is behind the prefix."""
        prefix, found, rest = request.raw_path.partition(f"{PATH}/")
        if prefix or not found:
            raise _refused("the prefix of the path is not as it should be")
        return await self._answer(request, request.method, f"/{rest}")

    async def _answer(self, request: web.Request, method: str, target: str) -> web.Response:
        try:
            rule = find_rule(self._rules, method, target)
        except ValueError as error:
            raise _refused(str(error)) from None
        claims = await self._claims(request, rule)
        return web.Response(headers={**_identity(claims), **NO_STORE})

    async def _claims(self, request: web.Request, rule: Rule) -> Claims | None:
        if rule.public:
            try:
                return await self._bearer.verify(request)
            except Error:  # a public page is there for those, too, whose token has expired or cannot be judged
                return None
        claims = await self._bearer.required(request)
        if not rule.scopes <= claims.scopes:
            scope = " ".join(sorted(rule.scopes))
            raise Error(ErrorCode.FORBIDDEN, f"the scope {scope} is needed", detail={"scope": scope})
        return claims


def _identity(claims: Claims | None) -> dict[str, str]:
    return {
        "X-Auth-Subject": claims.subject if claims else "",
        "X-Auth-Scope": " ".join(sorted(claims.scopes)) if claims else "",
        "X-Auth-Client": claims.client_id if claims else "",
        "X-Auth-Session": (claims.session_id or "") if claims else "",
    }


def _only(request: web.Request, header: str) -> str:
    values = request.headers.getall(header, [""])
    if len(values) > 1:
        raise _refused(f"several headers {header}")
    return values[0]


def _refused(reason: str) -> Error:
    return Error(ErrorCode.FORBIDDEN, reason)
