"""Opening a port, and the end of a component that cannot have its own."""

from typing import Any

from aiohttp import web

from shared.settings import PREFIX
from shared.telemetry import Telemetry


class CannotListenError(Exception):
    """A port could not be opened; the log says which and why."""


async def listen(
    runner: web.AppRunner, telemetry: Telemetry, host: str, port: int, *, setting: str = "", **options: Any
) -> int:
    """Have `runner` answer at an address; returns the port in use (`port` 0 picks a free one).

    `setting` is what the names of the two settings have between the component's name and HOST or PORT; `options` are
    aiohttp's. Raises `CannotListenError`, once the log has a line with the reason and with these names.
    """
    try:
        await web.TCPSite(runner, host, port, **options).start()
    except OSError as error:
        own = f"{PREFIX}{telemetry.component}_{setting}".upper()
        reason = error.strerror or str(error)
        names = [f"{own}HOST", f"{own}PORT"]
        telemetry.log.error("cannot listen", host=host, port=port, reason=reason, settings=names)  # noqa: TRY400 - no bug
        raise CannotListenError from None
    bound: int = runner.addresses[0][1]
    return bound
