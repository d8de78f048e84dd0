"""`make verify-deploy`: image, compose file and chart, as far as this machine goes; prints a table of what ran.

A bare Debian 12 with root is enough. What is missing is fetched: a Docker engine, which is started by hand and stopped
again, images to build on, Compose, helm and Kubernetes' schemas. Images and programs stay in .run/verify for the next
time; nothing is left running. With DOCKER_HOST, or where an engine answers, that one is used instead.
"""

import argparse
import signal
import sys
import time

from deploy.servers import ServerError
from deploy.servers.places import locked
from deploy.verify.chart import check_chart
from deploy.verify.commands import WORK
from deploy.verify.containers import check_containers
from deploy.verify.table import Table

_PARTS = {"chart": check_chart, "containers": check_containers}


def main() -> int:
    """Tries everything, or the parts that are named; returns 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m deploy.verify", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{' or '.join(_PARTS)}; by default both")
    parts = parser.parse_args().parts or list(_PARTS)
    if unknown := [part for part in parts if part not in _PARTS]:
        parser.error(f"there is no part {unknown[0]}")
    # Whatever ends it, containers and engine are stopped on the way out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    began = time.monotonic()
    table = Table(lambda line: print(line, flush=True))
    try:
        with locked(WORK):
            for part in parts:
                _PARTS[part](table)
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
    print("\n" + "\n".join(table.lines()))
    print(f"{'something failed' if table.failed else 'all is well'}, after {time.monotonic() - began:.0f} s")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
