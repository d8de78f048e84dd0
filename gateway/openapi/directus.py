"""What the paths of the `directus` dialect do and answer."""

from gateway.dialects.directus_wire import (
    Login,
    PasswordRequest,
    PasswordReset,
    Presented,
    TfaDisable,
    TfaEnable,
    TfaGenerate,
)
from gateway.openapi.describe import (
    INTEGER,
    MOMENT,
    STRING,
    UUID,
    Operation,
    Section,
    array,
    constant,
    nullable,
    record,
)

_TOKENS = record({"data": record({"expires": INTEGER}, {"access_token": STRING, "refresh_token": STRING})})
_USER = record(
    {
        "id": UUID,
        "email": nullable(STRING),
        "tfa_secret": nullable(STRING),
        "status": constant("active"),
        "role": {"type": "null"},
        "provider": constant("default"),
    }
)
_SETUP = record({"secret": STRING, "otpauth_url": STRING, "recovery_codes": array(STRING)})
_EXTENSIONS = record({"code": STRING}, {"limit": INTEGER, "reset": MOMENT})
_MODE = (
    "mode says where the tokens go: json into the body, cookie and session into cookies. expires is in milliseconds."
)
_NO_TOKEN = "The access token is missing or expired, or what is to be proved is wrong."
_FORBIDDEN = "The access token is wrong, revoked, or of another dialect."
_STRANGER = "A page of another origin would use this browser's cookies."

SECTION = Section(
    name="directus",
    title="Directus",
    about="The authentication of Directus 9, and what clients call of later ones. A field that is null or empty "
    "counts as omitted.",
    error=record({"errors": array(record({"message": STRING, "extensions": _EXTENSIONS}))}),
    operations={
        ("POST", "/auth/login"): Operation(
            does="Sign in by e-mail and password, and by otp where TOTP is on.",
            more=_MODE,
            body=Login,
            example={"email": "someone@example.com", "password": "def56789", "mode": "json"},
            answer=_TOKENS,
            refusals={401: "The e-mail, the password or the otp is wrong.", 403: _STRANGER},
        ),
        ("POST", "/auth/refresh"): Operation(
            does="Give new tokens for a refresh token of the body or the cookie; it is good once.",
            more=_MODE,
            body=Presented,
            example={"refresh_token": "AQID…", "mode": "json"},
            body_optional=True,
            answer=_TOKENS,
            refusals={401: "The refresh token is wrong, expired, used or revoked.", 403: _STRANGER},
        ),
        ("POST", "/auth/logout"): Operation(
            does="End the session of a refresh token of the body or the cookie.",
            body=Presented,
            example={"refresh_token": "AQID…"},
            body_optional=True,
            status=204,
            refusals={403: _STRANGER},
        ),
        ("POST", "/auth/password/request"): Operation(
            does="Mail a link by which the password can be reset.",
            more="The answer is the same, after the same time, whether or not there is such a user.",
            body=PasswordRequest,
            example={"email": "someone@example.com"},
            status=204,
            refusals={403: "Passwords cannot be reset by e-mail here."},
        ),
        ("POST", "/auth/password/reset"): Operation(
            does="Set a new password by the token of the link.",
            body=PasswordReset,
            example={"token": "AQID…", "password": "correct horse battery staple"},
            status=204,
            refusals={401: "The token is expired.", 403: "The token is wrong or used."},
        ),
        ("GET", "/users/me"): Operation(
            does="Say who the access token's user is; a token of any dialect will do.",
            answer=record({"data": _USER}),
            refusals={400: "Two access tokens that differ.", 401: _NO_TOKEN, 403: _FORBIDDEN},
            proof="user",
        ),
        ("POST", "/users/me/tfa/generate"): Operation(
            does="Give a TOTP secret, by the password.",
            body=TfaGenerate,
            example={"password": "def56789"},
            answer=record({"data": _SETUP}),
            refusals={401: _NO_TOKEN, 403: _FORBIDDEN},
            proof="user",
        ),
        ("POST", "/users/me/tfa/enable"): Operation(
            does="Turn TOTP on, by an otp of the secret.",
            body=TfaEnable,
            example={"secret": "JBSWY3DPEHPK3PXP", "otp": "123456"},
            status=204,
            refusals={401: _NO_TOKEN, 403: _FORBIDDEN},
            proof="user",
        ),
        ("POST", "/users/me/tfa/disable"): Operation(
            does="Turn TOTP off, by an otp.",
            body=TfaDisable,
            example={"otp": "123456"},
            status=204,
            refusals={401: _NO_TOKEN, 403: _FORBIDDEN},
            proof="user",
        ),
    },
)
