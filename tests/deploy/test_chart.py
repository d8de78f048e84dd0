"""The chart says what the code says. What needs helm itself is part of `make verify-deploy`."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from pydantic import SecretStr

from cli import components
from deploy import helm_settings
from deploy.helm_readme import CHART, leaves, page, values
from shared.bus import topology
from shared.bus.permissions import COMPONENTS as BROKER_USERS
from shared.bus.permissions import SERVICES
from shared.settings import COMMON, Settings

FACTS: dict[str, dict[str, Any]] = yaml.safe_load((CHART / "files" / "components.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
EXAMPLES = sorted(CHART.glob("values-*.yaml"))
SECRETS = {
    "RABBITMQ_URL": "amqp://user:password@rabbitmq.example.com:5672/",
    "POSTGRES_URL": "postgresql://user:password@postgresql.example.com:5432/dragoman",
    "REDIS_URL": "redis://redis.example.com:6379/0",
}
KEY = "A" * 43


def _settings(name: str) -> type[Settings]:
    return components.component(name).settings


def _secrets(name: str) -> Iterator[str]:
    for field, info in _settings(name).model_fields.items():
        if info.annotation is SecretStr:
            yield field.upper()


def _read(path: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CHART / path).read_text())
    return document


def test_the_readme_has_the_values_as_they_are() -> None:
    """Every value is in the chart's README with its default and meaning; `make docs` writes it."""
    readme = (CHART / "README.md").read_text()
    assert readme == page(readme, (CHART / "values.yaml").read_text())


def test_every_value_says_what_it_is_for() -> None:
    """Whoever reads values.yaml finds a comment at each value, or at what it is a part of."""
    text = (CHART / "values.yaml").read_text()
    explained = {value.path for value in values(text)}
    silent = []
    for leaf in leaves(yaml.safe_load(text)):
        beginnings = [leaf[:length] for length in range(1, len(leaf) + 1)]
        closest = next((path for path in reversed(beginnings) if path in explained), None)
        # A comment about a whole section speaks for a part only where no other part has one of its own.
        others = [path for path in explained if closest is not None and path[: len(closest)] == closest != path]
        if closest is None or (closest != leaf and others):
            silent.append(".".join(leaf))
    assert silent == []


@pytest.mark.parametrize("name", components.COMPONENTS)
def test_the_chart_mounts_every_secret_of_a_component(name: str) -> None:
    """No setting that is a secret can be given but as a file, and none that is required is missing."""
    assert FACTS.keys() == set(components.COMPONENTS)
    required, optional = FACTS[name]["secrets"], FACTS[name]["optionalSecrets"]
    assert {*required, *optional} == set(_secrets(name))
    needed = {field.upper() for field, info in _settings(name).model_fields.items() if info.is_required()}
    assert needed - {"ISSUER"} <= required.keys()
    offered = SCHEMA["properties"][name].get("properties", {}).get("optionalSecrets", {"items": {"enum": []}})
    assert set(offered["items"]["enum"]) == optional.keys()


def test_the_chart_knows_every_setting() -> None:
    """A setting that a component has can be given as a value; `make docs` writes down which there are."""
    assert (CHART / "files" / "settings.yaml").read_text() == helm_settings.page()
    for name in components.COMPONENTS:
        fields = {field.upper() for field in _settings(name).model_fields}
        assert {*_read("files/settings.yaml")[name]} == fields - {*_secrets(name)}


@pytest.mark.parametrize("name", components.COMPONENTS)
def test_the_chart_knows_which_servers_a_component_needs(name: str) -> None:
    """A component may connect to the servers that it has an address of, and to no other."""
    fields = _settings(name).model_fields
    servers = {"rabbitmq": "rabbitmq_url", "postgresql": "postgres_url", "redis": "redis_url"}
    assert FACTS[name]["connectsTo"] == [server for server, field in servers.items() if field in fields]


