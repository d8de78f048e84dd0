"""Where a request came from, as far as that can be known.

A connection's other end is who it is; only what a trusted proxy says of others is believed, and of the addresses that
it names only the last that is not a trusted proxy's own: everything left of that one is the client's word.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_IPV6_PREFIX = 64
"""The smallest network of one customer: whoever has one address of it has all of them."""


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks in CIDR notation; an address stands for itself alone.

    Raises ValueError that names the one which is none, or which is everything: anybody could say then who they are.
    """
    networks = []
    for text in texts:
        try:
            network = ip_network(text)
        except ValueError as error:
            raise ValueError(f"{text} is not a network: {error}") from None
        if network.prefixlen == 0:
            raise ValueError(f"{text} is every address there is, so that anybody could claim to be anybody")
        networks.append(network)
    return tuple(networks)


class Addresses:
    """Tells clients' addresses, believing the proxies in `trusted` about others, and nobody else."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted

    def client(self, request: web.Request) -> Address | None:
        """The client's address, None when it cannot be determined.

        That is so for a connection that has none (a Unix socket), and for one from a trusted proxy that names nobody,
        or names something that is no address before it names somebody. All of several X-Forwarded-For headers count,
        as one list (RFC 9110 §5.3).
        """
        address = _parse(request.remote or "")
        if address is None or not self._is_trusted(address):
            return address
        named = ",".join(request.headers.getall("X-Forwarded-For", []))
        for text in reversed(named.split(",")):
            address = _parse(_without_port(text.strip()))
            if address is None or not self._is_trusted(address):
                return address
        return address  # a trusted machine itself

    def source(self, request: web.Request) -> str | None:
        """The network that a request is counted for, and remembered by, None when it cannot be determined.

        That is an IPv4 address alone, and of an IPv6 address its /64.
        """
        address = self.client(request)
        if address is None:
            return None
        if isinstance(address, IPv4Address):
            return f"{address}/32"
        return str(IPv6Network((int(address), _IPV6_PREFIX), strict=False))

    def from_trusted_proxy(self, request: web.Request) -> bool:
        """Whether what the request says of others is believed."""
        address = _parse(request.remote or "")
        return address is not None and self._is_trusted(address)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


@lru_cache(maxsize=4096)  # each request is asked for its client twice: 3 µs
def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))  # without the zone, which is this machine's own word


def _without_port(text: str) -> str:
    """An address of a list, which some proxies put into brackets or write with the port."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        return address if bracket and (not rest or _is_port(rest)) and ":" in address else ""
    address, colon, port = text.partition(":")
    return address if colon and "." in address and _is_port(f":{port}") else text


def _is_port(text: str) -> bool:
    digits = text.removeprefix(":")
    return digits != text and digits.isascii() and digits.isdigit() and len(digits) <= 5
