"""What must hold for whatever the chart renders, beyond what Kubernetes' schemas can say. Works on parsed manifests."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from deploy.running.environment import COMPONENTS

Document = Mapping[str, Any]
COMPONENT = "app.kubernetes.io/component"
_REQUEST_SECONDS, _DRAIN_SECONDS = 5.0, 10.0
"""The gateway's and every component's own defaults."""
_CONNECTED_TO = ("_RABBITMQ_URL", "_POSTGRES_URL", "_REDIS_URL", "_MANAGEMENT_URL", "_SMS_URL", "_OTLP_ENDPOINT")
"""How the settings end that name a place to connect to."""
_PORTS = {"amqp": 5672, "amqps": 5671, "postgresql": 5432, "redis": 6379, "rediss": 6379, "http": 80, "https": 443}
_SERVERS_OF_DEVELOPMENT = ("postgresql", "redis", "rabbitmq")


def faults(documents: Sequence[Document]) -> list[str]:
    """All that is wrong with the manifests of one release, a sentence each."""
    return [
        *(f"{_name(document)}: {fault}" for document in documents for fault in _faults_of_pods(document)),
        *(f"{name}: {fault}" for name in COMPONENTS for fault in _faults_of_component(name, documents)),
        *_faults_of_jobs(documents),
        *_places_out_of_reach(documents),
        *_services_without_pods(documents),
        *_tests_kept_out(documents),
    ]


def _name(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def _template(document: Document) -> Document | None:
    """The pod that an object makes, or is."""
    if document["kind"] in {"Deployment", "StatefulSet", "Job"}:
        template: Document = document["spec"]["template"]
        return template
    return document if document["kind"] == "Pod" else None


def _faults_of_pods(document: Document) -> Iterator[str]:
    """Where its pods may do more than run, or would be told of Services by variables that are called like settings."""
    template = _template(document)
    if template is None:
        return
    pod = template["spec"]
    security = pod.get("securityContext", {})
    if pod.get("automountServiceAccountToken") is not False:
        yield "pods get a token of the Kubernetes API"
    if pod.get("enableServiceLinks") is not False:
        yield "pods are told of Services by DRAGOMAN_… variables"
    if security.get("runAsNonRoot") is not True or security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "pods may run as root, or without seccomp"
    is_server = template["metadata"].get("labels", {}).get(COMPONENT) in _SERVERS_OF_DEVELOPMENT
    for container in (*pod["containers"], *pod.get("initContainers", [])):
        confined = container.get("securityContext", {})
        if confined.get("allowPrivilegeEscalation") is not False or confined.get("capabilities") != {"drop": ["ALL"]}:
            yield f"the container {container['name']} may get privileges"
        if confined.get("readOnlyRootFilesystem") is not True and not is_server:
            yield f"the container {container['name']} may write to its file system"


def _faults_of_component(name: str, documents: Sequence[Document]) -> Iterator[str]:
    own = {document["kind"]: document for document in documents if _selects(document) == name}
    deployment = own.get("Deployment")
    if deployment is None:
        yield "there is no Deployment"
        return
    if "PodDisruptionBudget" not in own:
        yield "nothing keeps it while nodes are drained"
    spec = deployment["spec"]
    if spec["strategy"]["rollingUpdate"]["maxUnavailable"] != 0:
        yield "an upgrade takes pods away before new ones are ready"
    pod = spec["template"]["spec"]
    needed = _seconds_to_end(name, _environment(pod))
    if pod["terminationGracePeriodSeconds"] < needed:
        yield f"it is killed after {pod['terminationGracePeriodSeconds']} s, but may need {needed:g} s to end"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if pod["containers"][0].get(probe, {}).get("httpGet", {}).get("port") != "admin":
            yield f"it has no {probe} on its admin port"
    yield from _faults_of_policy(name, own.get("NetworkPolicy"))


def _seconds_to_end(name: str, environment: Mapping[str, str]) -> float:
    """The longest time from SIGTERM to the end of the process: answering on, a request, work in hand."""

    def setting(word: str, default: float) -> float:
        own = environment.get(f"DRAGOMAN_{name.upper()}_{word}", environment.get(f"DRAGOMAN_{word}"))
        return default if own is None else float(own)

    leave = setting("LEAVE_SECONDS", 0.0) if name == "gateway" else 0.0
    return leave + setting("REQUEST_SECONDS", _REQUEST_SECONDS) + setting("DRAIN_SECONDS", _DRAIN_SECONDS)


def _faults_of_policy(name: str, policy: Document | None) -> Iterator[str]:
    """Where a component could be reached from, or reach, what the platform's call graph has no arrow for."""
    if policy is None:
        yield "anybody may reach it: there is no NetworkPolicy"
        return
    spec = policy["spec"]
    if set(spec["policyTypes"]) != {"Ingress", "Egress"}:
        yield "its NetworkPolicy leaves one direction open"
    served = {9000, 8080} if name == "gateway" else {9000}
    if (ports := _ports(spec["ingress"])) != served:
        yield f"it can be reached on {sorted(ports)}, not on {sorted(served)} alone"
    if name == "password" and _ports(spec["egress"]) & {6379, 25, 465, 587, 443}:
        yield "it can reach more than the database and the broker"
    if any("ports" not in rule for rule in spec["egress"]):
        yield "it can reach every port of something"


