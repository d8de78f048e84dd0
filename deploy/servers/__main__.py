"""`python -m deploy.servers` runs the three servers in the foreground; `… remove` removes what they have kept."""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

from deploy.servers.errors import ServerError
from deploy.servers.provide import ServerNames, provide, remove


def main() -> int:
    """Prints three `export` lines as soon as the servers are ready, and stops them on Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m deploy.servers", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", "remove"), default="run")
    parser.add_argument("--directory", type=Path, default=Path(".run/servers"), help="where data and logs are kept")
    parser.add_argument("--fast", action="store_true", help="for tests: nothing is durable or kept")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments.command == "remove":
            remove(arguments.directory)
        else:
            _run(arguments.directory, fast=arguments.fast)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    return 0


def _run(directory: Path, *, fast: bool) -> None:
    names = ServerNames()
    with provide(directory, os.environ, names, lambda line: print(line, file=sys.stderr), fast=fast) as servers:
        for variable, url in (
            (names.postgres, servers.postgres_url),
            (names.redis, servers.redis_url),
            (names.rabbitmq, servers.rabbitmq_url),
        ):
            print(f"export {variable}={shlex.quote(url)}", flush=True)
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
