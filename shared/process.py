"""The process around a component: settings, log, admin port, signals, drain."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop

from shared.bus.bus import Bus
from shared.bus.rabbit import EVENT_PREFETCH, RabbitBus
from shared.clock import Clock, SystemClock
from shared.entropy import Entropy, SystemEntropy
from shared.errors import unavailable
from shared.listening import CannotListenError
from shared.settings import Settings, SettingsError, environment
from shared.telemetry import Health, Telemetry, configure_logging
from shared.telemetry.admin import admin_server

S = TypeVar("S", bound=Settings)

_CANCEL_AGAIN_SECONDS = 1.0
_NICE = 5
"""A quarter of what another process gets of a core that both want: sign-ins get slow then, and do not stop."""


@dataclass
class Kit:
    """What the process gives a component; tests give fakes of the same shape."""

    telemetry: Telemetry
    health: Health = field(default_factory=Health)
    clock: Clock = field(default_factory=SystemClock)
    entropy: Entropy = field(default_factory=SystemEntropy)

    def bus(self, settings: Settings, *, prefetch: int = 64, event_prefetch: int = EVENT_PREFETCH) -> Bus:
        """The component's place on the bus, part of its readiness."""
        bus = RabbitBus(
            settings.rabbitmq_url.get_secret_value(),
            settings.component,
            self.telemetry,
            self.clock,
            prefetch=prefetch,
            event_prefetch=event_prefetch,
            drain_seconds=settings.drain_seconds,
        )
        self.health.add("rabbitmq", lambda: _connected(bus))
        return bus


async def _connected(bus: Bus) -> None:
    if not bus.connected:
        raise unavailable("not connected to the broker")


@dataclass(frozen=True)
class Component:
    """How a component is made: its settings and the context in which it runs.

    Entering the context starts it; leaving it takes no new work, finishes what was begun and closes.
    With `stands_back` its process, where it has one of its own, leaves the cores to whoever else wants them.
    """

    settings: type[Settings]
    open: Callable[[Any, Kit], AbstractAsyncContextManager[None]]
    stands_back: bool = False

    @property
    def name(self) -> str:
        """The component's name: the same word in folder, exchange, metric and setting."""
        return self.settings.component


def load_settings(components: Sequence[Component]) -> list[Settings]:
    """Read the settings of all `components`; prints every mistake and ends the process with status 2 on any."""
    loaded: list[Settings] = []
    problems: list[str] = []
    for component in components:
        try:
            loaded.append(component.settings.load(environment()))
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        print("\n".join(problems), file=sys.stderr)  # noqa: T201 - there is no log before there are settings
        raise SystemExit(2)
    return loaded


def run(components: Sequence[Component]) -> None:
    """Run components in this process until SIGTERM or SIGINT, then drain.

    Ends the process with status 1 when a port cannot be opened, and with 2 when the settings have mistakes.
    """
    settings = load_settings(components)
    configure_logging(settings[0].log_level)
    if all(component.stands_back for component in components):
        _stand_back()
    try:
        uvloop.run(_serve(list(zip(components, settings, strict=True))))
    except CannotListenError:
        raise SystemExit(1) from None


async def _serve(components: list[tuple[Component, Settings]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        kits = []
        for component, settings in components:
            kit = Kit(_telemetry(settings))
            kits.append(kit)
            stack.callback(kit.telemetry.tracing.close)  # after all that is traced
            admin = admin_server(kit.telemetry, kit.health, settings.admin_host, settings.admin_port)
            await stack.enter_async_context(admin)
            await stack.enter_async_context(component.open(settings, kit))
            kit.telemetry.log.info("started")
        _calm_collector()
        await stop.wait()
        for kit in kits:
            kit.health.stopping = True
            kit.telemetry.log.info("stopping")


def _telemetry(settings: Settings) -> Telemetry:
    telemetry = Telemetry(settings.component)
    telemetry.log = telemetry.log.bind()  # now that it is configured; as it comes it looks that up at each line
    if settings.otlp_endpoint:
        # Only now: who collects no traces neither waits for OpenTelemetry nor needs to have it.
        otlp = import_module("shared.telemetry.otlp")
        telemetry.tracing = otlp.OtlpTracing(telemetry, settings.otlp_endpoint, settings.trace_ratio)
    return telemetry


def _stand_back() -> None:
    """Lower the priority of this process, also where Linux shares the cores out by session (sched(7), autogroup)."""
    os.nice(_NICE)
    with suppress(OSError), Path("/proc/self/autogroup").open("w") as autogroup:
        autogroup.write(str(_NICE))


def _calm_collector() -> None:
    """Have the collector look for cycles seldom, and never among what is there by now and stays.

    A request leaves few cycles and many objects behind, by whose number the collector goes: at Python's own thresholds
    it took a fifth of the CPU of client_credentials (701 µs with, 536 without).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@asynccontextmanager
async def background(*tasks: "asyncio.Task[Any]") -> AsyncIterator[None]:
    """Keep `tasks` running while inside; cancelled and awaited on leaving. One that dies before is told in the log."""
    for task in tasks:
        task.add_done_callback(_tell_death)
    try:
        yield
    finally:
        pending = set(tasks)
        while pending:
            for task in pending:
                task.cancel()
            # Again for one that goes on: before Python 3.12 `wait_for`, also the driver's, can swallow a cancellation.
            _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)


def _tell_death(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        structlog.get_logger().error("background task died", task=task.get_name(), exc_info=error)
