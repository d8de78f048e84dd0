"""What the paths of the `backoffice` dialect do and answer."""

from gateway.dialects.backoffice import ConfirmFields, RefreshFields, SignInFields
from gateway.openapi.describe import (
    INTEGER,
    MOMENT,
    STRING,
    UUID,
    Operation,
    Section,
    array,
    constant,
    mapping,
    one_of,
    record,
)

_TOKEN = record({"token": STRING, "createdAt": MOMENT, "expiresAt": MOMENT})
_TOKENS = {"accessToken": _TOKEN, "refreshToken": _TOKEN}
_CHALLENGE = record({"token": UUID, "provider": one_of("email", "totp"), "expiresAt": MOMENT})
_INVALID = "A field is missing or is no text."

SECTION = Section(
    name="backoffice",
    title="Back Office",
    about="Sign-in in two steps where a second factor is on. Bodies are read as JSON whatever their label.",
    error=record({"code": INTEGER, "message": STRING, "errors": mapping(array(STRING))}),
    operations={
        ("POST", "/api/v2/signin"): Operation(
            does="Sign in by e-mail and password.",
            more="With a second factor there are no tokens yet: 2faDetails says what confirms the sign-in.",
            body=SignInFields,
            example={"email": "someone@example.com", "password": "def56789"},
            answer={
                "oneOf": [
                    record({"2faRequired": constant(False), **_TOKENS}),
                    record({"2faRequired": constant(True), "2faDetails": _CHALLENGE}),
                ]
            },
            refusals={401: "The e-mail or the password is wrong.", 422: _INVALID},
        ),
        ("POST", "/api/v2/2fa/confirm"): Operation(
            does="Prove the second factor of a sign-in.",
            body=ConfirmFields,
            example={"token": "b2fcf999-2b0b-451d-9888-094a79117aa5", "code": "123456"},
            answer=record(_TOKENS),
            refusals={401: "The code is wrong or expired, or the sign-in is over.", 422: _INVALID},
        ),
        ("POST", "/api/v2/refresh"): Operation(
            does="Give new tokens for a refresh token, which is good once.",
            body=RefreshFields,
            example={"refreshToken": "AQIDBA…"},
            answer=record(_TOKENS),
            refusals={401: "The refresh token is wrong, expired, used or revoked.", 422: _INVALID},
        ),
        ("POST", "/api/v2/signout"): Operation(
            does="End the session of the access token.",
            answer=record({}),
            refusals={401: "The access token is missing, wrong, expired or revoked."},
            proof="bearer",
        ),
    },
)
