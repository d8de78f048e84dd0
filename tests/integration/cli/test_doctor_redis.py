"""What the doctor says of a Redis behind sentinels, and of one that cannot be used."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.checks.deployment import Deployment
from cli.checks.redis import check_redis
from shared.clock import SystemClock
from tests.support.sentinels import Node, Watched, sentinels

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A master without replicas, and two sentinels."""
    with sentinels(tmp_path_factory.mktemp("watched"), replicas=0, watchers=2, down_after=30.0) as made:
        yield made


async def look(url: str) -> dict[str, tuple[str, str]]:
    """The state and the words of each thing that was checked."""
    areas = await check_redis(Deployment(redis={"otp": url}), SystemClock())
    return {one.checked: (one.state, one.found) for area in areas for one in area.every}


async def test_sentinels(tmp_path: Path) -> None:
    """Each sentinel is asked, and whether there is a replica; one that is gone is a warning."""
    with sentinels(tmp_path, replicas=1, watchers=2, down_after=30.0) as watched:
        await watched.ready(1)
        first, second = (f"sentinel 127.0.0.1:{one.port}" for one in watched.sentinels)
        found = await look(watched.url)
        assert (found[first][0], found[second][0], found["replicas"]) == ("ok", "ok", ("ok", "1"))
        assert "problem" not in {state for state, _ in found.values()}
        watched.sentinels[1].kill()
        found = await look(watched.url)
        assert found[second][0] == "warning"
        assert "problem" not in {state for state, _ in found.values()}


async def test_nobody_in_the_master_s_place(watched: Watched) -> None:
    """A master without replicas is a warning: its sentinels can do nothing for it."""
    await watched.ready(0)
    assert (await look(watched.url))["replicas"][0] == "warning"


async def test_a_master_that_nobody_knows(watched: Watched) -> None:
    """A name that the sentinels do not know is told, and no password with it."""
    found = await look(watched.url.replace("/dragoman", "/other"))
    assert found["127.0.0.1"] == ("problem", "cannot be used: no sentinel knows of a master")
    assert watched.nodes[0].password not in str(found)


async def test_a_node_of_a_cluster(tmp_path: Path) -> None:
    """A Redis Cluster is told for what it is: it cannot be used."""
    node = Node(tmp_path / "node", "secret", more="cluster-enabled yes\n")
    try:
        node.start()
        assert (await look(node.url))["cluster"][0] == "problem"
    finally:
        node.stop()