def _ports(rules: Sequence[Mapping[str, Any]]) -> set[int]:
    return {port["port"] for rule in rules for port in rule.get("ports", [])}


def _faults_of_jobs(documents: Sequence[Document]) -> Iterator[str]:
    """Where permissions and migrations could come after the pods that need them, or never."""
    bundled = any(document["kind"] == "StatefulSet" for document in documents)
    for document in documents:
        part = document["metadata"].get("labels", {}).get(COMPONENT)
        if document["kind"] != "Job" or part not in {"broker", "migrate"}:
            continue
        is_hook = "helm.sh/hook" in document["metadata"].get("annotations", {})
        if is_hook == bundled:
            yield f"{_name(document)}: " + ("it waits for servers that come after it" if is_hook else "it is no hook")
        if "activeDeadlineSeconds" not in document["spec"]:
            yield f"{_name(document)}: it may go on for ever"


def _places_out_of_reach(documents: Sequence[Document]) -> Iterator[str]:
    """Where pods are told to connect to a port that their NetworkPolicy does not let through."""
    policies = {_selects(document): document for document in documents if document["kind"] == "NetworkPolicy"}
    secrets = {
        document["metadata"]["name"]: document["stringData"] for document in documents if document["kind"] == "Secret"
    }
    for document in documents:
        template = _template(document)
        policy = policies.get(template["metadata"].get("labels", {}).get(COMPONENT)) if template is not None else None
        if template is None or policy is None:
            continue
        told = set(_ports_told(template["spec"], secrets))
        if closed := told - _ports(policy["spec"]["egress"]):
            yield f"{_name(document)}: its NetworkPolicy closes {sorted(closed)}, which it is to connect to"


def _ports_told(pod: Document, secrets: Mapping[str, Mapping[str, str]]) -> Iterator[int]:
    """The ports that the environment names, itself or by the files of Secrets that are rendered, too."""
    of_pod = [volume["secret"]["secretName"] for volume in pod.get("volumes", []) if "secret" in volume]
    files = {key: value for name in of_pod for key, value in secrets.get(name, {}).items()}
    environment = _environment(pod)
    for name, value in environment.items():
        if any("_MANAGEMENT_URL" in other for other in environment) and "_MANAGEMENT_URL" not in name:
            continue  # the URLs beside it are what it tells the broker of
        url = files.get(PurePosixPath(value).name, "") if name.endswith("_FILE") else value
        if name.removesuffix("_FILE").endswith(_CONNECTED_TO) and url:
            parts = urlsplit(url)
            yield parts.port or _PORTS[parts.scheme]
        if name.endswith("_SMTP_HOST"):
            yield int(environment.get("DRAGOMAN_OTP_SMTP_PORT", "587"))


def _services_without_pods(documents: Sequence[Document]) -> Iterator[str]:
    pods = [template for document in documents if (template := _template(document)) is not None]
    for service in (document for document in documents if document["kind"] == "Service"):
        wanted = service["spec"]["selector"].items()
        if not any(wanted <= pod["metadata"].get("labels", {}).items() for pod in pods):
            yield f"{_name(service)}: it leads to no pod"


def _tests_kept_out(documents: Sequence[Document]) -> Iterator[str]:
    """Where `helm test` would ask a gateway whose NetworkPolicy does not let the release's own pod in."""
    rules = [
        rule
        for document in documents
        if document["kind"] == "NetworkPolicy" and _selects(document) == "gateway"
        for rule in document["spec"]["ingress"]
        if 8080 in _ports([rule])
    ]
    for pod in (document for document in documents if document["kind"] == "Pod"):
        labels = pod["metadata"].get("labels", {})
        if labels.get(COMPONENT) == "test" and rules and not any(_lets_in(rule, labels) for rule in rules):
            yield f"{_name(pod)}: the gateway's NetworkPolicy keeps it out, and so fails `helm test`"


def _lets_in(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a rule names no peers, or a pod of the same namespace with these labels."""
    peers = rule.get("from") or []
    selected = [peer["podSelector"]["matchLabels"] for peer in peers if set(peer) == {"podSelector"}]
    return not peers or any(wanted.items() <= labels.items() for wanted in selected)


def _selects(document: Document) -> str | None:
    """The component whose pods an object selects."""
    spec = document.get("spec", {})
    selector = spec.get("selector") if document["kind"] != "NetworkPolicy" else spec.get("podSelector")
    labels = selector.get("matchLabels", {}) if isinstance(selector, Mapping) else {}
    found: str | None = labels.get(COMPONENT)
    return found


def _environment(pod: Document) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in pod["containers"][0].get("env", []) if "value" in entry}
