"""Where a request came from: whose word is believed, and what is counted as one."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from gateway.addresses import Addresses, parse_networks
from gateway.settings import GatewaySettings
from shared.settings import SettingsError
from tests.unit.gateway.edge import ENVIRONMENT

TRUSTED = Addresses(parse_networks(["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"]))
NOBODY = Addresses(())


class _Transport:
    def __init__(self, peer: Any) -> None:
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._peer if name == "peername" else default


def request(peer: Any, *forwarded: str) -> web.Request:
    """A request from this end of a connection with these X-Forwarded-For headers."""
    headers = CIMultiDict([("X-Forwarded-For", text) for text in forwarded])
    transport: Any = _Transport((peer, 50000) if isinstance(peer, str) and not peer.startswith("/") else peer)
    return make_mocked_request("POST", "/", headers=headers, transport=transport)


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "10.0.0.1", "", "nonsense", "127.0.0.1, 10.0.0.1"])
def test_nobody_is_trusted_by_default(forwarded: str) -> None:
    """Without trusted proxies a client is the other end of the connection, whatever it says."""
    assert str(NOBODY.client(request("198.51.100.4", forwarded))) == "198.51.100.4"


@pytest.mark.parametrize(
    ("addresses", "peer", "believed"),
    [
        (TRUSTED, "10.0.0.1", True),
        (TRUSTED, "198.51.100.4", False),
        (TRUSTED, None, False),
        (NOBODY, "10.0.0.1", False),
    ],
)
def test_only_a_trusted_proxys_word_counts(addresses: Addresses, peer: str | None, believed: bool) -> None:
    """Who is connected decides, and not whom the request came from; a connection without an address is a stranger's."""
    assert addresses.from_trusted_proxy(request(peer, "10.0.0.1")) is believed


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "10.0.0.1", "nonsense"])
def test_strangers_are_not_believed(forwarded: str) -> None:
    """Whoever is no trusted proxy is the client, whatever it says."""
    assert str(TRUSTED.client(request("198.51.100.4", forwarded))) == "198.51.100.4"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("192.0.2.7", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("2001:db8:1::5", ["2001:db8:2::9"], "2001:db8:2::9"),
        ("10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.9, 10.0.0.2, 10.0.0.3"], "203.0.113.9"),
        ("10.0.0.1", ["nonsense, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:51234"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8:2::9]:51234"], "2001:db8:2::9"),
        ("10.0.0.1", ["[2001:db8:2::9]"], "2001:db8:2::9"),
        ("10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["  203.0.113.9\t"], "203.0.113.9"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("10.0.0.1", ["10.9.9.9, 10.0.0.2"], "10.9.9.9"),
    ],
)
def test_the_last_who_is_not_trusted(peer: str, forwarded: list[str], client: str) -> None:
    """Of what trusted proxies say the last address that is not one of theirs is the client's, in whatever form."""
    assert str(TRUSTED.client(request(peer, *forwarded))) == client


@pytest.mark.parametrize(
    "forwarded",
    [
        [],
        [""],
        ["unknown"],
        ["203.0.113.9, _hidden"],
        ["203.0.113.9, nonsense, 10.0.0.2"],
        ["203.0.113.9,"],
        ["203.0.113.999"],
        ["203.0.113.9:"],
        ["203.0.113.9:x"],
        ["203.0.113.9:123456"],
        ["[203.0.113.9]:80"],
        ["[2001:db8:2::9"],
        ["[2001:db8:2::9]80"],
        ["203.0.113.9;10.0.0.2"],
    ],
)
def test_what_cannot_be_determined(forwarded: list[str]) -> None:
    """A trusted proxy that names nobody, or something that is no address, leaves the client unknown."""
    asked = request("10.0.0.1", *forwarded)
    assert TRUSTED.client(asked) is None
    assert TRUSTED.source(asked) is None


@pytest.mark.parametrize("peer", ["/run/gateway.sock", "", None])
def test_without_address(peer: Any) -> None:
    """A connection over a Unix socket has no address, and no header gives it one."""
    assert TRUSTED.client(request(peer, "203.0.113.9")) is None
    assert NOBODY.source(request(peer, "203.0.113.9")) is None


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("203.0.113.9", "203.0.113.9/32"),
        ("::ffff:203.0.113.9", "203.0.113.9/32"),
        ("2001:db8:2:3:4:5:6:7", "2001:db8:2:3::/64"),
        ("2001:db8:2:3::", "2001:db8:2:3::/64"),
        ("2001:db8:2:4::", "2001:db8:2:4::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_source(peer: str, source: str) -> None:
    """An IPv4 address stands for itself, an IPv6 address for its /64, since its owner has all of that."""
    assert NOBODY.source(request(peer)) == source


@pytest.mark.parametrize(
    "networks", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example.com", "10.0.0.0/33", "10.0.0.0/8;"]
)
def test_settings(networks: str) -> None:
    """What is no network, or is every address there is, is refused at start."""
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
        GatewaySettings.load(ENVIRONMENT | {"DRAGOMAN_GATEWAY_TRUSTED_PROXIES": f"192.0.2.7, {networks}"})


def test_settings_read() -> None:
    """Proxies are given with commas; nobody is trusted by default."""
    given = ENVIRONMENT | {"DRAGOMAN_GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::/32"}
    assert GatewaySettings.load(given).trusted_proxies == ["10.0.0.0/8", "2001:db8::/32"]
    assert GatewaySettings.load(ENVIRONMENT).trusted_proxies == []
