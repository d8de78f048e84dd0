"""`make verify-cluster`: the chart on whatever cluster kubectl points at, in a namespace that is gone afterwards.

Installs development mode with its own servers, sends the seeds' requests from inside, scales each component from one
replica to three and back and restarts it while clients of every kind ask, uninstalls, and prints a table. It takes
about ten minutes, and exits with 1 when anything failed.

The images have to be there: loaded into the nodes, or named by HELM_ARGS
(`--set image.repository=…,development.images.inbox=…`). NAMESPACE names the namespace; one that exists has to be empty,
and is kept.
"""

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from secrets import token_hex
from typing import Any

from deploy.helm_readme import CHART
from deploy.running.environment import COMPONENTS
from deploy.verify.kubernetes import Namespace, python_pod, run, wait_for
from deploy.verify.table import Table, VerifyError
from shared.settings import environment

RELEASE = "dragoman"
GATEWAY, INBOX = f"http://{RELEASE}-gateway", f"http://{RELEASE}-inbox:8025"
SEVERAL = 3
_INSTALL_SECONDS, _ROLLOUT_SECONDS, _END_SECONDS, _BEGIN_SECONDS = 900.0, 300.0, 180.0, 120.0
_KINDS = "all,secrets,configmaps,persistentvolumeclaims,ingresses,networkpolicies"
_CLUSTERS_OWN = {
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
    ("Service", "kubernetes"),
}
"""What Kubernetes itself puts into a namespace."""


