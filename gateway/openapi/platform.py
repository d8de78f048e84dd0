"""What the paths do and answer that belong to no dialect: /.well-known, /forward-auth, and the description itself."""

from gateway.openapi.describe import ANYTHING, JSON, STRING, Operation, Section, array, constant, record
from gateway.openapi.oauth2 import ERROR, NO_TOKEN

_STRINGS = array(STRING)
_METADATA = {
    "issuer": STRING,
    "token_endpoint": STRING,
    "revocation_endpoint": STRING,
    "introspection_endpoint": STRING,
    "jwks_uri": STRING,
    "response_types_supported": _STRINGS,
    "grant_types_supported": _STRINGS,
    "token_endpoint_auth_methods_supported": _STRINGS,
    "revocation_endpoint_auth_methods_supported": _STRINGS,
    "introspection_endpoint_auth_methods_supported": _STRINGS,
}
_DISCOVERY = {
    "userinfo_endpoint": STRING,
    "subject_types_supported": _STRINGS,
    "id_token_signing_alg_values_supported": _STRINGS,
}
_FORWARD_AUTH = Operation(
    does="Tell a proxy whether a request may pass.",
    more="The request is named by X-Original-Method and X-Original-URI, by X-Forwarded-Method and X-Forwarded-Uri, or "
    "by the method and what stands behind the prefix. A public page needs no token.",
    headers={
        "X-Auth-Subject": "The user or client, empty for nobody.",
        "X-Auth-Scope": "The token's scopes, with spaces.",
        "X-Auth-Client": "The client that the token was given to.",
        "X-Auth-Session": "The session of the user's tokens.",
    },
    refusals={401: NO_TOKEN, 403: "The token may not do that, or no request is named."},
    proof="bearer",
)

SECTION = Section(
    name="platform",
    title="For other services",
    about="Public keys, metadata, what was revoked, and the answer to a proxy's question. Errors are those of OAuth 2.",
    error=ERROR,
    operations={
        ("GET", "/.well-known/jwks.json"): Operation(
            does="Give the public keys that tokens are signed by (RFC 7517).",
            answer=record({"keys": array({**ANYTHING, "required": ["kid", "kty", "alg", "use"]})}),
        ),
        ("GET", "/.well-known/oauth-authorization-server"): Operation(
            does="Give the endpoints and what they can do (RFC 8414).", answer=record(_METADATA)
        ),
        ("GET", "/.well-known/oauth-authorization-server/{tail}"): Operation(
            does="Give the same, behind the path that the issuer's URL has (RFC 8414 §3.1).",
            answer=record(_METADATA),
            refusals={404: "The issuer's URL has another path."},
        ),
        ("GET", "/.well-known/openid-configuration"): Operation(
            does="Give the same, as clients of OpenID Connect look for it.", answer=record(_METADATA | _DISCOVERY)
        ),
        ("GET", "/.well-known/revocations"): Operation(
            does="Give what was revoked, as a snapshot or as events.",
            more="Accept: text/event-stream gets the events revocation, heartbeat and reset. The access token needs "
            "the scope revocations:read.",
            answer=record({"cursor": STRING, "revocations": array(ANYTHING)}),
            answers_as=(JSON, "text/event-stream"),
            refusals={401: NO_TOKEN, 403: "The access token lacks the scope."},
            proof="bearer",
        ),
        ("*", "/forward-auth"): _FORWARD_AUTH,
        ("*", "/forward-auth/{tail}"): _FORWARD_AUTH,
        ("GET", "/openapi.json"): Operation(
            does="Give this description.",
            answer={"type": "object", "properties": {"openapi": constant("3.1.0")}, "required": ["openapi", "paths"]},
        ),
        ("GET", "/docs"): Operation(does="Show this description as a page.", answer=STRING, answers_as=("text/html",)),
    },
)
