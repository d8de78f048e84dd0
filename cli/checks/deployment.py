"""What the environment tells of a deployment; also the check of the settings themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import click

from cli.checks.finding import Findings
from cli.components import COMPONENTS, component, secret
from shared.bus.permissions import SERVICES
from shared.settings import PREFIX, Settings, SettingsError


@dataclass
class Deployment:
    """As far as the environment tells: URLs by component, and the settings that are here and right."""

    settings: dict[str, Settings] = field(default_factory=dict)
    postgres: dict[str, str] = field(default_factory=dict)
    own_roles: frozenset[str] = frozenset()
    redis: dict[str, str] = field(default_factory=dict)
    broker_users: dict[str, str] = field(default_factory=dict)
    operator: str | None = None


def read_deployment(environ: Mapping[str, str], findings: Findings) -> Deployment:
    """Read what is there. Mistakes are told, also in the settings of each component that is set at all."""
    deployment = Deployment()
    own_roles = set()
    for name in COMPONENTS:
        if any(variable.startswith(f"{PREFIX}{name.upper()}_") for variable in environ):
            _read_settings(deployment, name, environ, findings)
        else:
            findings.skip(name, "none of its settings are here")
        if url := _url(environ, f"{name}_rabbitmq_url", findings):
            deployment.broker_users[name] = url
        url = _url(environ, f"{name}_redis_url", findings) or _url(environ, "redis_url", findings)
        if url and "redis_url" in component(name).settings.model_fields:
            deployment.redis[name] = url
        if name in SERVICES:
            own = _url(environ, f"{name}_postgres_url", findings)
            if url := own or _url(environ, "postgres_url", findings):
                deployment.postgres[name] = url
            if own:
                own_roles.add(name)
    deployment.own_roles = frozenset(own_roles)
    own_operator = _url(environ, "operator_rabbitmq_url", findings)
    deployment.operator = own_operator or _url(environ, "rabbitmq_url", findings)
    if own_operator:
        deployment.broker_users["operator"] = own_operator
    return deployment


def _read_settings(deployment: Deployment, name: str, environ: Mapping[str, str], findings: Findings) -> None:
    try:
        deployment.settings[name] = component(name).settings.load(environ)
    except SettingsError as error:
        for problem in error.problems:
            findings.problem(name, problem, f"dragoman {name} --settings lists what there is")
    else:
        findings.ok(name, "right")


def _url(environ: Mapping[str, str], name: str, findings: Findings) -> str | None:
    try:
        return secret(environ, f"{PREFIX}{name}".upper())
    except click.ClickException as error:
        told = [finding.found for finding in findings.every]
        if not any(error.message.partition(" ")[0] in text for text in told):
            findings.problem("files", error.message, "the file has to be readable for whoever runs this")
        return None