class Verification:
    """Everything that is done to the cluster, a row of the table for each."""

    def __init__(self, table: Table, namespace: Namespace, helm_arguments: Sequence[str]) -> None:
        self._table = table
        self._namespace = namespace
        self._helm_arguments = helm_arguments

    def run(self) -> None:
        """Do it all; whatever fails, what was made is removed."""
        with ExitStack() as stack:
            with self._table.step("the cluster answers") as row:
                row.detail = f"context {run('kubectl', 'config', 'current-context').strip()}"
                run("kubectl", "get", "namespaces", "--output", "name")
                run("helm", "version", "--short")
            if not self._table.failed:
                with self._table.step(f"the namespace {self._namespace.name}") as row:
                    row.detail = self._prepare_namespace(stack)
            if self._table.failed:
                return
            stack.callback(self._uninstall)
            self._install()
            if not self._table.failed:
                self._try()
            if self._table.failed:
                self._diagnose()

    def _prepare_namespace(self, stack: ExitStack) -> str:
        name = self._namespace.name
        if run("kubectl", "get", "namespace", name, "--ignore-not-found", "--output", "name").strip():
            if things := self._things():
                raise VerifyError(f"the namespace {name} is not empty: {', '.join(things)}")
            return "it was there, and empty"
        # Created rather than applied: should somebody have made it meanwhile, it is theirs.
        run("kubectl", "create", "namespace", name)
        stack.callback(self._delete_namespace)
        run("kubectl", "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        return "made; it lets in restricted pods only"

    def _install(self) -> None:
        values = ("--values", str(CHART / "values-dev.yaml"), *self._helm_arguments)
        with self._table.step("helm install: every pod is ready, the demo data loaded"):
            self._namespace.helm(
                "install", RELEASE, str(CHART), *values, "--wait", "--wait-for-jobs", seconds=_INSTALL_SECONDS
            )

    def _try(self) -> None:
        with self._table.step("helm test: keys are published"):
            self._namespace.helm("test", RELEASE, seconds=_END_SECONDS)
        with self._table.step("the requests of the seeds") as row:
            self._make_pod("verify-seeds", ["deploy.seeds", "--gateway", GATEWAY, "--inbox", INBOX])
            row.detail = self._namespace.ended("verify-seeds", _END_SECONDS).strip().splitlines()[-1]
        with self._table.step("the demo data is put back"):
            self._namespace.kubectl("exec", f"deployment/{RELEASE}-operator", "--", "python", "-m", "deploy.demo")
        for component in COMPONENTS:
            deployment = f"{RELEASE}-{component}"
            with self._table.step(f"{component}: 1 → {SEVERAL} → 1 replicas and a rolling restart under load") as row:
                with self._load(component) as report:
                    self._scale(component, SEVERAL)
                    self._scale(component, 1)
                    self._namespace.kubectl("rollout", "restart", f"deployment/{deployment}")
                    self._namespace.rolled_out(deployment, _ROLLOUT_SECONDS)
                    self._wait_for_pods(component, 1)
                if report["errors"] or report["wrong"] or not report["requests"]:
                    raise VerifyError(f"clients noticed: {json.dumps(report)}")
                row.detail = f"{report['requests']} requests, no error, the slowest {report['slowest']} s"

    def _scale(self, component: str, replicas: int) -> None:
        deployment = f"{RELEASE}-{component}"
        self._namespace.kubectl("scale", f"deployment/{deployment}", f"--replicas={replicas}")
        self._namespace.rolled_out(deployment, _ROLLOUT_SECONDS)
        self._wait_for_pods(component, replicas)

    def _wait_for_pods(self, component: str, number: int) -> None:
        """Wait until there are so many pods of a component, those that are ending included."""
        labels = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"

        def look() -> bool | None:
            return True if len(self._namespace.get("pods", "--selector", labels)) == number else None

        wait_for(look, _ROLLOUT_SECONDS, f"{component} has {number} pod(s)")

    @contextmanager
    def _load(self, component: str) -> Iterator[dict[str, Any]]:
        """Clients ask from inside the cluster, in a pod; what came of it is in the dictionary afterwards."""
        pod, report = f"verify-load-{component}", dict[str, Any]()
        self._make_pod(pod, ["deploy.verify.load", "--gateway", GATEWAY])

        def begun() -> bool | None:
            phase = self._namespace.phase(pod)
            if phase in {"Succeeded", "Failed"}:
                raise VerifyError(f"the load has ended: {self._namespace.kubectl('logs', pod)[-1000:]}")
            return True if phase == "Running" and "under load" in self._namespace.kubectl("logs", pod) else None

        wait_for(begun, _BEGIN_SECONDS, "every kind of request succeeds")
        yield report
        self._namespace.kubectl("exec", pod, "--", "sh", "-c", "kill -TERM 1")
        wait_for(lambda: True if self._namespace.phase(pod) != "Running" else None, _END_SECONDS, "the load ends")
        log = self._namespace.kubectl("logs", pod).strip().splitlines()
        try:
            report.update(json.loads(log[-1]))
        except (IndexError, ValueError):
            raise VerifyError(f"the load tells nothing: {log[-5:]}") from None

    def _make_pod(self, name: str, module: Sequence[str]) -> None:
        [gateway] = self._namespace.get("deployment", f"{RELEASE}-gateway")
        self._namespace.apply(python_pod(name, gateway["spec"]["template"], module))

    def _diagnose(self) -> None:
        """Show what somebody would look at first, before it is all removed."""
        for arguments in (
            ("get", "pods", "--output", "wide"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", "--selector", f"app.kubernetes.io/instance={RELEASE}", "--prefix", "--tail=5"),
        ):
            try:
                shown = self._namespace.kubectl(*arguments)
            except VerifyError as error:
                shown = str(error)
            sys.stderr.write("\n".join(shown.splitlines()[-40:]) + "\n")

    def _uninstall(self) -> None:
        with self._table.step("helm uninstall leaves nothing"):
            # Pods of our own, and the test's where it failed: helm does not know of them.
            ours = "app.kubernetes.io/component in (test,verify)"
            self._namespace.kubectl("delete", "pods", "--selector", ours, "--ignore-not-found", seconds=_END_SECONDS)
            self._namespace.helm("uninstall", RELEASE, "--ignore-not-found", "--wait", seconds=_END_SECONDS)
            wait_for(lambda: True if not self._things() else None, _END_SECONDS, "all that was installed is gone")

    def _delete_namespace(self) -> None:
        with self._table.step(f"the namespace {self._namespace.name} is deleted"):
            limit = f"--timeout={_END_SECONDS:.0f}s"
            run("kubectl", "delete", "namespace", self._namespace.name, limit, seconds=_END_SECONDS + 30)

    def _things(self) -> list[str]:
        """What is in the namespace beside what Kubernetes itself puts there."""
        every = [(thing["kind"], thing["metadata"]["name"]) for thing in self._namespace.get(_KINDS)]
        return [f"{kind} {name}" for kind, name in every if (kind, name) not in _CLUSTERS_OWN]


def main() -> int:
    """Verify and print; says by the exit status whether all was well."""
    environ = environment()
    parser = argparse.ArgumentParser(prog="python -m deploy.verify.cluster", description=__doc__)
    made_up = f"dragoman-verify-{token_hex(3)}"
    parser.add_argument("--namespace", default=environ.get("NAMESPACE") or made_up, help="where (default: a new one)")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    table = Table(lambda line: print(line, flush=True))
    try:
        namespace = Namespace(arguments.namespace)
        Verification(table, namespace, shlex.split(environ.get("HELM_ARGS", ""))).run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    finally:
        print("\n" + "\n".join(table.lines()), flush=True)
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
