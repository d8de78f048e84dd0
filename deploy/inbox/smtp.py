"""The SMTP server: whatever arrives is decoded and kept in the mailbox."""

import asyncio
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import uuid4

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from deploy.inbox.faults import FaultSwitch
from deploy.inbox.mailbox import Mailbox

MESSAGE_LIMIT_BYTES = 1024 * 1024


async def serve_smtp(mailbox: Mailbox, switch: FaultSwitch, host: str, port: int) -> asyncio.Server:
    """Starts an SMTP server on the running loop; port 0 picks a free one. Raises OSError when it cannot listen."""
    loop = asyncio.get_running_loop()
    handler = _Handler(mailbox, switch)

    def session() -> SMTP:
        return SMTP(
            handler,
            data_size_limit=MESSAGE_LIMIT_BYTES,
            enable_SMTPUTF8=True,
            hostname="inbox",  # otherwise each connection asks the DNS for this machine's name
            ident="development inbox",
            authenticator=_accept_any,
            auth_require_tls=False,
            loop=loop,
        )

    return await loop.create_server(session, host, port)


def _accept_any(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, _data: object) -> AuthResult:
    return AuthResult(success=True)


class _Handler:
    """Answers RCPT and DATA for all connections; aiosmtpd fixes the names and the arguments."""

    def __init__(self, mailbox: Mailbox, switch: FaultSwitch) -> None:
        self._mailbox = mailbox
        self._switch = switch

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        match self._switch.faults.smtp:
            case "reject":
                return "550 5.1.1 No such mailbox"
            case "tempfail":
                return "451 4.7.1 Try again later"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default)
        message_id = str(message["message-id"] or f"<{uuid4()}@inbox>").strip()
        self._mailbox.add("email", message_id, envelope.rcpt_tos, str(message["subject"] or ""), _text(message))
        match self._switch.faults.smtp:
            case "drop_after_data":
                assert server.transport is not None
                server.transport.close()
                # The end of the connection cancels this task; going on would write to what is closed.
                await asyncio.get_running_loop().create_future()
            case "slow":
                await self._switch.linger()
        return "250 OK"


def _text(message: EmailMessage) -> str:
    """The plain text of a message, else its HTML source; unknown character sets are read as UTF-8."""
    body = message.get_body(("plain", "html"))
    if body is None:
        return ""
    raw = body.get_payload(decode=True)
    assert isinstance(raw, bytes)
    try:
        text = raw.decode(body.get_content_charset("utf-8"), "replace")
    except LookupError:
        text = raw.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").rstrip("\n")
