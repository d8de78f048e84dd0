"""Tries the chart with each of its example values, as far as that goes without a cluster."""

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cli.components import COMPONENTS
from deploy.verify import tools
from deploy.verify.commands import ROOT, run
from deploy.verify.manifests import (
    Manifest,
    component_containers,
    component_environment,
    names,
    read_manifests,
    write_manifests,
)
from deploy.verify.rendered import faults
from deploy.verify.table import Table, VerifyError

CHART = ROOT / "deploy" / "helm" / "dragoman"
_RELEASE = "dragoman"
_SECONDS = 120.0
_MISTAKES = {
    "gateway.settings.PORT=8081": "PORT is 8080 in this chart",
    "token.settings.ADMIN_PORT=9001": "ADMIN_PORT is 9000 in this chart",
    "token.settings.NO_SUCH=1": "NO_SUCH is not a setting of token",
    "otp.settings.CODE_KEY=x": "CODE_KEY of otp is a secret",
    "gateway.ingress.enabled=true": "gateway.ingress.hosts must name at least one host",
    "gateway.httpRoute.enabled=true": "gateway.httpRoute.parentRefs must name a Gateway",
    r"defaults.podLabels.app\.kubernetes\.io/component=x": "by which the pods are found",
    "defaults.autoscaling.enabled=true,otp.autoscaling.maxReplicas=1": "fewest replicas are more than most",
    "settings.ISSUER=": "settings.ISSUER is required",
}
"""What `--set` could be told that fits the schema and would give a broken release, and the words that refuse it."""
_OWN_GROUPS = ("apps", "autoscaling", "batch", "policy")
"""Groups of Kubernetes itself whose names do not end in its domain."""


def check_chart(table: Table, chart: Path = CHART) -> None:
    """Adds the rows of the chart: for each example values file lint, schemas, and the settings of each component."""
    with table.step("helm and kubernetes-validate") as row:
        helm, validator = tools.helm(), tools.kubernetes_validate()
        values = sorted(chart.glob("values-*.yaml"))
        if not values:
            raise VerifyError(f"there is no chart with example values at {chart.relative_to(ROOT)}")
        version = run([helm, "version", "--short"], seconds=_SECONDS).strip()
        row.detail = f"helm {version}, schemas of Kubernetes {_newest_schemas(validator)}"
    if row.state == "failed":
        return
    with table.step("chart: mistakes are refused") as row:
        row.detail = check_mistakes(helm, chart)
    for file in values:
        _check_values(table, helm, validator, chart, file)


def _check_values(table: Table, helm: Path, validator: Path, chart: Path, values: Path) -> None:
    manifests: list[Manifest] = []
    with table.step(f"chart, {values.stem}: lint, template", "rendered") as row:
        run([helm, "lint", "--strict", chart, "--values", values], seconds=_SECONDS)
        rendered = run([helm, "template", _RELEASE, chart, "--values", values], seconds=_SECONDS)
        manifests = read_manifests(rendered)
        row.detail = f"{len(manifests)} objects"
    if row.state == "failed":
        return
    with table.step(f"chart, {values.stem}: Kubernetes' schemas", "rendered") as row:
        row.detail = check_schemas(validator, manifests)
    with table.step(f"chart, {values.stem}: pods, policies, Jobs", "rendered"):
        if wrong := faults(manifests):
            raise VerifyError("\n".join(wrong))
    with table.step(f"chart, {values.stem}: settings") as row:
        row.detail = check_settings(manifests)


def check_mistakes(helm: Path, chart: Path) -> str:
    """Values that cannot work render nothing, and helm's message says why; returns how many were tried."""
    template: list[str | Path] = [helm, "template", _RELEASE, chart, "--set", "settings.ISSUER=https://id.example.com"]
    wrong = []
    for mistake, words in _MISTAKES.items():
        try:
            run([*template, "--set", mistake], seconds=_SECONDS)
        except VerifyError as error:
            if words not in str(error):
                wrong.append(f"{mistake}: {error}")
        else:
            wrong.append(f"{mistake} is rendered")
    if wrong:
        raise VerifyError("\n".join(wrong))
    return f"{len(_MISTAKES)} of {len(_MISTAKES)}"


def is_of_kubernetes(manifest: Manifest) -> bool:
    """Whether Kubernetes itself has the kind; others belong to operators that are installed beside it."""
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    return group in {"", *_OWN_GROUPS} or (group.endswith(".k8s.io") and group != "gateway.networking.k8s.io")


def check_schemas(validator: Path, manifests: Sequence[Manifest]) -> str:
    """Every object has the fields that the newest schemas know, and no other; returns what was looked at."""
    own = [manifest for manifest in manifests if is_of_kubernetes(manifest)]
    others = sorted({str(manifest["kind"]) for manifest in manifests if not is_of_kubernetes(manifest)})
    if not own:
        raise VerifyError("the chart renders nothing")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "manifests.yaml")
        file.write_text(write_manifests(own))
        run([validator, "--strict", "--quiet", file], seconds=_SECONDS)
    left_out = f"; not of Kubernetes itself: {', '.join(others)}" if others else ""
    return f"{len(own)} objects{left_out}"


def check_settings(manifests: Sequence[Manifest]) -> str:
    """Each component would start with what the chart tells it: `--check` says so; returns who was asked."""
    asked = []
    with tempfile.TemporaryDirectory() as folder:
        for component, pod, container in component_containers(manifests):
            told = component_environment(component, pod, container, Path(folder))
            command = [str(Path(sys.executable).with_name("dragoman")), component, "--check", "--json"]
            answer = run(command, seconds=_SECONDS, environment=told, whole_environment=True)
            assert json.loads(answer)["settings"] == "right"
            asked.append(component)
    if sorted(asked) != sorted(COMPONENTS):
        raise VerifyError(f"the chart runs {', '.join(asked) or 'nothing'}, out of {', '.join(names(manifests))}")
    return f"right for {', '.join(asked)}"


def _newest_schemas(validator: Path) -> str:
    """The newest version of Kubernetes whose schemas the checker has, which it takes unless told."""
    told = re.search(r"Defaults to\s+(\S+)", run([validator, "--help"], seconds=_SECONDS))
    return told[1] if told else "?"
