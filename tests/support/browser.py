"""Chromium without a screen, spoken to by the W3C's WebDriver protocol, which is JSON over HTTP."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from deploy.servers import packages
from deploy.servers.process import ServerProcess

_START_SECONDS = 60.0
_PATIENCE_SECONDS = 30
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name under which the protocol hands an element over (WebDriver §12.1)."""
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # its sandbox refuses root, which tests may be run by
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",  # it asks nobody outside
)


class Browser:
    """One window of one browser, whose cookies nobody else has. Elements are named by CSS selectors, and awaited."""

    def __init__(self, http: ClientSession, session: str) -> None:
        self._http = http
        self._session = session

    async def open(self, url: str) -> None:
        """Go there, as somebody who types the address; returns when the page has loaded."""
        await self._do("POST", "url", url=url)

    async def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        await self._do("POST", f"element/{await self._find(selector)}/value", text=text)

    async def click(self, selector: str) -> None:
        """Click; returns when the page to which that leads has loaded."""
        await self._do("POST", f"element/{await self._find(selector)}/click")

    async def text(self, selector: str) -> str:
        """What an element says."""
        return str(await self._do("GET", f"element/{await self._find(selector)}/text"))

    async def script(self, code: str) -> Any:
        """What a script returns that runs in the page."""
        return await self._do("POST", "execute/sync", script=code, args=[])

    async def url(self) -> str:
        """Where it is."""
        return str(await self._do("GET", "url"))

    async def cookie(self, name: str) -> dict[str, Any]:
        """A cookie that it would send to where it is, with its attributes."""
        found: dict[str, Any] = await self._do("GET", f"cookie/{name}")
        return found

    async def _find(self, selector: str) -> str:
        element = await self._do("POST", "element", using="css selector", value=selector)
        return str(element[_ELEMENT])

    async def _do(self, method: str, command: str, **body: Any) -> Any:
        return await _command(self._http, method, f"/session/{self._session}/{command}", body)


@asynccontextmanager
async def browser(directory: Path) -> AsyncIterator[Browser]:
    """Install what is missing, open a browser with nothing in it, and close it."""
    program, driver = await asyncio.to_thread(_programs)
    process = ServerProcess("chromedriver", [driver, "--port=0"], directory / "chromedriver.log")
    try:
        process.launch()
        await asyncio.to_thread(process.wait_until_ready, lambda: _port(process) is not None, _START_SECONDS)
        url = f"http://127.0.0.1:{_port(process)}"
        async with ClientSession(url, timeout=ClientTimeout(2 * _PATIENCE_SECONDS)) as http:
            options = {"binary": program, "args": [*_ARGUMENTS, f"--user-data-dir={directory / 'profile'}"]}
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "timeouts": {"implicit": 1000 * _PATIENCE_SECONDS, "pageLoad": 1000 * _PATIENCE_SECONDS},
            }
            opened = await _command(http, "POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            try:
                yield Browser(http, opened["sessionId"])
            finally:
                await _command(http, "DELETE", f"/session/{opened['sessionId']}", {})
    finally:
        await asyncio.to_thread(process.stop)


async def _command(http: ClientSession, method: str, path: str, body: dict[str, Any]) -> Any:
    async with http.request(method, path, json=body if method == "POST" else None) as response:
        value = (await response.json())["value"]
        assert response.status == 200, value
        return value


def _port(driver: ServerProcess) -> int | None:
    found = re.search(r"started successfully on port (\d+)", driver.log.read_text())
    return int(found[1]) if found else None


def _programs() -> tuple[str, str]:
    if not _found() and packages.can_install():
        packages.install(["chromium"])
    found = _found()
    assert found is not None, "a browser is missing: install the packages chromium and chromium-driver"
    return found


def _found() -> tuple[str, str] | None:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return (program, driver) if program and driver else None
