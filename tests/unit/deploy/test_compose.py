"""What deploy/compose.yaml tells its containers, and the secrets that are laid out for them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.components import COMPONENTS, component, postgres_urls
from deploy.compose.secrets import lay_out

COMPOSE = yaml.safe_load((Path(__file__).parents[3] / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = (*COMPONENTS, "secrets", "broker", "migrate", "demo", "operator", "inbox")


def contents(directory: Path) -> dict[str, str]:
    """All files below a directory with what is in them."""
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def environment(service: str, directory: Path) -> dict[str, str]:
    """What the service's container is told, with its secrets in `directory`."""
    given = dict(SERVICES[service]["environment"])
    if "DRAGOMAN_ISSUER" in given:
        given["DRAGOMAN_ISSUER"] = "http://127.0.0.1:8080"
    return {name: value.replace("/run/dragoman/", f"{directory / service}/") for name, value in given.items()}


@pytest.mark.parametrize("name", COMPONENTS)
def test_each_component_can_start_with_what_it_is_told(name: str, tmp_path: Path) -> None:
    """The settings of every component are right, with the secrets that are laid out for it."""
    lay_out(tmp_path, None)
    settings = component(name).settings.load(environment(name, tmp_path))
    assert settings.admin_port == 9000
    assert settings.rabbitmq_url.get_secret_value().startswith(f"amqp://{name}:")


def test_nobody_is_given_more_than_its_own(tmp_path: Path) -> None:
    """Each container mounts the secrets laid out under its own name, and a component's folder has no spare file."""
    lay_out(tmp_path, None)
    for name, service in SERVICES.items():
        mounted = [volume.split(":")[0] for volume in service.get("volumes", []) if "secrets" in volume]
        owner = {"demo": "operator", "broker": "rabbitmq"}.get(name, name)
        assert name == "secrets" or mounted in ([], [f"{owner}-secrets"])
    for name in (*COMPONENTS, "migrate"):
        told = {Path(value).name for key, value in SERVICES[name]["environment"].items() if key.endswith("_FILE")}
        assert {path.name for path in (tmp_path / name).iterdir()} == told


def test_every_folder_of_secrets_is_a_volume(tmp_path: Path) -> None:
    """What is laid out reaches a container: no folder stays inside the container that made it."""
    lay_out(tmp_path, None)
    mounts = dict(volume.split(":/secrets/") for volume in SERVICES["secrets"]["volumes"])
    assert set(mounts.values()) == {path.name for path in tmp_path.iterdir()}
    assert all(volume == f"{folder}-secrets" for volume, folder in mounts.items())


def test_a_later_start_finds_the_same_secrets(tmp_path: Path) -> None:
    """Users' sessions and TOTP secrets outlive a restart; only the salts of the broker's hashes differ."""
    lay_out(tmp_path, None)
    before = contents(tmp_path)
    lay_out(tmp_path, None)
    after = contents(tmp_path)
    assert before.pop("rabbitmq/definitions.json") != after.pop("rabbitmq/definitions.json")
    assert before == after


def test_only_their_owner_reads_the_components_secrets(tmp_path: Path) -> None:
    """What is secret is readable for one user; the servers' own files for whichever user their image has."""
    lay_out(tmp_path, None)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        shared = path.parent.name in {"postgresql", "redis", "rabbitmq"}
        assert path.stat().st_mode & 0o777 == (0o444 if shared else 0o600), path


def test_migrating_makes_the_roles_that_the_services_use(tmp_path: Path) -> None:
    """The migration is told each service's own URL, as the service has it."""
    lay_out(tmp_path, None)
    urls = postgres_urls(environment("migrate", tmp_path))
    assert urls.owner is not None
    for service, url in urls.services.items():
        assert (tmp_path / service / "postgres-url").read_text() == url
    assert len(urls.services) == 4


def test_the_broker_knows_the_components_and_nobody_else(tmp_path: Path) -> None:
    """The broker's definitions name each component's user, with a hash instead of its password."""
    lay_out(tmp_path, None)
    definitions = (tmp_path / "rabbitmq" / "definitions.json").read_text()
    assert {user["name"] for user in json.loads(definitions)["users"]} == {*COMPONENTS, "operator"}
    for path in (tmp_path / "made").glob("rabbitmq-*"):
        assert path.read_text() not in definitions


def test_an_upgrade_brings_the_permissions_to_a_broker_that_runs(tmp_path: Path) -> None:
    """At each `up` the definitions are told to the broker, and no component starts before."""
    lay_out(tmp_path, None)
    assert (tmp_path / "rabbitmq" / Path(SERVICES["broker"]["command"][-1]).name).exists()
    assert SERVICES["broker"]["image"] == SERVICES["rabbitmq"]["image"]
    assert SERVICES["broker"]["depends_on"] == {"rabbitmq": {"condition": "service_healthy"}}
    assert SERVICES["rabbitmq"]["depends_on"] == {"secrets": {"condition": "service_completed_successfully"}}
    for name in COMPONENTS:
        assert SERVICES[name]["depends_on"]["broker"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_confined(name: str) -> None:
    """Nothing of ours can write to its image, has a capability that it does not need, or can gain one."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "secrets" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "tmpfs" not in service


def test_only_this_machine_reaches_the_platform() -> None:
    """Two ports are opened, on loopback: the gateway's and the inbox's. All other services can run several times."""
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {"gateway", "inbox"}
    assert all(port.startswith("127.0.0.1:") for each in ports.values() for port in each)
