"""The HTTP side of the inbox: the page, the messages as JSON, the fault switches and the SMS endpoint."""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.inbox.faults import Faults, FaultSwitch
from deploy.inbox.mailbox import DEFAULT_LIMIT, KEPT_MESSAGES, Mailbox, Query
from deploy.inbox.sms import SmsEndpoint

LONGEST_WAIT_SECONDS = 30

_PAGE = (Path(__file__).parent / "page.html").read_text("utf-8")


def build_app(mailbox: Mailbox, switch: FaultSwitch, clock: Callable[[], datetime]) -> web.Application:
    """Returns the application that serves all HTTP paths of the inbox; `clock` gives the current time in UTC."""
    handlers = _Handlers(mailbox, switch)
    app = web.Application()
    app.router.add_get("/", _page)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/messages.json", handlers.list_messages)
    app.router.add_delete("/messages.json", handlers.clear_messages)
    app.router.add_get("/faults", handlers.get_faults)
    app.router.add_put("/faults", handlers.put_faults)
    app.router.add_post("/sms/Messages.json", SmsEndpoint(mailbox, switch, clock).post)
    app.on_response_prepare.append(_harden)
    return app


class _ListParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: str | None = None
    after: int = Field(0, ge=0)
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=KEPT_MESSAGES)
    wait: float = Field(0, ge=0, le=LONGEST_WAIT_SECONDS)

    def query(self) -> Query:
        # An unescaped "+" of an address arrives as a space, and no address has a space of its own.
        to = self.to.replace(" ", "+") if self.to is not None else None
        return Query(to=to, after=self.after, limit=self.limit)


class _Handlers:
    def __init__(self, mailbox: Mailbox, switch: FaultSwitch) -> None:
        self._mailbox = mailbox
        self._switch = switch

    async def list_messages(self, request: web.Request) -> web.Response:
        try:
            parameters = _ListParameters.model_validate(dict(request.query))
        except ValidationError as error:
            return _bad_request(error)
        messages = await self._mailbox.wait(parameters.query(), parameters.wait)
        return web.json_response([asdict(message) for message in messages])

    async def clear_messages(self, _request: web.Request) -> web.Response:
        self._mailbox.clear()
        return web.Response(status=204)

    async def get_faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self._switch.faults.model_dump())

    async def put_faults(self, request: web.Request) -> web.Response:
        try:
            self._switch.set(Faults.model_validate_json(await request.read()))
        except ValidationError as error:
            return _bad_request(error)
        return await self.get_faults(request)


def _bad_request(error: ValidationError) -> web.Response:
    reasons = [".".join(map(str, part["loc"])) + ": " + part["msg"] for part in error.errors()]
    return web.json_response({"error": "; ".join(reasons)}, status=400)


async def _livez(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _page(_request: web.Request) -> web.Response:
    return web.Response(text=_PAGE, content_type="text/html", headers={"Content-Security-Policy": _POLICY})


def _source_hashes(element: str) -> str:
    contents = re.findall(rf"<{element}>(.*?)</{element}>", _PAGE, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'" for content in contents)


# Only the page's own script and style run, so nothing inside a message can, whatever it contains.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src {_source_hashes('script')}",
        f"style-src {_source_hashes('style')}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
