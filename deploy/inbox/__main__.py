"""Runs the inbox until SIGTERM or SIGINT: reads the options, starts both servers, says where they listen."""

import argparse
import asyncio
import signal
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from deploy.inbox.faults import FaultSwitch
from deploy.inbox.mailbox import Mailbox
from deploy.inbox.smtp import serve_smtp
from deploy.inbox.web import build_app


def main() -> None:
    """Runs the inbox; exits with 1 and one line when a port or the directory cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m deploy.inbox", description="development inbox for mail and SMS")
    parser.add_argument("--http-port", type=int, default=8025, help="port of the page and the JSON (default 8025)")
    parser.add_argument("--smtp-port", type=int, default=2525, help="port of the SMTP server (default 2525)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--directory", type=Path, help="keep messages here; in memory when left out")
    options = parser.parse_args()
    try:
        if options.directory is not None:
            options.directory.mkdir(parents=True, exist_ok=True)
        file = options.directory / "messages.jsonl" if options.directory is not None else None
        asyncio.run(_run(options.host, options.http_port, options.smtp_port, Mailbox(_utc_now, file)))
    except OSError as error:
        sys.exit(f"inbox: {error}")


async def _run(host: str, http_port: int, smtp_port: int, mailbox: Mailbox) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)

    switch = FaultSwitch()
    # A long poll may last 30 s; whoever stops the inbox does not wait for it.
    runner = web.AppRunner(
        build_app(mailbox, switch, _utc_now), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, http_port).start()
        # Closing does not wait for open connections, as `async with` does from Python 3.12 on.
        with closing(await serve_smtp(mailbox, switch, host, smtp_port)) as smtp:
            http = _address(runner.addresses[0])
            print(f"inbox http=http://{http} smtp=smtp://{_address(smtp.sockets[0].getsockname())}", flush=True)
            await stopped.wait()
    finally:
        await runner.cleanup()


def _address(socket_name: tuple[str, int]) -> str:
    host, port = socket_name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _utc_now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
