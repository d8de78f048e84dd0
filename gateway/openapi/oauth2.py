"""What the paths of the `oauth2` dialect do and answer."""

from gateway.dialects.oauth2 import TokenRequest
from gateway.openapi.describe import (
    BOOLEAN,
    INTEGER,
    STRING,
    UUID,
    Operation,
    Section,
    array,
    constant,
    mapping,
    nullable,
    record,
)

ERROR = record({"error": STRING, "error_description": STRING})

_CLIENT = {"client_id": "abc123", "client_secret": "456789"}
_TOKENS = record(
    {"access_token": STRING, "expires_in": INTEGER, "token_type": constant("bearer"), "scope": nullable(STRING)},
    {"refresh_token": STRING},
)
_EMPTY_LIST = {"type": "array", "maxItems": 0}
_ADDRESS = {
    "type": "object",
    "properties": {"email": {"type": "string", "format": "email"}, "phone": STRING},
    "oneOf": [{"required": ["email"]}, {"required": ["phone"]}],
}
_NO_CLIENT = "The client's id or secret is missing or wrong."
_GUESSED = "Too many wrong secrets of clients came from there. Retry-After says when to come again."
NO_TOKEN = "The access token is missing, wrong, expired or revoked."

_USERINFO = Operation(
    does="Say who the access token's user is.",
    answer=record({"sub": UUID}, {"email": STRING, "phone_number": STRING, "preferred_username": STRING}),
    refusals={401: NO_TOKEN, 403: "The access token is a client's own."},
    proof="bearer",
)

SECTION = Section(
    name="oauth2",
    title="OAuth 2",
    about="Tokens for programs and for users (RFC 6749, 7009, 7662), and one-time codes. Clients prove themselves by "
    "HTTP Basic or by fields of the body.",
    error=ERROR,
    operations={
        ("POST", "/oauth/v2/token"): Operation(
            does="Give tokens for a grant.",
            more="grant_type is client_credentials, password (the password can be a one-time code) or refresh_token. "
            "A refresh token is good once.",
            body=TokenRequest,
            example={"grant_type": "password", **_CLIENT, "username": "someone@example.com", "password": "def56789"},
            answer=_TOKENS,
            refusals={400: "The grant is refused, or the request is missing something.", 401: _NO_CLIENT},
            proof="client",
        ),
        ("POST", "/otp/send"): Operation(
            does="Send a one-time code to exactly one of an e-mail address and a phone number.",
            more="The answer is the same whether or not there is such a user.",
            body=_ADDRESS,
            example={"email": "someone@example.com"},
            answer=record({"data": record({}, {"email": STRING, "phone": STRING}), "meta": _EMPTY_LIST}),
            refusals={
                401: NO_TOKEN,
                403: "One-time codes are off.",
                422: "Not exactly one address, or one that cannot be.",
            },
            errors={422: record({"errors": mapping(array(STRING)), "meta": _EMPTY_LIST})},
            proof="bearer",
        ),
        ("POST", "/oauth/v2/revoke"): Operation(
            does="End the session of a token.",
            more="200 also for a token that is unknown, expired or of another client (RFC 7009).",
            body=TokenRequest,
            example={**_CLIENT, "token": "eyJhbGciOi…"},
            answer=record({}),
            refusals={400: "The token is missing.", 401: _NO_CLIENT, 429: _GUESSED},
            proof="client",
        ),
        ("POST", "/oauth/v2/introspect"): Operation(
            does="Say what a token says, or only that it is not active.",
            body=TokenRequest,
            example={**_CLIENT, "token": "eyJhbGciOi…"},
            answer={"type": "object", "properties": {"active": BOOLEAN}, "required": ["active"]},
            refusals={400: "The token is missing.", 401: _NO_CLIENT, 429: _GUESSED},
            proof="client",
        ),
        ("GET", "/oauth/v2/userinfo"): _USERINFO,
        ("POST", "/oauth/v2/userinfo"): _USERINFO,
    },
)
