"""Reads what a chart renders: which component is told what, and the files of its secrets."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cli.components import COMPONENTS
from deploy.verify.table import VerifyError

Manifest = Mapping[str, Any]

_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
_RABBITMQ_URL = "amqp://{component}:for-checks-only@rabbitmq.example.com:5672/"
SECRETS = {
    "rabbitmq-url": _RABBITMQ_URL,
    "postgres-url": "postgresql://dragoman_{component}:for-checks-only@postgresql.example.com/dragoman",
    "redis-url": "redis://:for-checks-only@redis.example.com:6379/0",
    "wrapping-key": _KEY,
    "refresh-key": _KEY,
    "secret-key": _KEY,
    "code-key": _KEY,
    "smtp-password": "for-checks-only",
    "sms-password": "for-checks-only",
}
"""What the Secrets of a real deployment would have, by key; for checking settings, and good for nothing else."""


def read_manifests(rendered: str) -> list[Manifest]:
    """The documents that `helm template` prints. VerifyError for what is no YAML."""
    try:
        return [document for document in yaml.safe_load_all(rendered) if document]
    except yaml.YAMLError as error:
        raise VerifyError(f"what the chart renders is not YAML: {error}") from None


def write_manifests(manifests: Iterable[Manifest]) -> str:
    """The same as one text again."""
    text: str = yaml.safe_dump_all(manifests, sort_keys=False)
    return text


def names(manifests: Iterable[Manifest]) -> list[str]:
    """What each is, as kubectl says it."""
    return [f"{manifest['kind']}/{manifest['metadata']['name']}" for manifest in manifests]


def component_containers(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """The component that each Deployment runs, with its pod's specification and its container."""
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            for container in pod["containers"]:
                words = [*container.get("command", []), *container.get("args", [])]
                if words and words[-1] in COMPONENTS:
                    yield words[-1], pod, container


def component_environment(component: str, pod: Manifest, container: Manifest, directory: Path) -> dict[str, str]:
    """What the container would be told in a cluster.

    Files of Secrets that it mounts are written below `directory`, and what names them names them there. VerifyError for
    a variable that comes from anywhere else, or that names a file which no Secret has.
    """
    mounts = dict(_secret_mounts(pod, container))
    told = {}
    for variable in container.get("env", []):
        name = variable["name"]
        if "value" not in variable:
            raise VerifyError(f"{component}: {name} has no value that could be checked: {variable}")
        told[name] = str(variable["value"])
        if name.endswith("_FILE"):
            told[name] = str(_write_secret(component, name, Path(told[name]), mounts, directory))
    if "envFrom" in container:
        raise VerifyError(f"{component}: its environment is not written out: {container['envFrom']}")
    return told


def _secret_mounts(pod: Manifest, container: Manifest) -> Iterator[tuple[Path, Manifest]]:
    """Where the container finds files of Secrets, and the volume that has them."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        volume = volumes.get(mount["name"])
        if volume is None:
            raise VerifyError(f"there is no volume {mount['name']}")
        if "secret" in volume:
            yield Path(mount["mountPath"]), volume["secret"]


def _write_secret(component: str, name: str, path: Path, mounts: Mapping[Path, Manifest], directory: Path) -> Path:
    volume = mounts.get(path.parent)
    if volume is None:
        raise VerifyError(f"{component}: {name} is {path}, and no Secret is mounted there")
    items = {item["path"]: item["key"] for item in volume.get("items", [])} or {key: key for key in SECRETS}
    key = items.get(path.name)
    if key not in SECRETS:
        raise VerifyError(f"{component}: {name} is {path}, and its Secret has no such key")
    file = directory / component / path.name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SECRETS[key].format(component=component))
    return file
