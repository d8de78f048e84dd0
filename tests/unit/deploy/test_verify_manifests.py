"""What a chart renders, read as a cluster would read it."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from cli.components import COMPONENTS
from deploy.verify.chart import check_settings, is_of_kubernetes
from deploy.verify.manifests import (
    component_containers,
    component_environment,
    read_manifests,
    write_manifests,
)
from deploy.verify.table import VerifyError

CONTAINER: dict[str, Any] = {
    "name": "password",
    "args": ["password"],
    "env": [
        {"name": "DRAGOMAN_PASSWORD_ADMIN_PORT", "value": "9000"},
        {"name": "DRAGOMAN_PASSWORD_POSTGRES_URL_FILE", "value": "/etc/dragoman/postgres-url"},
        {"name": "DRAGOMAN_PASSWORD_RABBITMQ_URL_FILE", "value": "/etc/dragoman/rabbitmq-url"},
    ],
    "volumeMounts": [{"name": "secrets", "mountPath": "/etc/dragoman"}],
}
POD: dict[str, Any] = {
    "containers": [CONTAINER],
    "volumes": [{"name": "secrets", "secret": {"secretName": "dragoman-password"}}],
}


def deployment(pod: dict[str, Any]) -> dict[str, Any]:
    """A Deployment of a pod."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x"},
        "spec": {"template": {"spec": pod}},
    }


def test_a_container_is_told_its_settings_and_its_secrets(tmp_path: Path) -> None:
    """Values as they stand; where a Secret is mounted, a file that has what such a Secret has."""
    ((component, pod, container),) = component_containers([deployment(POD), {"kind": "Service"}])
    assert component == "password"
    told = component_environment(component, pod, container, tmp_path)
    assert told["DRAGOMAN_PASSWORD_ADMIN_PORT"] == "9000"
    file = Path(told["DRAGOMAN_PASSWORD_RABBITMQ_URL_FILE"])
    assert file.is_relative_to(tmp_path)
    assert file.read_text().startswith("amqp://password:")


def test_a_key_may_be_mounted_under_another_name(tmp_path: Path) -> None:
    """What a volume's items say holds."""
    pod = deepcopy(POD)
    pod["volumes"][0]["secret"]["items"] = [
        {"key": "postgres-url", "path": "db"},
        {"key": "rabbitmq-url", "path": "mq"},
    ]
    container = deepcopy(CONTAINER)
    container["env"][1]["value"], container["env"][2]["value"] = "/etc/dragoman/db", "/etc/dragoman/mq"
    told = component_environment("password", pod, container, tmp_path)
    assert Path(told["DRAGOMAN_PASSWORD_POSTGRES_URL_FILE"]).read_text().startswith("postgresql://dragoman_password:")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/etc/dragoman/no-such-key", "its Secret has no such key"),
        ("/etc/elsewhere/postgres-url", "no Secret is mounted there"),
    ],
)
def test_a_file_that_no_secret_has(place: str, reason: str, tmp_path: Path) -> None:
    """A path that would not be there in the cluster is told before."""
    container = deepcopy(CONTAINER)
    container["env"][1]["value"] = place
    with pytest.raises(VerifyError, match=reason):
        component_environment("password", POD, container, tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        {"env": [{"name": "DRAGOMAN_ISSUER", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}]},
        {"envFrom": [{"configMapRef": {"name": "x"}}]},
        {"volumeMounts": [{"name": "another", "mountPath": "/etc/dragoman"}]},
    ],
)
def test_what_cannot_be_checked_is_not_passed_over(more: dict[str, Any], tmp_path: Path) -> None:
    """Settings from elsewhere, or a mount of nothing, are an error rather than left out."""
    with pytest.raises(VerifyError):
        component_environment("password", POD, {**CONTAINER, **more}, tmp_path)


def test_manifests_are_written_as_they_were_read() -> None:
    """What the schemas are asked about is what was rendered."""
    text = "---\nkind: A\nmetadata: {name: x}\n---\n---\nkind: B\nspec: {on: 'yes', port: \"80\"}\n"
    manifests = read_manifests(text)
    assert [manifest["kind"] for manifest in manifests] == ["A", "B"]
    assert read_manifests(write_manifests(manifests)) == manifests
    with pytest.raises(VerifyError):
        read_manifests("a: b: c")


@pytest.mark.parametrize(
    ("version", "own"),
    [
        ("v1", True),
        ("apps/v1", True),
        ("autoscaling/v2", True),
        ("networking.k8s.io/v1", True),
        ("gateway.networking.k8s.io/v1", False),
        ("monitoring.coreos.com/v1", False),
        ("keda.sh/v1alpha1", False),
    ],
)
def test_whose_kind_it_is(version: str, own: bool) -> None:
    """Kubernetes' own kinds are checked; those of operators beside it are listed."""
    assert is_of_kubernetes({"apiVersion": version, "kind": "Any"}) is own


def chart(**wrong: str) -> list[dict[str, Any]]:
    """A Deployment for each component with all that it needs, and the password service told `wrong` besides."""
    files = {
        "gateway": ["redis-url"],
        "token": ["postgres-url", "redis-url", "wrapping-key", "refresh-key"],
        "identity": ["postgres-url", "redis-url", "secret-key"],
        "otp": ["postgres-url", "redis-url", "code-key"],
        "password": ["postgres-url"],
    }
    manifests = []
    for component in COMPONENTS:
        told = {
            f"DRAGOMAN_{component}_{key}_FILE".upper().replace("-", "_"): f"/etc/dragoman/{key}"
            for key in ["rabbitmq-url", *files[component]]
        }
        told |= {"DRAGOMAN_ISSUER": "https://id.example.com"} | (wrong if component == "password" else {})
        env = [{"name": name, "value": value} for name, value in told.items()]
        manifests.append(deployment({**POD, "containers": [{**CONTAINER, "args": [component], "env": env}]}))
    return manifests


def test_settings_that_are_right() -> None:
    """Every component says that it could start."""
    assert check_settings(chart()) == f"right for {', '.join(COMPONENTS)}"


def test_settings_that_are_wrong() -> None:
    """A misspelt setting is told by its name."""
    with pytest.raises(VerifyError, match="DRAGOMAN_PASSWORD_MEMORY is not a setting"):
        check_settings(chart(DRAGOMAN_PASSWORD_MEMORY="1"))


def test_a_component_that_is_missing() -> None:
    """A chart that forgets one has not been checked."""
    with pytest.raises(VerifyError, match="the chart runs gateway, token, identity, otp, out of"):
        check_settings(chart()[:-1])
