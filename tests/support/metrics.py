"""What each component exports: the names of its metrics, and the labels of each."""

import re
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from deploy.running.environment import COMPONENTS
from gateway.metrics import measure_feed
from services.identity.metrics import IdentityMetrics, ProviderMetrics
from services.otp.metrics import OtpMetrics
from services.token.metrics import measure_signing_key
from shared.hashing import HashPool
from shared.telemetry import Telemetry

Labels = frozenset[str]
Exported = Mapping[str, Mapping[str, Labels]]
"""The labels of each series by its name, by component."""

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}


class _Nothing:
    """Stands for what is measured; it is never asked."""

    def __getattr__(self, name: str) -> Any:
        return None


def exported() -> Exported:
    """All components' metrics, whether anything was counted in them or not."""
    return {component: _series(_registry(component)) for component in COMPONENTS}


def names_in(metrics: str) -> set[str]:
    """The names of the metrics that the text of /metrics tells of, with the suffix that tells counters' kind."""
    return set(re.findall(r"^# TYPE (dragoman_\w+) ", metrics, re.MULTILINE)) - set(
        re.findall(r"^# TYPE (dragoman_\w+_created) ", metrics, re.MULTILINE)
    )


def names_of(series: Mapping[str, Labels]) -> set[str]:
    """The same names, of what a component is known to export."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in series}


def _registry(component: str) -> CollectorRegistry:
    """What the component's wiring registers; a test compares it with what processes really export."""
    registry = Telemetry(component).registry
    nothing: Any = _Nothing()
    if component == "gateway":
        measure_feed(nothing, registry)
    elif component == "token":
        measure_signing_key(nothing, registry)
    elif component == "identity":
        IdentityMetrics(registry)
        ProviderMetrics(registry)
    elif component == "otp":
        OtpMetrics(registry)
    if component in ("token", "password"):
        HashPool(1, 1).measure(registry)
    return registry


def _series(registry: CollectorRegistry) -> dict[str, Labels]:
    found: dict[str, Labels] = {}
    for collector in registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            labels = set(collector._labelnames)
            if collector._type == "info":
                labels |= set(collector._value)  # type: ignore[attr-defined]
            for suffix in _SUFFIXES[str(collector._type)]:
                found[collector._name + suffix] = frozenset(labels | ({"le"} if suffix == "_bucket" else set()))
        else:  # the process's own
            for family in collector.collect():
                found |= {sample.name: frozenset(sample.labels) for sample in family.samples}
    return found
