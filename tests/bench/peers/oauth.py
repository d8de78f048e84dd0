"""What oidc-provider and the platform both do: OAuth 2 tokens."""

from pathlib import Path

from aiohttp import ClientSession

from tests.bench.operations import Stage
from tests.bench.peers import oidc, platform
from tests.bench.peers.contest import Comparison, Contest, Entry, Options, Side, compare
from tests.bench.peers.oidc import OidcProvider, oidc_provider
from tests.bench.peers.requests import Client, algorithm, client_credentials, introspection, own_tokens, refreshing
from tests.bench.running import BenchPlatform

NAMES = ("client_credentials", "refresh_token", "introspection", "client_credentials-rs256")
_INTROSPECTED = 100

_CLIENTS = (
    "oidc-provider has its clients' secrets in memory as they are; ours are hashed in PostgreSQL and can be withdrawn.",
    "oidc-provider keeps nothing of a JWT that it gave; ours can be revoked, and verifiers hear of it.",
    "oidc-provider writes no log here, as in all of the following; ours logs and counts every request.",
)
_REFRESH = (
    "oidc-provider rotates in Redis and may forget its last second in a crash; ours has committed to PostgreSQL.",
    "oidc-provider may let two requests at once use the same token; ours is one transaction, with a grace for retries.",
    "Neither looks the user up, and neither gives an ID token.",
)
_INTROSPECTION = (
    "oidc-provider does not introspect its JWTs: its tokens here are opaque, each a read from Redis; ours are JWTs.",
    "Ours answers from memory: verified once, not revoked since, of a client that has proved itself a moment ago.",
    f"Both are asked about {_INTROSPECTED} clients' tokens in turn.",
)


async def measure(home: Path, running: BenchPlatform, stage: Stage, options: Options) -> list[Comparison]:
    """What `options` ask for of these operations; the peer runs only meanwhile."""
    if not any(map(options.wants, NAMES)):
        return []
    http, client = stage.http, Client(stage.client["client_id"], stage.client["client_secret"])
    ours = platform.our_side(running)
    found: list[Comparison] = []
    with oidc_provider(home, client, options.tokens, pipelined=options.pipelined) as peer:
        if options.wants("client_credentials"):
            found += await compare(await _client_credentials(http, peer, peer.client, ours, client, "ES256"), options)
        if options.wants("refresh_token"):
            tokens = [str(one["refresh_token"]) for one in await stage.oauth2_sessions(options.tokens)]
            found += await compare(_refresh(peer, ours, client, tokens), options)
        if options.wants("introspection"):
            found += await compare(await _introspection(http, peer, ours, client), options)
        if options.wants("client_credentials-rs256"):  # the last one, since the key changes
            await platform.sign_with(http, running, client, "RS256")
            found += await compare(await _client_credentials(http, peer, peer.rs256, ours, client, "RS256"), options)
    return found


async def _client_credentials(
    http: ClientSession, peer: OidcProvider, their_client: Client, ours: Side, our_client: Client, wanted: str
) -> Contest:
    for url, client in ((peer.side.url + oidc.TOKEN_PATH, their_client), (ours.url + platform.TOKEN_PATH, our_client)):
        used = await algorithm(http, url, client)
        assert used == wanted, f"{url} signs with {used}"
    is_main = wanted == "ES256"
    return Contest(
        f"client_credentials, {wanted}",
        Entry(peer.side, client_credentials(oidc.TOKEN_PATH, their_client)),
        Entry(ours, client_credentials(platform.TOKEN_PATH, our_client)),
        target=1.0 if is_main else None,
        stretch=0.75 if is_main else None,
        differences=_CLIENTS if is_main else (),
    )


def _refresh(peer: OidcProvider, ours: Side, client: Client, tokens: list[str]) -> Contest:
    return Contest(
        "refresh_token, rotating",
        Entry(peer.side, refreshing(oidc.TOKEN_PATH, peer.client), list(peer.refresh_tokens)),
        Entry(ours, refreshing(platform.TOKEN_PATH, client), tokens),
        target=0.5,
        stretch=None,
        differences=_REFRESH,
    )


async def _introspection(http: ClientSession, peer: OidcProvider, ours: Side, client: Client) -> Contest:
    opaque = await own_tokens(http, peer.side.url + oidc.TOKEN_PATH, peer.opaque, _INTROSPECTED)
    signed = await own_tokens(http, ours.url + platform.TOKEN_PATH, client, _INTROSPECTED)
    return Contest(
        "introspection",
        Entry(peer.side, introspection(oidc.INTROSPECTION_PATH, peer.client, opaque)),
        Entry(ours, introspection(platform.INTROSPECTION_PATH, client, signed)),
        target=1.0,
        stretch=None,
        differences=_INTROSPECTION,
    )
