"""What the paths of the `enterprise` dialect do and answer."""

from gateway.dialects.enterprise import (
    ChangeFields,
    ForgotConfirmFields,
    ForgotFields,
    LoginFields,
    NewPasswordFields,
    RefreshFields,
    RevokeFields,
)
from gateway.openapi.describe import INTEGER, STRING, Operation, Section, constant, one_of, record

_ACCESS = {"id_token": STRING, "access_token": STRING, "expires_in": INTEGER}
_TOKENS = record({**_ACCESS, "refresh_token": STRING})
_INVALID = "A field is missing, is no text, or is too short or too long."
_PASSWORD = "The username or the password is wrong."
_SESSION = "The session is unknown, expired or revoked."

SECTION = Section(
    name="enterprise",
    title="Enterprise",
    about="Accounts and tokens in the manner of Cognito. Bodies can be JSON, forms or multipart. Any page may call.",
    error=record({"status": INTEGER, "message": STRING}),
    operations={
        ("POST", "/v1/login"): Operation(
            does="Sign in by username and password.",
            more="challenge_name says what comes first instead of tokens; NEW_PASSWORD_REQUIRED can be met here.",
            body=LoginFields,
            example={"username": "someone@example.com", "password": "def56789"},
            multipart=True,
            answer={
                "oneOf": [
                    _TOKENS,
                    record({"challenge_name": constant("NEW_PASSWORD_REQUIRED"), "session": STRING}),
                    record({"challenge_name": one_of("EMAIL_OTP", "SOFTWARE_TOKEN_MFA")}),
                ]
            },
            refusals={401: _PASSWORD, 422: _INVALID},
        ),
        ("POST", "/v1/new-password-required"): Operation(
            does="Answer the challenge NEW_PASSWORD_REQUIRED.",
            body=NewPasswordFields,
            example={"session": "AQID…", "username": "temp", "new_password": "correct horse battery staple"},
            multipart=True,
            answer=_TOKENS,
            refusals={401: "The challenge is over, or the new password is too weak or the old one.", 422: _INVALID},
        ),
        ("POST", "/v1/token-refresh"): Operation(
            does="Give new access and id tokens; the refresh token stays.",
            body=RefreshFields,
            example={"username": "someone@example.com", "refresh_token": "AQID…"},
            multipart=True,
            answer=record(_ACCESS),
            refusals={401: _SESSION, 422: _INVALID, 429: "The refresh token has given all the tokens that it may."},
        ),
        ("POST", "/v1/token-revoke"): Operation(
            does="End the session of a refresh token, with all its access tokens.",
            body=RevokeFields,
            example={"refresh_token": "AQID…"},
            multipart=True,
            status=204,
            refusals={401: _SESSION, 422: _INVALID},
        ),
        ("POST", "/v1/forgot-password"): Operation(
            does="Send a code by e-mail, by which a new password can be set.",
            more="The answer is the same whether or not there is such a user.",
            body=ForgotFields,
            example={"username": "someone@example.com"},
            multipart=True,
            status=204,
            refusals={422: _INVALID},
        ),
        ("POST", "/v1/forgot-password-confirm"): Operation(
            does="Set a new password by that code.",
            body=ForgotConfirmFields,
            example={
                "username": "someone@example.com",
                "password": "correct horse battery staple",
                "confirmation_code": "123456",
            },
            multipart=True,
            status=204,
            refusals={401: "The code is wrong or expired, or the new password is too weak.", 422: _INVALID},
        ),
        ("POST", "/v1/change-password"): Operation(
            does="Set a new password by the old one and an access token of this dialect.",
            more="All sessions of the user end.",
            body=ChangeFields,
            example={
                "access_token": "eyJhbGciOi…",
                "previous_password": "def56789",
                "proposed_password": "correct horse battery staple",
            },
            multipart=True,
            status=204,
            refusals={
                401: "The token or the old password is wrong, or the new one too weak or the same.",
                422: _INVALID,
            },
        ),
    },
)
