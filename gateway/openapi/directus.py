"""What the paths of the `directus` dialect do and answer."""

from gateway.dialects.directus_wire import (
    Login,
    PasswordRequest,
    PasswordReset,
    Presented,
    ProviderCode,
    TfaDisable,
    TfaEnable,
    TfaGenerate,
)
from gateway.openapi.describe import (
    BOOLEAN,
    INTEGER,
    MOMENT,
    STRING,
    UUID,
    Operation,
    Section,
    array,
    constant,
    nullable,
    one_of,
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
_PROVIDER = record({"name": STRING, "label": STRING, "driver": one_of("openid", "oauth2"), "icon": nullable(STRING)})
_EXTENSIONS = record({"code": STRING}, {"limit": INTEGER, "reset": MOMENT, "challenge": STRING})
_MODE = (
    "mode says where the tokens go: json into the body, cookie and session into cookies. expires is in milliseconds."
)
_NO_TOKEN = "The access token is missing or expired, or what is to be proved is wrong."
_FORBIDDEN = "The access token is wrong, revoked, or of another dialect."
_STRANGER = "A page of another origin would use this browser's cookies."
_REDIRECT = {"redirect": "page to return to, one of those that the operator has listed; without it the end is JSON"}
_BEGIN = Operation(
    does="Send the browser to an external provider.",
    query=_REDIRECT,
    status=302,
    moves="To the provider; or to redirect with a reason, if the provider is away.",
    refusals={400: "The redirect is not allowed.", 404: "There is no such provider."},
)
_CALLBACK = Operation(
    does="Take the browser back from the provider, and sign in.",
    more="Only the browser that has begun can finish. With a redirect of the beginning the refresh token is a cookie.",
    query={
        "state": "as the provider was given it",
        "code": "of the provider, good once",
        "iss": "of the provider (RFC 9207)",
        "error": "what the provider says instead of a code",
    },
    answer=_TOKENS,
    moves="To the redirect of the beginning; with a reason, if nobody is signed in.",
    refusals={
        400: "A parameter is repeated.",
        401: "Nobody is signed in; INVALID_OTP when a second factor is to come, and extensions say which challenge.",
        404: "No provider can have that name.",
    },
)

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
        ("GET", "/auth"): Operation(
            does="List the external providers.",
            answer=record({"data": array(_PROVIDER), "disableDefault": BOOLEAN}),
        ),
        ("GET", "/auth/oauth"): Operation(
            does="List the external providers' names.",
            more="With provider it is as /auth/oauth/{provider}.",
            query={"provider": "the provider's name", **_REDIRECT},
            answer=record({"data": array(STRING)}),
            moves=_BEGIN.moves,
            refusals=_BEGIN.refusals,
        ),
        ("GET", "/auth/oauth/{provider}"): _BEGIN,
        ("GET", "/auth/oauth/{provider}/callback"): _CALLBACK,
        ("GET", "/auth/login/{provider}"): _BEGIN,
        ("GET", "/auth/login/{provider}/callback"): _CALLBACK,
        ("POST", "/auth/login/{provider}"): Operation(
            does="Prove the second factor of whom a provider has sent back, by otp.",
            more=f"The challenge is that of the body or else of the cookie. {_MODE}",
            body=ProviderCode,
            example={"otp": "123456", "mode": "json"},
            answer=_TOKENS,
            refusals={
                401: "The otp is wrong, or the challenge is over.",
                403: _STRANGER,
                404: "There is no such provider.",
            },
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
            does="Turn TOTP on, by an otp of the secret that generate gave for this user an hour ago or less.",
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
