"""What `make run` tells the components: settings, and secrets that are made once and kept in files."""

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from deploy.servers import ServerError
from deploy.servers.places import free_port, is_free, kept, write_private

SERVICES = ("token", "identity", "otp", "password")
COMPONENTS = (*SERVICES, "gateway")
BROKER_USERS = (*COMPONENTS, "operator")
GATEWAY, INBOX = "DRAGOMAN_PORT", "DRAGOMAN_INBOX_PORT"
SECRET_FILES = {
    "DRAGOMAN_TOKEN_WRAPPING_KEY_FILE": "token-wrapping-key",
    "DRAGOMAN_TOKEN_REFRESH_KEY_FILE": "token-refresh-key",
    "DRAGOMAN_IDENTITY_SECRET_KEY_FILE": "identity-secret-key",
    "DRAGOMAN_OTP_CODE_KEY_FILE": "otp-code-key",
}


@dataclass(frozen=True)
class Ports:
    """The TCP ports of one run; those that people type are settings, the others are whatever is free."""

    gateway: int
    inbox: int
    smtp: int = field(default_factory=free_port)
    admin: Mapping[str, int] = field(default_factory=lambda: {component: free_port() for component in COMPONENTS})

    @classmethod
    def choose(cls, environment: Mapping[str, str]) -> "Ports":
        """The ports to use; raises ServerError, naming the variable to set, when a wanted one is taken."""
        gateway = _wanted(environment, GATEWAY, 8080)
        inbox = _wanted(environment, INBOX, 8025)
        if gateway == inbox:
            raise ServerError(f"{GATEWAY} and {INBOX} are both {gateway}: change one of them")
        return cls(gateway, inbox)


class Secrets:
    """Generated secrets, made the first time they are asked for; each in a file that only its owner may read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def file(self, name: str) -> Path:
        """The file that has the secret: 32 random bytes as base64url."""
        kept(self._directory / name, lambda: secrets.token_urlsafe(32))
        return self._directory / name

    def text(self, name: str) -> str:
        """The secret itself."""
        return self.file(name).read_text()

    def broker_passwords(self) -> dict[str, str]:
        """The password of each component's user on our own broker, by component."""
        return {user: self.text(f"rabbitmq-{user}") for user in BROKER_USERS}


def component_environment(
    own: Mapping[str, str],
    *,
    ports: Ports,
    passwords: Secrets,
    postgres_url: str,
    redis_url: str,
    rabbitmq_urls: Mapping[str, str],
) -> dict[str, str]:
    """All settings of all components, for each of them the same.

    Args:
        own: the caller's environment; what it says about Dragoman wins.
        ports: of this run.
        passwords: where the secrets are kept.
        postgres_url: the superuser's URL to the platform's database.
        redis_url: Redis.
        rabbitmq_urls: the broker by setting.
    """
    sms = f"http://127.0.0.1:{ports.inbox}/sms/Messages.json"
    made = {
        "DRAGOMAN_ISSUER": f"http://127.0.0.1:{ports.gateway}",
        "DRAGOMAN_GATEWAY_PORT": str(ports.gateway),
        "DRAGOMAN_GATEWAY_DIRECTUS_COOKIE_SECURE": "false",  # it is plain HTTP
        "DRAGOMAN_POSTGRES_URL": postgres_url,
        "DRAGOMAN_REDIS_URL": redis_url,
        "DRAGOMAN_OTP_REDIS_URL": redis_url,
        "DRAGOMAN_OTP_SMTP_HOST": "127.0.0.1",
        "DRAGOMAN_OTP_SMTP_PORT": str(ports.smtp),
        "DRAGOMAN_OTP_SMTP_TLS": "none",
        "DRAGOMAN_IDENTITY_OTP_ENABLED": "true",
        "DRAGOMAN_IDENTITY_ALLOW_NEW_USERS": "true",
        "DRAGOMAN_OTP_MAIL_FROM": "no-reply@example.com",
        "DRAGOMAN_OTP_SMS_URL": sms,
        "DRAGOMAN_OTP_SMS_FROM": "+4915112345678",
        "DRAGOMAN_OTP_SMS_USERNAME": "demo",
        "DRAGOMAN_OTP_SMS_PASSWORD": "demo",
        **rabbitmq_urls,
    }
    for component, port in ports.admin.items():
        made[f"DRAGOMAN_{component.upper()}_ADMIN_PORT"] = str(port)
    for service in SERVICES:
        password = passwords.text(f"postgres-{service}")
        made[f"DRAGOMAN_{service.upper()}_POSTGRES_URL"] = with_user(postgres_url, f"dragoman_{service}", password)
    for variable, name in SECRET_FILES.items():
        if variable.removesuffix("_FILE") not in own:
            made[variable] = str(passwords.file(name))
    return made | {
        name: value for name, value in own.items() if name.startswith("DRAGOMAN_") and name not in (GATEWAY, INBOX)
    }


def rabbitmq_urls(url: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """The broker's settings: one user for each component when there are passwords, else the URL as it was given."""
    if not passwords:
        return {"DRAGOMAN_RABBITMQ_URL": url}
    return {f"DRAGOMAN_{user.upper()}_RABBITMQ_URL": with_user(url, user, word) for user, word in passwords.items()}


def with_user(url: str, user: str, password: str) -> str:
    """The same URL for another user."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{address}"))


def write_environment(path: Path, values: Mapping[str, str]) -> None:
    """Writes a file of `export` lines that a shell reads with `. file`; only its owner may read it."""
    write_private(path, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items())))


def _wanted(environment: Mapping[str, str], variable: str, default: int) -> int:
    text = environment.get(variable) or str(default)
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise ServerError(f"{variable} is {text!r}, which is not a port number")
    if not is_free(int(text)):
        raise ServerError(f"port {text} is taken: choose another one with {variable}=…")
    return int(text)
