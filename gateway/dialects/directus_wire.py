"""The bodies of the `directus` dialect: what its requests may say, and what its answers look like."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from gateway.body import BodyError, read_fields
from gateway.dialects.dialect import NO_STORE, json_response
from shared.contracts.identity import TotpSetup, User
from shared.contracts.providers import Provider
from shared.contracts.token import TokenSet

Mode = Literal["json", "cookie", "session"]

HEADERS = {**NO_STORE, "Content-Type": "application/json; charset=utf-8"}
"""What every answer with a body has."""

# --- requests ---------------------------------------------------------------------------------------------------------


class Body(BaseModel):
    """A body's fields. Keys that mean nothing here are passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class Login(Body):
    """POST /auth/login."""

    email: str
    password: SecretStr
    otp: SecretStr | None = None
    mode: Mode = "json"


class ProviderCode(Body):
    """POST /auth/login/{provider}."""

    otp: SecretStr
    challenge: SecretStr | None = None
    mode: Mode = "json"


class Presented(Body):
    """POST /auth/refresh and /auth/logout."""

    refresh_token: SecretStr | None = None
    mode: Mode | None = None


class Forgotten(Body):
    """A body about a forgotten password: the origin has other words for what is missing there, or is no string."""


class PasswordRequest(Forgotten):
    """POST /auth/password/request."""

    email: str
    reset_url: str | None = None


class PasswordReset(Forgotten):
    """POST /auth/password/reset."""

    token: SecretStr
    password: SecretStr


class TfaGenerate(Body):
    """POST /users/me/tfa/generate."""

    password: SecretStr


class TfaEnable(Body):
    """POST /users/me/tfa/enable."""

    secret: SecretStr
    otp: SecretStr


class TfaDisable(Body):
    """POST /users/me/tfa/disable."""

    otp: SecretStr


BodyT = TypeVar("BodyT", bound=Body)


async def read(model: type[BodyT], request: web.Request) -> BodyT:
    """A request's body, checked; what is null or empty counts as omitted, and no body as one without fields.

    Raises `BodyError`, for a wrong field in the origin's words; for the first one only, as there.
    """
    fields = await read_fields(request, empty=True)
    given = {name: value for name, value in fields.items() if value is not None and value != ""}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
    name = str(problem["loc"][0])
    if issubclass(model, Forgotten) and model.model_fields[name].is_required():
        raise BodyError(400, f'"{name}" field is required.')
    words = {"missing": "is required", "literal_error": "must be one of [json, cookie, session]"}
    raise BodyError(400, f'"{name}" {words.get(problem["type"], "must be a string")}')


# --- answers ----------------------------------------------------------------------------------------------------------


def data_response(data: Mapping[str, Any] | Sequence[str]) -> web.Response:
    """What was asked for."""
    return json_response({"data": data}, headers=HEADERS)


def error_response(
    status: int, code: str, message: str, headers: Mapping[str, str], more: Mapping[str, Any] = MappingProxyType({})
) -> web.Response:
    """What went wrong: always one error, though it is a list. `more` are extensions beside the code."""
    body = {"errors": [{"message": message, "extensions": {"code": code, **more}}]}
    return json_response(body, status=status, headers={**HEADERS, **headers})


def token_data(tokens: TokenSet, mode: Mode) -> dict[str, Any]:
    """What of the tokens stands in the body; the rest is in cookies. `expires` is in milliseconds."""
    data: dict[str, Any] = {} if mode == "session" else {"access_token": tokens.access_token.get_secret_value()}
    data["expires"] = tokens.expires_in * 1000
    if mode == "json" and tokens.refresh_token is not None:
        data["refresh_token"] = tokens.refresh_token.get_secret_value()
    return data


def provider_data(provider: Provider) -> dict[str, Any]:
    """What a page needs for the button of a provider."""
    return {
        "name": provider.name,
        "label": provider.label or provider.name,
        "driver": "openid" if provider.kind == "oidc" else "oauth2",
        "icon": provider.icon or None,
    }


def user_data(user: User) -> dict[str, Any]:
    """What is known here of a user. The platform has no roles, and shows no secret a second time."""
    return {
        "id": str(user.id),
        "email": user.email,
        "tfa_secret": "**********" if "totp" in user.second_factors else None,
        "status": "active",
        "role": None,
        "provider": "default",
    }


def setup_data(setup: TotpSetup) -> dict[str, Any]:
    """What an authenticator app is set up with, shown this once."""
    return {
        "secret": setup.secret.get_secret_value(),
        "otpauth_url": setup.otpauth_url.get_secret_value(),
        "recovery_codes": [code.get_secret_value() for code in setup.recovery_codes],
    }
