"""The metrics, the logger and the traces of one component."""

from importlib.metadata import version

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.process_collector import ProcessCollector

from shared.telemetry.children import Children
from shared.telemetry.tracing import Tracing

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Telemetry:
    """Everything a component logs, counts and traces, under its own name.

    Each component has its own registry, so that five of them in one process keep their metrics apart.
    `tracing` does nothing until it is replaced by one that is collected.
    """

    def __init__(self, component: str) -> None:
        self.component = component
        self.log: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=component)
        self.tracing = Tracing()
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="dragoman", registry=self.registry)
        registry = self.registry
        about = Info("dragoman_build", "Which component this is, and of which version.", registry=registry)
        about.info({"component": component, "version": version("dragoman")})
        self.requests = Children(
            Counter(
                "dragoman_http_requests", "HTTP requests answered.", ["dialect", "path", "status"], registry=registry
            )
        )
        self.request_seconds = Children(
            Histogram(
                "dragoman_http_request_seconds",
                "Time to answer an HTTP request.",
                ["dialect", "path"],
                buckets=_SECONDS,
                registry=registry,
            )
        )
        self.introspections = Children(
            Counter(
                "dragoman_introspections",
                "Introspections answered: from memory, or by token.",
                ["source"],
                registry=registry,
            )
        )
        self.rate_limit_decisions = Children(
            Counter(
                "dragoman_rate_limit_decisions",
                "Requests to limited paths: allowed, limited (one too many), blocked since then, or refused uncounted; "
                "and who counted: Redis, a bucket of this process in its stead, the process itself (guesses at secrets "
                "of clients), or nobody.",
                ["path", "outcome", "by"],
                registry=registry,
            )
        )
        self.security_settings_stale = Gauge(
            "dragoman_security_settings_stale",
            "1 while the security settings that operators change are not heard, or cannot be read.",
            registry=registry,
        )
        self.calls = Children(
            Counter("dragoman_bus_calls", "Calls made, by outcome.", ["subject", "code"], registry=registry)
        )
        self.call_seconds = Children(
            Histogram(
                "dragoman_bus_call_seconds",
                "Time from a call to its reply.",
                ["subject"],
                buckets=_SECONDS,
                registry=registry,
            )
        )
        self.group_size = Children(
            Histogram(
                "dragoman_bus_group_size",
                "Calls that travelled in one message.",
                ["owner"],
                buckets=(1, 2, 4, 8, 16, 32, 64),
                registry=registry,
            )
        )
        self.handled = Children(
            Counter("dragoman_bus_handled", "Calls answered, by outcome.", ["subject", "code"], registry=registry)
        )
        self.handle_seconds = Children(
            Histogram(
                "dragoman_bus_handle_seconds",
                "Time to answer a call.",
                ["subject"],
                buckets=_SECONDS,
                registry=registry,
            )
        )
        self.events_published = Children(
            Counter(
                "dragoman_bus_events_published", "Events that the broker confirmed.", ["subject"], registry=registry
            )
        )
        self.events_handled = Children(
            Counter(
                "dragoman_bus_events_handled",
                "Events taken in: done, retried or dead.",
                ["subject", "outcome"],
                registry=registry,
            )
        )
        self.outbox_waiting = Gauge(
            "dragoman_outbox_waiting", "Events committed and not yet confirmed by the broker.", registry=registry
        )
        self.outbox_age_seconds = Gauge(
            "dragoman_outbox_age_seconds", "Age of the oldest event in the outbox.", registry=registry
        )
        self.bus_connected = Gauge("dragoman_bus_connected", "1 while the broker is reachable.", registry=registry)
        self.ready = Gauge(
            "dragoman_ready",
            "1 for each check of readiness that passes, 0 for one that does not.",
            ["check"],
            registry=registry,
        )
        self.loop_lag_seconds = Histogram(
            "dragoman_loop_lag_seconds", "How late the event loop wakes up.", buckets=_SECONDS, registry=registry
        )
        self.trace_spans = Children(
            Counter(
                "dragoman_trace_spans",
                "Spans of traces: made, sent to the collector, or failed to be sent. What was made and became neither "
                "did not fit into the queue.",
                ["outcome"],
                registry=registry,
            )
        )
