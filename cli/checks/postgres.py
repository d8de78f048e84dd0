"""PostgreSQL: its version and clock, and for each service its revision, its rights and the events that wait."""

import asyncpg
from asyncpg.exceptions import TargetServerAttributeNotMatched

from cli.checks.clocks import check_clock
from cli.checks.deployment import Deployment
from cli.checks.finding import Findings
from cli.checks.versions import POSTGRESQL, check_version
from cli.components import ROOT
from shared.bus.permissions import SERVICES
from shared.clock import Clock
from shared.errors import reason
from shared.postgres.servers import Servers

_SECONDS = 5.0
_OLDEST_EVENT_SECONDS = 60.0
_FAULTS = (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError)

_WITHOUT_RIGHTS = """
SELECT string_agg(tablename, ', ' ORDER BY tablename) FROM (
    SELECT tablename, format('%I.%I', schemaname, tablename) AS name FROM pg_tables
    WHERE schemaname = $1 AND tablename <> 'migrations'
) AS tables
WHERE NOT (has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')
    AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))
"""
_SCHEMAS_OF_OTHERS = """
SELECT string_agg(nspname, ', ' ORDER BY nspname) FROM pg_namespace
WHERE nspname = ANY($1) AND nspname <> $2 AND has_schema_privilege(nspname, 'USAGE')
"""


async def check_postgres(deployment: Deployment, clock: Clock) -> list[Findings]:
    """Look at the database as each service does, with its own role where that is known."""
    server, clocks = Findings("postgresql"), Findings("clock")
    migrations, rights, outbox = Findings("migrations"), Findings("rights"), Findings("outbox")
    seen: set[str] = set()
    if not deployment.postgres:
        server.skip("server", "no URL is here")
    for service, url in deployment.postgres.items():
        try:
            connection = await Servers(url).connect(_SECONDS, command_timeout=_SECONDS)
        except TargetServerAttributeNotMatched:
            server.problem(
                "writing",
                f"{service} finds no server that can be written to",
                "it may be a standby, or demoted: the URL has to lead to the primary",
            )
            continue
        except _FAULTS as error:
            server.problem(
                service,
                f"cannot be reached: {reason(error)}",
                f"DRAGOMAN_{service.upper()}_POSTGRES_URL names it, or DRAGOMAN_POSTGRES_URL",
            )
            continue
        try:
            address = url.rpartition("@")[2]
            if address not in seen:
                seen.add(address)
                await _check_server(connection, server, clocks, clock)
            if await _check_revision(connection, service, migrations):
                if service in deployment.own_roles:
                    await _check_rights(connection, service, rights)
                else:
                    rights.skip(service, "its own role is not here")
                await _check_outbox(connection, service, outbox)
        except _FAULTS as error:
            server.problem(service, f"could not be looked at: {reason(error)}", "the service's role may lack rights")
        finally:
            await connection.close(timeout=_SECONDS)
    return [server, clocks, migrations, rights, outbox]


async def _check_server(
    connection: "asyncpg.Connection[asyncpg.Record]", server: Findings, clocks: Findings, clock: Clock
) -> None:
    check_version(server, "server", str(await connection.fetchval("SHOW server_version")), POSTGRESQL)
    before = clock.now()
    told = await connection.fetchval("SELECT clock_timestamp()")
    check_clock(clocks, "postgresql", before, told, clock.now())


async def _check_revision(connection: "asyncpg.Connection[asyncpg.Record]", service: str, migrations: Findings) -> bool:
    """Whether the schema is there at all."""
    newest = _newest_revision(service)
    try:
        stands_at = str(await connection.fetchval(f"SELECT version_num FROM {service}.migrations"))
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        migrations.problem(service, "was never migrated", "dragoman migrate")
        return False
    if stands_at < newest:
        migrations.problem(service, f"stands at {stands_at}, this version has {newest}", "dragoman migrate")
    elif stands_at > newest:
        migrations.ok(service, f"stands at {stands_at}, newer than this version's {newest}")
    else:
        migrations.ok(service, f"stands at {stands_at}")
    return True


def _newest_revision(service: str) -> str:
    return max(path.name.partition("_")[0] for path in (ROOT / "services" / service / "migrations").glob("[0-9]*_*.py"))


async def _check_rights(connection: "asyncpg.Connection[asyncpg.Record]", service: str, rights: Findings) -> None:
    if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        rights.warn(service, "its role is a superuser", "a role of its own, made by dragoman migrate, keeps others out")
        return
    lacking = await connection.fetchval(_WITHOUT_RIGHTS, service)
    others = await connection.fetchval(_SCHEMAS_OF_OTHERS, list(SERVICES), service)
    if lacking:
        rights.problem(service, f"its role cannot use {lacking}", "dragoman migrate gives it what it needs")
    elif others:
        rights.warn(service, f"its role can also use the schemas {others}", "revoke that: each service has one schema")
    else:
        rights.ok(service, "its own schema and no other")


async def _check_outbox(connection: "asyncpg.Connection[asyncpg.Record]", service: str, outbox: Findings) -> None:
    row = await connection.fetchrow(
        f"SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(created_at)), 0) AS age "
        f"FROM {service}.outbox"
    )
    assert row is not None
    waiting, age = int(row["waiting"]), float(row["age"])
    if age > _OLDEST_EVENT_SECONDS:
        outbox.warn(
            service,
            f"{waiting} events wait, the oldest for {age:.0f} s",
            f"is {service} running and connected, and were the subscribers ever started?",
        )
    else:
        outbox.ok(service, f"{waiting} events wait")
