"""kubectl and helm of a cluster that is a JSON file: `python fake_cluster.py STATE kubectl|helm ARGUMENTS…`.

Knows the calls that the verification makes, and fails on any other. The state's `calls` are all that were made, its
`faults` what is to go wrong: install, seeds, load.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMPONENTS = ("token", "identity", "otp", "password", "gateway")
CONTAINER = {
    "name": "token",
    "image": "dragoman:test",
    "imagePullPolicy": "Never",
    "securityContext": {"readOnlyRootFilesystem": True},
    "resources": {},
}
TEMPLATE = {"spec": {"automountServiceAccountToken": False, "enableServiceLinks": False, "containers": [CONTAINER]}}


class FakeCluster:
    """What there is, by kind and name."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.objects: dict[str, dict[str, Any]] = state["objects"]

    def put(self, kind: str, name: str, **fields: Any) -> None:
        """Make an object, or change it."""
        document = {"kind": kind, "metadata": {"name": name, "labels": fields.pop("labels", {})}, **fields}
        self.objects[f"{kind}/{name}"] = document

    def have_pods(self, component: str, number: int) -> None:
        """Have so many pods of a component."""
        for key in [key for key in self.objects if key.startswith(f"Pod/dragoman-{component}-")]:
            del self.objects[key]
        for index in range(number):
            self.put("Pod", f"dragoman-{component}-{index}", labels={"app.kubernetes.io/component": component})

    def helm(self, arguments: list[str]) -> str:
        """One call of helm."""
        match arguments:
            case ["version", *_]:
                return "v0"
            case ["install", "dragoman", _, "--values", _, *_]:
                if "install" in self.state["faults"]:
                    raise SystemExit("timed out waiting for the condition")
                for component in COMPONENTS:
                    self.put("Deployment", f"dragoman-{component}", spec={"template": TEMPLATE})
                    self.have_pods(component, 1)
            case ["test", "dragoman", *_]:
                assert self.objects
            case ["uninstall", "dragoman", *_]:
                self.objects.clear()
            case _:
                raise SystemExit(f"helm knows nothing of {arguments}")
        return ""

    def kubectl(self, arguments: list[str]) -> str:
        """One call of kubectl."""
        match arguments:
            case ["config", "current-context"]:
                return "a-fake"
            case ["get", *what]:
                return self._get(what)
            case ["logs", "--selector", *_]:
                return "what was going on"
            case ["logs", name]:
                return str(self.objects[f"Pod/{name}"]["log"])
            case [verb, "namespace", name, *_]:
                self._change_namespace(verb, name)
            case _:
                self._change(arguments)
        return ""

    def _get(self, arguments: list[str]) -> str:  # noqa: PLR0911 - one for each thing
        match arguments:
            case ["namespaces", *_]:
                return "".join(f"namespace/{name}\n" for name in self.state["namespaces"])
            case ["namespace", name, *_]:
                return f"namespace/{name}" if name in self.state["namespaces"] else ""
            case ["pods", "--output", "wide"] | ["events", *_]:
                return "what was going on"
            case ["pods", "--selector", labels, *_]:
                wanted = labels.rpartition("component=")[2]
                return self._list(
                    lambda thing: thing["metadata"]["labels"].get("app.kubernetes.io/component") == wanted
                )
            case ["deployment", name, *_]:
                return json.dumps(self.objects[f"Deployment/{name}"])
            case ["pod", name, *_]:
                return str(self.objects[f"Pod/{name}"]["phase"])
            case [_, "--output", "json"]:
                return self._list(lambda _thing: True)
        raise SystemExit(f"kubectl can't get {arguments}")

    def _change_namespace(self, verb: str, name: str) -> None:
        if verb == "create":
            self.state["namespaces"].append(name)
        elif verb == "delete":
            self.state["namespaces"].remove(name)
            self.objects.clear()
        else:
            assert verb == "label"
            assert name in self.state["namespaces"]

    def _change(self, arguments: list[str]) -> None:
        match arguments:
            case ["apply", "--filename", "-"]:
                self._start(json.load(sys.stdin))
            case ["exec", name, "--", "sh", "-c", "kill -TERM 1"]:
                self._stop(name)
            case ["exec", "deployment/dragoman-operator", "--", "python", "-m", "deploy.demo"]:
                pass
            case ["scale", deployment, replicas]:
                component = deployment.removeprefix("deployment/dragoman-")
                self.have_pods(component, int(replicas.removeprefix("--replicas=")))
            case ["rollout", "restart" | "status", deployment, *_]:
                assert deployment.removeprefix("deployment/dragoman-") in COMPONENTS
            case ["delete", "pods", "--selector", "app.kubernetes.io/component in (test,verify)", *_]:
                for key in [key for key in self.objects if key.startswith("Pod/verify-")]:
                    del self.objects[key]
            case _:
                raise SystemExit(f"kubectl knows nothing of {arguments}")

    def _list(self, wanted: Callable[[dict[str, Any]], bool]) -> str:
        own = {"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "labels": {}}}
        return json.dumps({"items": [thing for thing in [own, *self.objects.values()] if wanted(thing)]})

    def _start(self, pod: dict[str, Any]) -> None:
        [container] = pod["spec"]["containers"]
        assert container["image"] == CONTAINER["image"]
        name = pod["metadata"]["name"]
        if "deploy.seeds" in container["command"]:
            failed = "seeds" in self.state["faults"]
            log = "27 of 28 answers are as documented" if failed else "28 of 28 answers are as documented"
            self.put("Pod", name, phase="Failed" if failed else "Succeeded", log=log)
        else:
            assert "deploy.verify.load" in container["command"]
            self.put("Pod", name, phase="Running", log="under load\n")

    def _stop(self, name: str) -> None:
        failed = "load" in self.state["faults"] and name == "verify-load-otp"
        report = {"requests": 100, "errors": {"503": 2} if failed else {}, "wrong": [], "slowest": 0.25}
        log = f"under load\n{json.dumps(report)}\n"
        self.put("Pod", name, phase="Failed" if failed else "Succeeded", log=log)


def main() -> None:
    """Make one call."""
    path, program, *arguments = sys.argv[1:]
    state = json.loads(Path(path).read_text())
    state["calls"].append([program, *arguments])
    if arguments[0] == "--namespace":
        assert arguments[1] in state["namespaces"], arguments
        arguments = arguments[2:]
    if program == "helm" and "--timeout" in arguments:
        arguments = arguments[: arguments.index("--timeout")]
    cluster = FakeCluster(state)
    try:
        sys.stdout.write(cluster.helm(arguments) if program == "helm" else cluster.kubectl(arguments))
    finally:
        Path(path).write_text(json.dumps(state))


if __name__ == "__main__":
    main()
