"""Three RabbitMQ nodes with quorum queues for events: the one that everybody is connected to may die."""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conftest import definitions
from tests.e2e.conftest import new_platform, start
from tests.faults.clients import codes_lost_and_doubled, events_left, everybody
from tests.faults.cluster import ClusterNode, rabbitmq_cluster
from tests.faults.conftest import GRACE
from tests.faults.links import linked
from tests.faults.report import keep
from tests.faults.traffic import Traffic
from tests.support.platform import Platform
from tests.support.urls import ServerUrls

pytestmark = pytest.mark.timeout(600)

_RECOVERED_SECONDS = 5.0
_LOADED = 2.0


class OnACluster(NamedTuple):
    """A platform, and the three nodes that it reaches by one address: the first of them that accepts."""

    platform: Platform
    nodes: list[ClusterNode]


@pytest.fixture
def clustered(server_urls: ServerUrls, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnACluster]:
    """A whole platform on the run's PostgreSQL and Redis, and on a cluster of its own."""
    home = tmp_path_factory.mktemp("cluster")
    with rabbitmq_cluster(home, definitions()) as nodes:
        ports = [node.port for node in nodes]
        with linked("127.0.0.1", *ports) as link:
            urls = ServerUrls(server_urls.postgres, server_urls.redis, link.through(nodes[0].url))
            with new_platform(urls, worker, home / "platform", GRACE) as platform:
                asyncio.run(start(platform))
                yield OnACluster(platform, nodes)


@pytest.mark.long
async def test_a_node_that_dies_takes_no_event_along(clustered: OnACluster) -> None:
    """SIGKILL of the node that has every connection, under load: the others go on, and it may come back.

    Then the next one is killed, so that each event has to be known to whoever is left.
    """
    platform, nodes = clustered
    clients = everybody(2)
    async with Traffic(platform.urls, clients) as traffic:
        fault = traffic.fault("node with all connections killed, of three")
        for node in (nodes[0], nodes[1]):
            node.kill()
            fault.over()  # the others are there
            await fault.recovered(within=60.0)
            await asyncio.to_thread(node.start)
            await traffic.well(60.0)
        fault.close()
    lost, doubled = await codes_lost_and_doubled(platform, clients)
    left = await events_left(platform)
    held = "the two others go on; quorum queues keep the events"
    keep(fault.finding(group="RabbitMQ", held=held, lost=lost + sum(left.values()), doubled=doubled, long=True))
    assert traffic.wrong == []
    assert fault.errors().keys() <= {"503"}, platform.refusals
    assert fault.recovery is not None
    assert fault.recovery < _RECOVERED_SECONDS * _LOADED
    assert (lost, doubled, left) == (0, 0, {})
