"""Settings from the environment: read once, checked whole, handed down.

`DRAGOMAN_<COMPONENT>_<NAME>` sets one component's setting; for those marked common, `DRAGOMAN_<NAME>` sets it for all.
Every secret may be given as the path of a file instead, under the name with `_FILE` behind it.
What is required and given as nothing is not given.
A `DRAGOMAN_*` name that no component knows is refused, since it is a typing error whose setting would be missed.
"""

import os
from base64 import b64decode
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.server_urls import RabbitmqUrl

PREFIX = "DRAGOMAN_"
COMPONENTS = ("gateway", "token", "identity", "otp", "password", "operator")
COMMON = frozenset(
    {
        "postgres_url",
        "redis_url",
        "rabbitmq_url",
        "issuer",
        "log_level",
        "drain_seconds",
        "redis_prefix",
        "admin_host",
        "otlp_endpoint",
        "trace_ratio",
    }
)
"""Settings that may be given once for all components."""

OUTSIDE = frozenset(
    {
        "DRAGOMAN_PORT",
        "DRAGOMAN_INBOX_PORT",
        "DRAGOMAN_BROKER_MANAGEMENT_URL",
        "DRAGOMAN_BROKER_MANAGEMENT_URL_FILE",
    }
)
OUTSIDE_PREFIX = "DRAGOMAN_TEST_"
"""Names that belong to the development commands, or to `dragoman broker`, rather than to a component."""


class SettingsError(Exception):
    """Everything that is wrong with the environment, one line each."""

    def __init__(self, component: str, problems: list[str]) -> None:
        super().__init__("\n".join([f"{component}: {len(problems)} mistake(s) in the environment", *problems]))
        self.problems = problems


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaList = Annotated[list[str], BeforeValidator(_split)]
"""Given as words separated by commas."""


def decode_key(value: SecretStr) -> bytes:
    """The bytes of a key given as base64url, padded or not; empty when it is not base64url."""
    text = value.get_secret_value().rstrip("=")
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


class Settings(BaseSettings):
    """What every component can be told; each component adds its own."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    component: ClassVar[str]

    rabbitmq_url: RabbitmqUrl = Field(description="AMQP URL of the component's own broker user")
    admin_host: str = Field("127.0.0.1", description="address of the admin port (/livez, /readyz, /metrics)")
    admin_port: int = Field(0, ge=0, le=65535, description="admin port; 0 picks a free one and logs it")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="least level that is logged")
    drain_seconds: float = Field(10.0, gt=0, le=120, description="longest wait for work in hand when told to stop")
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$",
        description="base URL of the OTLP/HTTP collector that gets traces; empty: nothing is traced",
    )
    trace_ratio: float = Field(
        1.0, ge=0, le=1, description="how many of the requests at the gateway are traced, 0 to 1; others follow it"
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _can_be_traced(cls, value: str) -> str:
        if value and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
            raise ValueError("traces need what is not installed here: dragoman[otel]")
        return value

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read and check everything. Raises `SettingsError` with all mistakes at once."""
        problems = [f"{name} is not a setting" for name in _unknown(cls, environ)]
        problems += [
            f"{name} and {name}_FILE are both set" for name in environ if _is_ours(name) and f"{name}_FILE" in environ
        ]
        came_by: dict[str, str] = {}
        try:
            settings = cls(_environ=environ, _problems=problems, _came_by=came_by)  # type: ignore[call-arg]
        except ValidationError as error:
            # A value that could not be read was reported by its source already; it is missing for no other reason.
            unread = {problem.split(":", 1)[0] for problem in problems}
            for mistake in error.errors(include_input=False, include_url=False):
                field = str(mistake["loc"][0]) if mistake["loc"] else ""
                names = _names(cls, field) if field in cls.model_fields else [field]
                if not any(f"{name}_FILE" in unread for name in names):
                    message = mistake["msg"].removeprefix("Value error, ")
                    message = f"{message[0].lower()}{message[1:]}"
                    if mistake["type"] == "missing" and field in came_by:
                        message = "is empty"
                    elif mistake["type"] == "missing" and len(names) > 1:
                        message += f" ({names[0]} for {cls.component} alone)"
                    problems.append(f"{came_by.get(field, names[-1])}: {message}".removeprefix(": "))
        if problems:
            raise SettingsError(cls.component, sorted(problems))
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read from the mapping that `load` was given, and from nowhere else."""
        arguments = init_settings.init_kwargs  # type: ignore[attr-defined]
        environ, problems = arguments.pop("_environ", {}), arguments.pop("_problems", [])
        return (init_settings, _EnvironmentSource(settings_cls, environ, problems, arguments.pop("_came_by", {})))


def read_secret(path: str) -> str:
    """What is in the file of a secret, without the line's end. Raises ValueError with the reason when it is no text."""
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(error.strerror) from None


class _EnvironmentSource(PydanticBaseSettingsSource):
    """Finds each field's value under its names, or in the file that `…_FILE` names."""

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        environ: Mapping[str, str],
        problems: list[str],
        came_by: dict[str, str],
    ) -> None:
        super().__init__(settings_cls)
        self._environ = environ
        self._problems = problems
        self._came_by = came_by

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one field, None when it is not given."""
        for name in _names(self.settings_cls, field_name):
            value = self._given(name, field)
            if value is not None:
                self._came_by[field_name] = name
                if value or not field.is_required():
                    return value, field_name, False
        return None, field_name, False

    def _given(self, name: str, field: FieldInfo) -> str | None:
        path = self._environ.get(f"{name}_FILE")
        if name in self._environ or path is None or not _is_secret(field):
            return self._environ.get(name)
        try:
            return read_secret(path)
        except ValueError as error:
            self._problems.append(f"{name}_FILE: cannot be read: {error}")
            return None

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


def _names(cls: type[BaseSettings], field: str) -> list[str]:
    own = f"{PREFIX}{cls.component}_{field}".upper()  # type: ignore[attr-defined]
    return [own, f"{PREFIX}{field}".upper()] if field in COMMON else [own]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package around it
        return False


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX) and name not in OUTSIDE and not name.startswith(OUTSIDE_PREFIX)


def _unknown(cls: type[Settings], environ: Mapping[str, str]) -> list[str]:
    """Names with our prefix that mean nothing: neither to this component nor, by their prefix, to another one."""
    known = {f"{PREFIX}{field}".upper() for field in COMMON}
    # Whether a common setting that this component does not have is a secret, only the others know.
    known |= {f"{PREFIX}{field}_FILE".upper() for field in COMMON - cls.model_fields.keys()}
    for field, info in cls.model_fields.items():
        known.update(_names(cls, field))
        if _is_secret(info):
            known.update(f"{name}_FILE" for name in _names(cls, field))
    others = tuple(f"{PREFIX}{other}_".upper() for other in COMPONENTS if other != cls.component)
    return [name for name in environ if _is_ours(name) and name not in known and not name.startswith(others)]


def describe(cls: type[Settings]) -> list[tuple[str, str, str]]:
    """Each setting as (name, default, meaning), for `--settings` and the documentation; common ones end in a star."""
    rows = []
    for field, info in cls.model_fields.items():
        default = "required" if info.is_required() else str(info.default)
        mark = "*" if field in COMMON else ""
        rows.append((_names(cls, field)[0] + mark, default, info.description or ""))
    return rows


def environment() -> Mapping[str, str]:
    """The environment of this process: the only place that reads it."""
    return os.environ  # noqa: TID251 - the one reader of the environment
