"""What `make verify-cluster` does to a cluster, on one that is a file: what it tries, what it tells, what it leaves."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.running.environment import COMPONENTS
from tests.support.platform import ROOT

FAKE = Path(__file__).with_name("fake_cluster.py")


class Cluster:
    """A fake cluster, with kubectl and helm in a folder of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._state = directory / "state.json"
        self.begin_with()
        for program in ("kubectl", "helm"):
            file = directory / program
            file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{FAKE}" "{self._state}" {program} "$@"\n')
            file.chmod(0o755)

    def begin_with(self, **state: Any) -> None:
        """Say what there is, and what is to go wrong."""
        everything = {"calls": [], "faults": [], "namespaces": ["default"], "objects": {}, **state}
        self._state.write_text(json.dumps(everything))

    def verify(self, *, helm_args: str = "", namespace: str = "", path: str | None = None) -> tuple[int, str]:
        """Run the command; its exit status and all it printed."""
        search = path or f"{self._directory}:/usr/bin:/bin"
        done = subprocess.run(
            [sys.executable, "-m", "deploy.verify.cluster"],
            cwd=ROOT,
            env={"PATH": search, "HELM_ARGS": helm_args, "NAMESPACE": namespace, "HOME": os.devnull},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def left(self) -> dict[str, Any]:
        """What is there now."""
        state: dict[str, Any] = json.loads(self._state.read_text())
        return {name: state[name] for name in ("namespaces", "objects")}

    def calls(self, *words: str) -> list[list[str]]:
        """The calls that had these words, in their order."""
        calls: Sequence[list[str]] = json.loads(self._state.read_text())["calls"]
        return [call for call in calls if set(words) <= set(call)]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """A cluster that is well, with nothing in it."""
    return Cluster(tmp_path)


def test_every_component_is_scaled_and_restarted_under_load(cluster: Cluster) -> None:
    """A cluster on which all goes well: a row for each thing that ran, and nothing is left behind."""
    status, output = cluster.verify(helm_args="--set image.repository='my registry/dragoman'")
    assert status == 0, output
    [install] = cluster.calls("helm", "install")
    assert install[-5:-2] == ["image.repository=my registry/dragoman", "--wait", "--wait-for-jobs"]
    for component in COMPONENTS:
        scaled = [call[-1] for call in cluster.calls("scale", f"deployment/dragoman-{component}")]
        assert scaled == ["--replicas=3", "--replicas=1"]
        assert len(cluster.calls("restart", f"deployment/dragoman-{component}")) == 1
        assert len(cluster.calls("exec", f"verify-load-{component}")) == 1
        assert f"ran       {component}: 1 → 3 → 1 replicas" in output
    assert "28 of 28 answers are as documented" in output
    assert cluster.left == {"namespaces": ["default"], "objects": {}}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("load", 'clients noticed: {"requests": 100, "errors": {"503": 2}'),
        ("seeds", "27 of 28 answers are as documented"),
        ("install", "timed out waiting for the condition"),
    ],
)
def test_what_fails_is_told_and_everything_removed(cluster: Cluster, fault: str, told: str) -> None:
    """Clients that notice, wrong answers and pods that do not come up fail the run, which cleans up all the same."""
    cluster.begin_with(faults=[fault])
    status, output = cluster.verify()
    assert status == 1
    assert told in output
    assert "what was going on" in output
    assert cluster.left == {"namespaces": ["default"], "objects": {}}
    assert bool(cluster.calls("scale")) == (fault != "install")


def test_a_namespace_in_use_is_left_alone(cluster: Cluster) -> None:
    """Somebody else's things are named, and nothing is installed beside them."""
    theirs = {"Secret/theirs": {"kind": "Secret", "metadata": {"name": "theirs", "labels": {}}}}
    cluster.begin_with(namespaces=["default", "theirs"], objects=theirs)
    status, output = cluster.verify(namespace="theirs")
    assert status == 1
    assert "the namespace theirs is not empty: Secret theirs" in output
    assert "what was going on" not in output
    assert cluster.calls("helm", "install") == cluster.calls("helm", "uninstall") == cluster.calls("delete") == []
    assert cluster.left == {"namespaces": ["default", "theirs"], "objects": theirs}


def test_an_empty_namespace_that_was_given_is_kept(cluster: Cluster) -> None:
    """What was there before is there afterwards."""
    cluster.begin_with(namespaces=["default", "mine"])
    status, output = cluster.verify(namespace="mine")
    assert status == 0, output
    assert cluster.left == {"namespaces": ["default", "mine"], "objects": {}}


def test_a_missing_program_is_named(cluster: Cluster, tmp_path: Path) -> None:
    """Without kubectl there is one sentence instead of a traceback."""
    status, output = cluster.verify(path=str(tmp_path / "nowhere"))
    assert status == 1
    assert "kubectl is not installed" in output
    assert "Traceback" not in output