@pytest.mark.parametrize("path", ["values.yaml", *(path.name for path in EXAMPLES)])
def test_the_values_fit_the_schema(path: str) -> None:
    """What helm would refuse is not in the defaults, nor in any example."""
    assert len(EXAMPLES) == 3
    jsonschema.Draft7Validator(SCHEMA).validate(_read(path))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("tokens", {}),
        ("token.setings", {}),
        ("token.replicas", "two"),
        ("token.settings.accessSeconds", 60),
        ("token.settings.WRAPPING_KEY_FILE", "/elsewhere"),
        ("settings.DRAGOMAN_ISSUER", "https://id.example.com"),
        ("settings.ISSUER", "id.example.com"),
        ("otp.optionalSecrets", ["CODE_KEY"]),
        ("gateway.optionalSecrets", []),
        ("token.ingress", {}),
        ("token.autoscaling.keda.queue", 1),
        ("networkPolicy.redis.port", 6379),
        ("image.digest", "latest"),
    ],
)
def test_a_mistake_in_the_values_is_refused(where: str, value: Any) -> None:
    """A misspelt name or a value of the wrong kind ends `helm install` before anything is changed."""
    document = copy.deepcopy(_read("values.yaml"))
    *outer, last = where.split(".")
    place = document
    for name in outer:
        place = place.setdefault(name, {})
    place[last] = value
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(document)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", components.COMPONENTS)
def test_the_settings_of_the_examples_are_right(name: str, example: Any) -> None:
    """Each component would start with what an example tells it and the secrets of its kind."""
    given = _read(example.name)
    section, required = given.get(name, {}), FACTS[name]["secrets"]
    environ = {f"DRAGOMAN_{setting}": _text(value) for setting, value in given["settings"].items()}
    secrets = {secret: SECRETS.get(secret, KEY) for secret in (*required, *section.get("optionalSecrets", []))}
    own = {**section.get("settings", {}), **secrets}
    environ |= {f"DRAGOMAN_{name.upper()}_{setting}": _text(value) for setting, value in own.items()}
    _settings(name).load(environ)


def test_settings_for_all_components_are_known_to_all() -> None:
    """Nothing that only one component knows stands among the settings of all."""
    for example in EXAMPLES:
        assert {setting.lower() for setting in _read(example.name)["settings"]} <= COMMON


def test_the_example_of_external_secrets_has_every_secret() -> None:
    """Whoever copies it has the Secrets of all parts and examples, and the keys that the two Jobs read."""
    documents = list(yaml.safe_load_all((CHART / "examples" / "external-secrets.yaml").read_text()))
    by_name = {document["metadata"]["name"]: document["spec"] for document in documents}
    parts = (*components.COMPONENTS, "operator", "migrate", "broker", "keda", "providers")
    assert by_name.keys() == {f"dragoman-{part}" for part in parts}
    keys = {name: {entry["secretKey"] for entry in spec.get("data", [])} for name, spec in by_name.items()}
    assert keys["dragoman-migrate"] == {"postgres-url", *(f"{service}-postgres-url" for service in SERVICES)}
    assert keys["dragoman-broker"] == {"management-url", *(f"{user}-rabbitmq-url" for user in BROKER_USERS)}


def test_the_example_of_external_secrets_trusts_public_authorities() -> None:
    """The URL of PostgreSQL that it shows names the authorities of the image; the driver looks for none by itself."""
    text = (CHART / "examples" / "external-secrets.yaml").read_text()
    [url] = re.findall(r"postgresql://\S+", text)
    query = parse_qs(urlsplit(url).query)
    assert query == {"sslmode": ["verify-full"], "sslrootcert": ["/etc/ssl/certs/ca-certificates.crt"]}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_takes_the_image_from_where_nodes_can_pull_it(example: Path) -> None:
    """A name without a registry would be looked for among the public ones; only on one's own machine is it loaded."""
    given = _read(example.name)
    is_loaded = given.get("development", {}).get("enabled", False)
    assert is_loaded or "/" in given.get("image", {}).get("repository", "")


def test_the_secrets_are_all_described() -> None:
    """The table of Secrets in the README names the keys of each component."""
    readme = (CHART / "README.md").read_text()
    for name, facts in FACTS.items():
        [row] = re.findall(rf"^\| {name} \| (.*)$", readme, re.MULTILINE)
        wanted = {*facts["secrets"].values(), *facts["optionalSecrets"].values()}
        assert wanted <= set(re.findall(r"`([a-z-]+)`", row)), name


def test_alerts_and_dashboards_come_along() -> None:
    """The chart has the alerts and the dashboards of the repository, under the names by which it reads them."""
    template = (CHART / "templates" / "monitoring.yaml").read_text()
    for path in ("files/alerts/dragoman.rules.yaml", "files/dashboards/*.json"):
        assert f'"{path}"' in template
        assert list(CHART.glob(path))


def test_scaling_looks_at_the_queues_that_there_are() -> None:
    """What KEDA asks the broker for are the names under which calls wait."""
    template = (CHART / "templates" / "_scaling.tpl").read_text()
    for queue in (topology.calls_queue("%s"), topology.groups_queue("%s")):
        assert f'(printf "{queue}" .name)' in template


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)
