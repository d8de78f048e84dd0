"""Codes by e-mail."""

import asyncio
import re
from datetime import UTC
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from uuid import UUID

import aiosmtplib

from services.otp.messages import Text
from services.otp.senders import SEND_SECONDS, Refused
from services.otp.settings import OtpSettings
from shared.clock import Clock
from shared.errors import unavailable

_ABOUT_US = (aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPConnectResponseError, aiosmtplib.SMTPHeloError)
"""Refusals that say nothing of the message: the operator can mend them while the code lives."""

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


class SmtpSender:
    """Sends plain text through the SMTP server of the settings, one connection for each message."""

    def __init__(self, settings: OtpSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._domain = parseaddr(settings.mail_from)[1].rpartition("@")[2]

    async def send(self, delivery_id: UUID, address: str, text: Text) -> None:
        """See `Sender`; the delivery's id becomes the Message-ID."""
        settings = self._settings
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await aiosmtplib.send(
                    self._message(delivery_id, address, text),
                    hostname=settings.smtp_host,
                    port=settings.smtp_port,
                    username=settings.smtp_username or None,
                    password=settings.smtp_password.get_secret_value() or None,
                    use_tls=settings.smtp_tls == "tls",
                    start_tls=settings.smtp_tls == "starttls",
                    timeout=SEND_SECONDS,
                    local_hostname=self._domain,  # else the DNS is asked for this machine's name, each time
                )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            reason = _reason(error)
            if _is_final(error):
                raise Refused(reason) from None
            raise unavailable(f"the mail server did not take a message: {reason}") from None

    def _message(self, delivery_id: UUID, address: str, text: Text) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._settings.mail_from
        message["To"] = address
        message["Subject"] = text.subject
        message["Date"] = format_datetime(self._clock.now().astimezone(UTC))
        message["Message-ID"] = f"<{delivery_id}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text.body)
        return message


def _answer(error: Exception) -> aiosmtplib.SMTPResponseException | None:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return error.recipients[0]
    return error if isinstance(error, aiosmtplib.SMTPResponseException) else None


def _is_final(error: Exception) -> bool:
    if isinstance(error, aiosmtplib.SMTPNotSupported):  # an address that this server cannot write
        return True
    answer = _answer(error)
    return answer is not None and answer.code >= 500 and not isinstance(answer, _ABOUT_US)


def _reason(error: Exception) -> str:
    answer = _answer(error)
    if answer is None:
        return type(error).__name__
    enhanced = _ENHANCED.match(answer.message)
    return f"smtp {answer.code} {enhanced[0]}" if enhanced else f"smtp {answer.code}"
