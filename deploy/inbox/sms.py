"""The SMS endpoint: takes and answers what Twilio's Messages resource does, and keeps the text in the mailbox.

Any Basic credentials do. A request that repeats an idempotency key gets the first answer again and keeps nothing;
the newest 1,000 keys are remembered until the process ends. Errors are JSON in Twilio's shape.
Source: https://www.twilio.com/docs/messaging/api/message-resource
"""

from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from uuid import uuid4

from aiohttp import hdrs, web

from deploy.inbox.faults import FaultSwitch
from deploy.inbox.mailbox import KEPT_MESSAGES, Mailbox

_IDEMPOTENCY_HEADERS = ("Idempotency-Key", "I-Twilio-Idempotency-Token")
_MISSING = {
    "To": (21604, "A 'To' phone number is required."),
    "From": (21603, "A 'From' phone number is required."),
    "Body": (21602, "Message body is required."),
}


class SmsEndpoint:
    """Answers `POST /sms/Messages.json`; `clock` gives the current time in UTC."""

    def __init__(self, mailbox: Mailbox, switch: FaultSwitch, clock: Callable[[], datetime]) -> None:
        self._mailbox = mailbox
        self._switch = switch
        self._clock = clock
        self._answers: dict[str, dict[str, object]] = {}

    async def post(self, request: web.Request) -> web.Response:
        """Keeps the message and answers 201; 400 for a missing field, 401 without credentials."""
        account = _account(request)
        if account is None:
            response = _error(401, 20003, "Authenticate")
            response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="Twilio API"'
            return response
        match self._switch.faults.sms:
            case "http400":
                return _error(400, 21211, "The 'To' number is not a valid phone number.")
            case "http500":
                return _error(500, 20500, "Internal Server Error")
        fields = await _fields(request)
        for name, (code, text) in _MISSING.items():
            if not fields.get(name):
                return _error(400, code, text)
        answer = self._send_once(account, fields, _idempotency_key(request))
        match self._switch.faults.sms:
            case "drop":
                if request.transport is not None:
                    request.transport.close()
            case "slow":
                await self._switch.linger()
        return web.json_response(answer, status=201)

    def _send_once(self, account: str, fields: dict[str, str], key: str | None) -> dict[str, object]:
        if key is not None and key in self._answers:
            return self._answers[key]
        sid = f"SM{uuid4().hex}"
        self._mailbox.add("sms", sid, [fields["To"]], "", fields["Body"])
        answer = _answer(sid, account, fields, format_datetime(self._clock()))
        if key is not None:
            self._answers[key] = answer
            if len(self._answers) > KEPT_MESSAGES:
                del self._answers[next(iter(self._answers))]
        return answer


def _account(request: web.Request) -> str | None:
    scheme, _, credentials = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    try:
        account, colon, _ = b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return None
    return account if scheme.lower() == "basic" and colon else None


def _idempotency_key(request: web.Request) -> str | None:
    return next((request.headers[name] for name in _IDEMPOTENCY_HEADERS if request.headers.get(name)), None)


async def _fields(request: web.Request) -> dict[str, str]:
    """The form's text fields; none when the body cannot be read as a form, so that the first one counts as missing."""
    try:
        form = await request.post()
    except (ValueError, LookupError):
        return {}
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _error(status: int, code: int, text: str) -> web.Response:
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return web.json_response({"code": code, "message": text, "more_info": more_info, "status": status}, status=status)


def _answer(sid: str, account: str, fields: dict[str, str], date: str) -> dict[str, object]:
    uri = f"/2010-04-01/Accounts/{account}/Messages/{sid}"
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": fields["Body"],
        "date_created": date,
        "date_sent": None,
        "date_updated": date,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": fields["From"],
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": "queued",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": fields["To"],
        "uri": f"{uri}.json",
    }
