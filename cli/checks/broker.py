"""RabbitMQ: its version, the queues and who serves them, and what each component's user may do."""

from aio_pika import Message, connect
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, PublishError
from aiormq.exceptions import ChannelAccessRefused

from cli.checks.deployment import Deployment
from cli.checks.finding import Findings
from cli.checks.versions import RABBITMQ, check_version
from shared.bus import topology
from shared.bus.faults import BROKER_FAULTS, broker_reason
from shared.bus.permissions import SERVICES

_SECONDS = 5.0
_CALLS_BACKLOG = 100
_EVENTS_BACKLOG = 1000
_FAULTS = (*BROKER_FAULTS, ValueError)
_STRANGE_QUEUE = "dragoman.doctor"
_PERMISSIONS_HINT = "give its user what shared/bus/permissions.py says, and no more"


async def check_broker(deployment: Deployment) -> list[Findings]:
    """Look at the broker as the operator's user, then as each component's whose URL is here."""
    server, queues = Findings("rabbitmq"), Findings("queues")
    if deployment.operator is None:
        server.problem("server", "no URL is here", "DRAGOMAN_OPERATOR_RABBITMQ_URL names it")
        return [server]
    try:
        async with await connect(deployment.operator, timeout=_SECONDS) as connection:
            _check_server(connection, server)
            for service in SERVICES:
                await _check_calls(connection, service, queues)
                await _check_events(connection, service, queues)
    except _FAULTS as error:
        server.problem("server", f"cannot be used: {broker_reason(error)}", "DRAGOMAN_OPERATOR_RABBITMQ_URL names it")
        return [server, queues]
    return [server, queues, await _check_users(deployment)]


def _check_server(connection: AbstractConnection, server: Findings) -> None:
    assert connection.transport is not None
    told = connection.transport.connection.server_properties.get("version")
    check_version(server, "server", told.decode() if isinstance(told, bytes) else str(told), RABBITMQ)


async def _check_calls(connection: AbstractConnection, service: str, queues: Findings) -> None:
    """Calls have two queues, one for those that travel together; both are gone soon after the last replica."""
    waiting, consumers = 0, []
    for name in (topology.calls_queue(service), topology.groups_queue(service)):
        found = await _look(connection, name)
        if found is not None:
            waiting += found[0]
        consumers.append(found[1] if found is not None else 0)
    calls = f"{service} calls"
    if not any(consumers):
        queues.problem(calls, "no replica serves them", f"start one: dragoman {service}")
    elif waiting > _CALLS_BACKLOG:
        queues.warn(calls, f"{waiting} wait for {consumers[0]} replicas", f"more replicas of {service} share the work")
    else:
        queues.ok(calls, f"{consumers[0]} replicas, {waiting} wait")


async def _check_events(connection: AbstractConnection, service: str, queues: Findings) -> None:
    if not topology.owners_heard_by(service):
        return
    events = f"{service} events"
    found = await _look(connection, topology.events_queue(service))
    if found is None:
        queues.problem(events, "there is no queue", f"{service} makes it when it starts: dragoman {service}")
        return
    retries = [
        await _look(connection, topology.retry_queue(service, delay)) or (0, 0) for delay in topology.RETRY_SECONDS
    ]
    lanes = [
        await _look(connection, topology.lane_queue(service, lane, topology.LANE_SECONDS)) or (0, 0)
        for lane in topology.lanes(service)
    ]
    again = sum(waiting for waiting, _ in retries)
    waiting, consumers = found
    waiting += sum(waiting_in_lane for waiting_in_lane, _ in lanes)
    told = f"{consumers} replicas, {waiting} wait, {again} wait to be tried again"
    if not consumers:
        queues.problem(events, told, f"start one: dragoman {service}")
    elif waiting > _EVENTS_BACKLOG:
        queues.warn(events, told, f"more replicas of {service} share the work")
    else:
        queues.ok(events, told)
    dead, _ = await _look(connection, topology.dead_queue(service)) or (0, 0)
    parked = f"{service} parked"
    if dead:
        queues.warn(parked, f"{dead} events could not be handled", "dragoman dead-letters list says which and why")
    else:
        queues.ok(parked, "none")


async def _look(connection: AbstractConnection, name: str) -> tuple[int, int] | None:
    """How many messages and consumers a queue has; None when there is none of that name."""
    channel = await connection.channel(publisher_confirms=False)
    try:
        declared = (await channel.declare_queue(name, passive=True, timeout=_SECONDS)).declaration_result
    except ChannelNotFoundEntity:
        return None
    await channel.close()
    return declared.message_count or 0, declared.consumer_count or 0


async def _check_users(deployment: Deployment) -> Findings:
    """Try what each user may do: which services it can call, and that it can make nothing of its own invention."""
    users = Findings("permissions")
    if not deployment.broker_users:
        users.skip("users", "no component has a broker URL of its own here")
    for component, url in deployment.broker_users.items():
        try:
            async with await connect(url, timeout=_SECONDS) as connection:
                wrong = await _wrong_with(connection, component)
        except _FAULTS as error:
            hint = f"DRAGOMAN_{component.upper()}_RABBITMQ_URL names its user"
            users.problem(component, f"cannot connect: {broker_reason(error)}", hint)
            continue
        for found in wrong:
            users.problem(component, found, _PERMISSIONS_HINT)
        if not wrong:
            called = topology.owners_called_by(component)
            users.ok(component, f"may call {', '.join(called) or 'nobody'}, as the contracts say")
    return users


async def _wrong_with(connection: AbstractConnection, component: str) -> list[str]:
    wrong = []
    for service in SERVICES:
        may = await _may_call(connection, service)
        should = service in topology.owners_called_by(component)
        if may is not None and may != should:
            wrong.append(f"may not call {service}" if should else f"may call {service}, which no contract says")
    channel = await connection.channel(publisher_confirms=False)
    try:
        await channel.declare_queue(_STRANGE_QUEUE, exclusive=True, auto_delete=True, timeout=_SECONDS)
    except ChannelAccessRefused:
        pass
    else:
        wrong.append("may declare queues of any name")
        await channel.close()
    return wrong


async def _may_call(connection: AbstractConnection, service: str) -> bool | None:
    """Whether the user may send to a service's exchange; None while there is none.

    What is sent is what callers send to find out whether a service is still served: nobody acts on it, and it never
    waits in a queue.
    """
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    try:
        exchange = await channel.get_exchange(service, ensure=False)
        probe = Message(b"", type="probe", expiration=0)
        await exchange.publish(probe, topology.probe_key(service), mandatory=True, timeout=_SECONDS)
    except PublishError:  # it was allowed, and there was no queue to put it in
        await channel.close()
        return True
    except ChannelAccessRefused:
        return False
    except ChannelNotFoundEntity:
        return None
    await channel.close()
    return True
