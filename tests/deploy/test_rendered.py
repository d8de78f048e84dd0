"""What is told about manifests that would run, and should not be."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deploy.running.environment import COMPONENTS
from deploy.verify.rendered import COMPONENT, faults

Document = dict[str, Any]


def _object(kind: str, name: str, spec: Document) -> Document:
    return {"kind": kind, "metadata": {"name": name, "labels": {COMPONENT: name}}, "spec": spec}


def _template(name: str, environment: dict[str, str]) -> Document:
    confined = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    container = {
        "name": name,
        "securityContext": confined,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        **{probe: {"httpGet": {"path": "/livez", "port": "admin"}} for probe in probes},
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 40,
        "containers": [container],
    }
    return {"metadata": {"labels": {COMPONENT: name}}, "spec": spec}


def _component(name: str) -> list[Document]:
    selector = {"matchLabels": {COMPONENT: name}}
    environment = {"DRAGOMAN_GATEWAY_LEAVE_SECONDS": "20", "DRAGOMAN_GATEWAY_REQUEST_SECONDS": "7"}
    deployment = {
        "selector": selector,
        "strategy": {"rollingUpdate": {"maxUnavailable": 0}},
        "template": _template(name, environment if name == "gateway" else {"DRAGOMAN_DRAIN_SECONDS": "30"}),
    }
    reached = [{"ports": [{"port": port}]} for port in ((9000, 8080) if name == "gateway" else (9000,))]
    policy = {
        "podSelector": selector,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": reached,
        "egress": [{"ports": [{"port": 53}]}, {"ports": [{"port": 5432}]}],
    }
    return [
        _object("Deployment", name, deployment),
        _object("PodDisruptionBudget", name, {"selector": selector}),
        _object("NetworkPolicy", name, policy),
    ]


@pytest.fixture
def release() -> dict[str, Document]:
    """A release in which nothing is wrong, by kind and name."""
    documents = [document for name in COMPONENTS for document in _component(name)]
    documents.append(_object("Service", "gateway", {"selector": {COMPONENT: "gateway"}}))
    for name in ("broker", "migrate"):
        job = _object("Job", name, {"activeDeadlineSeconds": 900, "template": _template(name, {})})
        job["metadata"]["annotations"] = {"helm.sh/hook": "pre-install,pre-upgrade"}
        documents.append(job)
    return {f"{document['kind']} {document['metadata']['name']}": copy.deepcopy(document) for document in documents}


def _pod(document: Document) -> Document:
    pod: Document = document["spec"]["template"]["spec"]
    return pod


def _container(document: Document) -> Document:
    container: Document = _pod(document)["containers"][0]
    return container


def test_a_release_that_is_right_has_no_faults(release: dict[str, Document]) -> None:
    """Nothing is told about what the chart is meant to render."""
    assert faults(list(release.values())) == []


@pytest.mark.parametrize(
    ("where", "spoil", "told"),
    [
        ("Deployment otp", lambda it: _pod(it).pop("automountServiceAccountToken"), "a token of the Kubernetes API"),
        ("Job migrate", lambda it: _pod(it).pop("enableServiceLinks"), "told of Services"),
        ("Job broker", lambda it: _pod(it)["securityContext"].pop("runAsNonRoot"), "may run as root"),
        ("Deployment token", lambda it: _container(it)["securityContext"].pop("capabilities"), "may get privileges"),
        ("Deployment token", lambda it: _container(it).pop("securityContext"), "may write to its file system"),
        ("Deployment token", lambda it: _container(it).pop("livenessProbe"), "it has no livenessProbe"),
        ("Deployment token", lambda it: _pod(it).update(terminationGracePeriodSeconds=34), "may need 35 s to end"),
        ("Deployment gateway", lambda it: _pod(it).update(terminationGracePeriodSeconds=36), "may need 37 s to end"),
        (
            "Deployment token",
            lambda it: it["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
            "takes pods away before new ones are ready",
        ),
        ("NetworkPolicy token", lambda it: it["spec"].update(policyTypes=["Ingress"]), "leaves one direction open"),
        (
            "NetworkPolicy token",
            lambda it: it["spec"]["ingress"].append({"ports": [{"port": 8080}]}),
            "reached on [8080, 9000], not on [9000] alone",
        ),
        (
            "NetworkPolicy password",
            lambda it: it["spec"]["egress"].append({"ports": [{"port": 6379}]}),
            "more than the database and the broker",
        ),
        ("NetworkPolicy otp", lambda it: it["spec"]["egress"].append({"to": []}), "every port of something"),
        ("Job migrate", lambda it: it["metadata"].pop("annotations"), "it is no hook"),
        ("Job migrate", lambda it: it["spec"].pop("activeDeadlineSeconds"), "may go on for ever"),
        ("Service gateway", lambda it: it["spec"].update(selector={COMPONENT: "gate"}), "leads to no pod"),
    ],
)
def test_what_is_wrong_is_told(
    release: dict[str, Document], where: str, spoil: Callable[[Document], object], told: str
) -> None:
    """Each rule finds the one thing that breaks it, and names where."""
    spoil(release[where])
    found = faults(list(release.values()))
    assert found
    assert all(where.split()[1] in fault for fault in found)
    assert any(told in fault for fault in found)


@pytest.mark.parametrize(
    ("setting", "value", "port"),
    [
        ("DRAGOMAN_OTP_SMTP_HOST", "smtp.example.com", 587),
        ("DRAGOMAN_OTP_SMS_URL", "https://sms.example.com/messages", 443),
        ("DRAGOMAN_OTLP_ENDPOINT", "http://collector:4318", 4318),
        ("DRAGOMAN_OTP_REDIS_URL_FILE", "/etc/dragoman/redis-url", 6380),
    ],
)
def test_places_that_a_policy_closes_are_told(
    release: dict[str, Document], setting: str, value: str, port: int
) -> None:
    """A component that is to connect to a place has to be let through, also where the place is in a Secret."""
    release["Secret otp"] = {
        "kind": "Secret",
        "metadata": {"name": "otp"},
        "stringData": {"redis-url": "redis://redis:6380/0", "other": "redis://redis:1/0"},
    }
    otp = release["Deployment otp"]
    _container(otp)["env"].append({"name": setting, "value": value})
    _pod(otp)["volumes"] = [{"name": "secrets", "secret": {"secretName": "otp"}}]
    [fault] = faults(list(release.values()))
    assert fault == f"Deployment otp: its NetworkPolicy closes [{port}], which it is to connect to"
    release["NetworkPolicy otp"]["spec"]["egress"].append({"ports": [{"port": port}]})
    assert faults(list(release.values())) == []


@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget", "NetworkPolicy"])
def test_what_is_missing_is_told(release: dict[str, Document], kind: str) -> None:
    """A component without one of its parts is named."""
    del release[f"{kind} identity"]
    assert any(fault.startswith("identity: ") for fault in faults(list(release.values())))


def test_hooks_that_would_wait_for_bundled_servers_are_told(release: dict[str, Document]) -> None:
    """With servers in the release itself its Jobs must not run before it; servers may write to their own images."""
    server = _object("StatefulSet", "redis", {"template": _template("redis", {})})
    del _container(server)["securityContext"]["readOnlyRootFilesystem"]
    found = faults([*release.values(), server])
    assert found == [f"Job {name}: it waits for servers that come after it" for name in ("broker", "migrate")]


@pytest.mark.parametrize(
    ("peers", "let_in"),
    [
        (None, True),
        ([{"podSelector": {"matchLabels": {COMPONENT: "test"}}}], True),
        ([{"namespaceSelector": {}}, {"podSelector": {"matchLabels": {COMPONENT: "test"}}}], True),
        ([{"podSelector": {"matchLabels": {COMPONENT: "operator"}}}], False),
        ([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}], False),
    ],
)
def test_a_gateway_that_its_own_test_cannot_reach_is_told(
    release: dict[str, Document], peers: list[Document] | None, *, let_in: bool
) -> None:
    """`helm test` asks from a pod of the release, whoever else the policy names."""
    [rule] = [rule for rule in release["NetworkPolicy gateway"]["spec"]["ingress"] if rule["ports"] == [{"port": 8080}]]
    if peers is not None:
        rule["from"] = peers
    release["Pod test"] = {"kind": "Pod", "metadata": {"name": "test", "labels": {COMPONENT: "test"}}}
    release["Pod test"]["spec"] = _template("test", {})["spec"]
    told = [] if let_in else ["Pod test: the gateway's NetworkPolicy keeps it out, and so fails `helm test`"]
    assert faults(list(release.values())) == told
