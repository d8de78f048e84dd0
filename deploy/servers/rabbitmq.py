"""A private RabbitMQ node with its own name, cookie and epmd."""

import base64
import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path

from deploy.servers.errors import ServerError
from deploy.servers.places import free_port, kept, write_private
from deploy.servers.probes import accepts, rabbitmq_answers
from deploy.servers.process import ServerProcess
from deploy.servers.server import Server

ADMINISTRATOR = "dragoman"
# The packages' wrapper in sbin insists on the user rabbitmq; the script behind it does not.
SCRIPTS = (
    "usr/lib/rabbitmq/bin/rabbitmq-server",
    "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
    "opt/rabbitmq/sbin/rabbitmq-server",
    "opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)
EPMDS = ("usr/lib/erlang/erts-*/bin/epmd", "usr/local/lib/erlang/erts-*/bin/epmd")


def find_rabbitmq() -> tuple[str, str] | None:
    """The node's start script and epmd on this machine, or None when one of them is missing."""
    script, epmd = _first(SCRIPTS), shutil.which("epmd") or _first(EPMDS)
    return (script, epmd) if script and epmd else None


class RabbitServer(Server):
    """RabbitMQ that loads its definitions at each start and keeps what was added later.

    Args:
        directory: the node's folder.
        port: the AMQP port; by default a free one.
        definitions: RabbitMQ's definitions document. A user `dragoman` with the generated password, who administers all
            its virtual hosts, is added unless there is one; without definitions he and the virtual host `/` are all.
        fast: kept for likeness with the other servers; a broker has nothing to gain.
    """

    name = "rabbitmq"

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        definitions: dict[str, object] | None = None,
        *,
        fast: bool = False,
    ) -> None:
        super().__init__(directory, port, fast=fast)
        self._definitions = definitions
        self._epmd: ServerProcess | None = None
        self._epmd_port = free_port()

    @property
    def url(self) -> str:
        """Where clients connect as the administrator: the virtual host `/`."""
        return f"amqp://{ADMINISTRATOR}:{self.password}@127.0.0.1:{self.port}/"

    def launch(self) -> None:
        """Starts epmd, then the node, and does not wait until it is ready."""
        if self._epmd is None:
            self._epmd = self._prepare_epmd()
        self._epmd.launch()
        self._epmd.wait_until_ready(lambda: accepts(self._epmd_port), 30.0)
        super().launch()

    def stop(self) -> None:
        """Ends the node in an orderly way, then its epmd; its data stays."""
        if self._process is not None:
            self._process.resume()
            if not self._ready():
                self._process.kill()  # Erlang hears SIGTERM only after its start
        super().stop()
        if self._epmd is not None:
            self._epmd.stop()

    def _ready(self) -> bool:
        return rabbitmq_answers(self.port)

    def _prepare_epmd(self) -> ServerProcess:
        # Started by Erlang itself, epmd becomes a daemon that outlives everything and is shared by all nodes.
        command = [_programs()[1], "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        return ServerProcess("epmd", command, self.directory / "epmd.log", environment={"PATH": os.environ["PATH"]})

    def _prepare(self) -> ServerProcess:
        definitions = self.directory / "definitions.json"
        write_private(definitions, json.dumps(with_administrator(self._definitions, self.password)))
        write_private(self.directory / "rabbitmq.conf", rabbitmq_configuration(f"127.0.0.1:{self.port}", definitions))
        write_private(self.directory / "enabled_plugins", "[].\n")
        cookie = self.directory / ".erlang.cookie"
        kept(cookie, lambda: secrets.token_hex(20))
        cookie.chmod(0o400)
        return ServerProcess(self.name, [_programs()[0]], self._log, environment=self._environment())

    def _environment(self) -> dict[str, str]:
        absent = self.directory / "absent"
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.directory),  # where Erlang looks for the cookie
            "ERL_CRASH_DUMP": str(self.directory / "erl_crash.dump"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(absent),
            "RABBITMQ_ALLOW_INPUT": "true",  # the script then becomes the server: one process, one pid
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(absent),
            "RABBITMQ_CONF_ENV_FILE": str(absent),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(self.directory),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_NODENAME": kept(self.directory / "node", lambda: f"dragoman-{secrets.token_hex(4)}@localhost"),
            # +sbwt none: its schedulers sleep instead of spinning, which on two cores is what others start with.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1} "
            "+sbwt none +sbwtdcpu none +sbwtdio none",
        }


def with_administrator(definitions: dict[str, object] | None, password: str) -> dict[str, object]:
    """A copy of the definitions in which the user `dragoman` administers every virtual host."""
    document = {"vhosts": [{"name": "/"}], "users": [], "permissions": []} | (definitions or {})
    vhosts, users, permissions = (_entries(document, part) for part in ("vhosts", "users", "permissions"))
    if all(user["name"] != ADMINISTRATOR for user in users):
        users.append({"name": ADMINISTRATOR, "password_hash": password_hash(password), "tags": ["administrator"]})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        permissions += [{"user": ADMINISTRATOR, "vhost": vhost["name"], **everything} for vhost in vhosts]
    return document | {"users": users, "permissions": permissions}


def rabbitmq_configuration(listener: str, definitions: Path) -> str:
    """The text of a rabbitmq.conf."""
    return "\n".join(
        (
            f"listeners.tcp.1 = {listener}",
            f"load_definitions = {definitions}",
            "log.file = false",
            "log.console = true",
            "disk_free_limit.absolute = 50MB",
            "",
        )
    )


def password_hash(password: str) -> str:
    """A password as RabbitMQ's definitions write it: base64 of a salt and the SHA-256 of salt and password."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _entries(document: dict[str, object], part: str) -> list[dict[str, object]]:
    entries = document[part]
    if not isinstance(entries, list):
        raise ServerError(f"the broker's definitions have no list of {part}")
    return list(entries)


def _programs() -> tuple[str, str]:
    found = find_rabbitmq()
    if found is None:
        raise ServerError("rabbitmq is not installed")
    return found


def _first(patterns: tuple[str, ...]) -> str | None:
    found = sorted((path for pattern in patterns for path in Path("/").glob(pattern)), reverse=True)
    return str(found[0]) if found else None
