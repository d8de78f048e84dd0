"""kubectl and helm, each call with a deadline and told as `VerifyError` when it fails."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from deploy.verify.table import VerifyError

T = TypeVar("T")

CALL_SECONDS = 60.0
_BEYOND_SECONDS = 30.0
"""How much longer a call may take than the time that kubectl or helm itself waits for."""
_PAUSE_SECONDS = 1.0


def run(*command: str, given: str | None = None, seconds: float = CALL_SECONDS) -> str:
    """What a command prints. Raises `VerifyError` when it fails, is not there, or takes longer than `seconds`."""
    shown = " ".join(command[:6])
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError:
        raise VerifyError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise VerifyError(f"{shown} took longer than {seconds:g} s") from None
    if done.returncode != 0:
        raise VerifyError(f"{shown} failed ({done.returncode}): {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Namespace:
    """One namespace of the cluster that kubectl points at."""

    name: str

    def kubectl(self, *arguments: str, given: str | None = None, seconds: float = CALL_SECONDS) -> str:
        """What kubectl prints about this namespace."""
        return run("kubectl", "--namespace", self.name, *arguments, given=given, seconds=seconds)

    def helm(self, *arguments: str, seconds: float = CALL_SECONDS) -> str:
        """What helm prints about this namespace, having waited for `seconds` at most."""
        limit = ("--timeout", f"{seconds:.0f}s")
        return run("helm", "--namespace", self.name, *arguments, *limit, seconds=seconds + _BEYOND_SECONDS)

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        """The objects that `kubectl get` finds; the one, where it is asked for by its name."""
        found = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        objects: list[dict[str, Any]] = found.get("items", [found])
        return objects

    def apply(self, document: Mapping[str, Any]) -> None:
        """Create or change one object."""
        self.kubectl("apply", "--filename", "-", given=json.dumps(document))

    def rolled_out(self, deployment: str, seconds: float) -> None:
        """Wait until a Deployment has the pods that it should have, of its newest version."""
        limit = f"--timeout={seconds:.0f}s"
        self.kubectl("rollout", "status", f"deployment/{deployment}", limit, seconds=seconds + _BEYOND_SECONDS)

    def phase(self, pod: str) -> str:
        """Pending, Running, Succeeded or Failed."""
        return self.kubectl("get", "pod", pod, "--output", "jsonpath={.status.phase}").strip()

    def ended(self, pod: str, seconds: float) -> str:
        """Wait until a pod has ended; its log. Raises `VerifyError` with the end of it when the pod has failed."""
        phase = wait_for(
            lambda: phase if (phase := self.phase(pod)) in {"Succeeded", "Failed"} else None,
            seconds,
            f"the pod {pod} ends",
        )
        log = self.kubectl("logs", pod)
        if phase == "Failed":
            raise VerifyError(f"the pod {pod} has failed:\n{log[-2000:]}")
        return log


def wait_for(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """The first result of `look` that is not None; `VerifyError` that names `what` when there is none in time."""
    end = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > end:
            raise VerifyError(f"not within {seconds:g} s: {what}")
        time.sleep(_PAUSE_SECONDS)
    return found


def python_pod(name: str, template: Mapping[str, Any], module: Sequence[str]) -> dict[str, Any]:
    """A pod that runs a module of the platform's own image, once, as confined as a component is.

    Args:
        name: the pod's.
        template: the pod's template of a component, which names the image and what it may do.
        module: the module and its arguments.
    """
    spec = template["spec"]
    of_component = spec["containers"][0]
    container = {key: of_component[key] for key in ("image", "imagePullPolicy", "securityContext", "resources")}
    kept = ("securityContext", "imagePullSecrets", "automountServiceAccountToken", "enableServiceLinks")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/component": "verify"}},
        "spec": {
            **{key: spec[key] for key in kept if key in spec},
            "restartPolicy": "Never",
            "containers": [{"name": "verify", **container, "command": ["python", "-m", *module]}],
        },
    }
