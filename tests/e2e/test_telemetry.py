"""What operators see of the whole platform: its metrics, and its traces, also when nobody takes those."""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession

from tests.e2e.conftest import new_platform, start
from tests.support.collector import Collected, Collector, collector
from tests.support.leaks import USED_SECRETS
from tests.support.metrics import exported, names_in, names_of
from tests.support.platform import Platform, Replica
from tests.support.token_api import CLIENT, USER, TokenApi
from tests.support.urls import ServerUrls
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
LOST = "the collector takes no traces: they are lost"
COMPONENTS = {"gateway", "token", "identity", "otp", "password"}


@pytest.fixture(scope="module")
def collected() -> Iterator[Collector]:
    """The collector of this module's platform."""
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
def platform(
    server_urls: ServerUrls, worker: str, collected: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """One replica of each, traced."""
    settings = {"DRAGOMAN_OTLP_ENDPOINT": collected.url}
    with new_platform(server_urls, worker, tmp_path_factory.mktemp("platform"), settings) as made:
        asyncio.run(start(made))
        yield made


async def metrics_of(replica: Replica, http: ClientSession) -> str:
    """What Prometheus reads from a replica, after somebody has asked whether it is ready."""
    address = f"http://127.0.0.1:{(await replica.logged('admin port open'))['port']}"
    async with http.get(f"{address}/readyz") as response:
        assert response.status == 200
    async with http.get(f"{address}/metrics") as response:
        return await response.text()


def path_to(spans: list[Collected], service: str, name: str) -> list[str]:
    """The span of that name and all above it, the outermost first."""
    (last,) = [span for span in spans if (span.service, span.name, span.kind) == (service, name, "server")]
    by_id = {span.id: span for span in spans}
    path = [last]
    while path[0].parent in by_id:
        path.insert(0, by_id[path[0].parent])
    return [f"{span.service} {span.kind} {span.name}" for span in path]


async def test_each_component_exports_what_dashboards_and_alerts_are_checked_against(
    platform: Platform, api: TokenApi, http: ClientSession
) -> None:
    """The metrics of real processes are those that the documents list, component by component."""
    assert (await api.password()).status == 200
    for component, series in exported().items():
        [replica] = platform.replicas(component)
        assert names_in(await metrics_of(replica, http)) == names_of(series)


async def test_what_is_measured_of_a_platform_that_is_well(platform: Platform, http: ClientSession) -> None:
    """Who is who, every check passed, news of revocations just heard, a young key, and room in the hash pool."""
    texts = {name: await metrics_of(platform.replicas(name)[0], http) for name in COMPONENTS}
    for component, text in texts.items():
        assert f'dragoman_build_info{{component="{component}"' in text
        assert 'dragoman_ready{check="rabbitmq"} 1.0' in text
        assert " 0.0" not in "".join(line for line in text.splitlines() if line.startswith("dragoman_ready"))

    def measured(component: str, name: str) -> float:
        return next(float(line.split()[1]) for line in texts[component].splitlines() if line.startswith(f"{name} "))

    assert measured("gateway", "dragoman_revocation_feed_age_seconds") < 5
    assert 0 < measured("token", "dragoman_signing_key_age_seconds") < 600
    assert measured("password", "dragoman_hash_busy") == 0
    assert measured("password", "dragoman_hash_limit") > 1
    assert 'dragoman_bus_handled_total{code="internal",subject="password.verify.v1"} 0.0' in texts["password"]
    assert 'outcome="dead",subject="identity.user_suspended.v1"} 0.0' in texts["token"]


async def test_a_sign_in_is_one_trace_through_all_that_it_asks(
    platform: Platform, api: TokenApi, collected: Collector
) -> None:
    """Below the request of whoever called stands the gateway's, then each call on both sides, down to the hash."""
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "a-traced-sign-in"}
    body = {"grant_type": "password", **CLIENT, **USER}
    assert (await api.request("POST", "/oauth/v2/token", body, headers)).status == 200
    spans = await collected.trace(TRACE, 7)
    assert path_to(spans, "password", "password.verify.v1") == [
        "gateway server POST /oauth/v2/token",
        "gateway client token.grant_password.v1",
        "token server token.grant_password.v1",
        "token client identity.authenticate.v1",
        "identity server identity.authenticate.v1",
        "identity client password.verify.v1",
        "password server password.verify.v1",
    ]
    (root,) = [span for span in spans if span.parent == PARENT]
    assert root.attributes == {
        "http.request.method": "POST",
        "http.route": "/oauth/v2/token",
        "http.response.status_code": 200,
    }
    logged = [
        (line["component"], line.get("trace_id"))
        for replica in platform.every
        if replica.name in COMPONENTS
        for line in replica.lines()
        if line.get("request_id") == "a-traced-sign-in"
    ]
    assert sorted(logged) == [(component, TRACE) for component in ("gateway", "identity", "password", "token")]


async def test_a_code_is_traced_to_its_delivery(api: TokenApi, collected: Collector) -> None:
    """The message that goes out a moment after the answer belongs to the trace of the request that asked for it."""
    assert (await api.send_code()).status == 200
    delivered = await collected.span("otp", "process otp.delivery_requested.v1")
    asked = await collected.span("gateway", "POST /otp/send")
    assert (delivered.trace, delivered.kind) == (asked.trace, "consumer")
    (made,) = [span for span in collected.spans if span.id == delivered.parent]
    assert (made.service, made.name) == ("otp", "otp.issue_code.v1")


async def test_no_secret_and_nobodys_name_is_in_a_trace(api: TokenApi, collected: Collector) -> None:
    """Whoever reads the collector learns of no password, token, code or address, whatever was asked for."""
    session = await api.sign_in()
    assert (await session.refresh()).status == 200
    assert (await api.grant("password", username=USER["username"], password="guess-5432-wrong")).status == 400
    assert (await api.request("GET", f"/no/such/path?access_token={session.token}")).status == 404
    await collected.span("gateway", "GET")
    await collected.span("token", "token.grant_refresh_token.v1")
    sent = collected.raw.decode("latin-1")
    assert USED_SECRETS.found_in(sent) == []
    for word in (session.token, USER["username"], "guess-5432-wrong", "no/such/path", "access_token"):
        assert word not in sent


async def test_what_was_traced_last_is_sent_before_a_component_leaves(
    platform: Platform, api: TokenApi, collected: Collector
) -> None:
    """SIGTERM loses no spans: those of the last request arrive although their time to be sent had not come."""
    trace = "1" * 32
    body = {"grant_type": "client_credentials", **CLIENT}
    await api.request("POST", "/oauth/v2/token", body, {"traceparent": f"00-{trace}-{PARENT}-01"})
    await asyncio.to_thread(platform.end, "token")
    assert "token" in {span.service for span in collected.spans if span.trace == trace}
    await platform.bring(1)


async def test_a_collector_that_hangs_disturbs_nobody(platform: Platform, api: TokenApi, collected: Collector) -> None:
    """Requests are answered as ever, each log says once that traces are lost, and every process leaves in time."""
    collected.answering.clear()
    replicas = [replica for replica in platform.every if replica.process.running and replica.name in COMPONENTS]
    begun = {replica: len(replica.lines()) for replica in replicas}
    for _ in range(5):
        answer = await api.password()
        assert (answer.status, answer.seconds < 2.0) == (200, True)

    async def told() -> bool | None:
        lines = {replica: replica.lines()[begun[replica] :] for replica in replicas if replica.name != "otp"}
        said = [[line["event"] for line in own].count(LOST) for own in lines.values()]
        assert max(said) <= 1
        return True if min(said) == 1 else None

    await eventually(told, 20.0, "each component that was asked says that its traces are lost")
    assert (await api.password()).status == 200
    for replica in replicas:
        replica.process.terminate()
    async with asyncio.timeout(10.0):
        assert [await replica.ended() for replica in replicas] == [0] * len(replicas)
