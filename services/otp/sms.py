"""Codes by SMS, over HTTP.

Source: https://www.twilio.com/docs/messaging/api/message-resource
"""

from json import JSONDecodeError
from uuid import UUID

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, encode_basic_auth, hdrs

from services.otp.messages import Text
from services.otp.senders import SEND_SECONDS, Refused
from services.otp.settings import OtpSettings
from shared.errors import unavailable

_TRY_AGAIN = frozenset({408, 425, 429})
"""The only 4xx that say nothing of the message."""


class SmsSender:
    """Posts messages as Twilio's form to the provider of the settings."""

    def __init__(self, settings: OtpSettings, http: ClientSession) -> None:
        self._url = settings.sms_url
        self._from = settings.sms_from
        self._http = http
        self._headers = {}
        if settings.sms_username:
            password = settings.sms_password.get_secret_value()
            self._headers[hdrs.AUTHORIZATION] = encode_basic_auth(settings.sms_username, password)

    async def send(self, delivery_id: UUID, address: str, text: Text) -> None:
        """See `Sender`; the delivery's id becomes the idempotency token."""
        try:
            async with self._http.post(
                self._url,
                data={"To": address, "From": self._from, "Body": text.body},
                headers=self._headers | {"I-Twilio-Idempotency-Token": str(delivery_id)},
                timeout=ClientTimeout(total=SEND_SECONDS),
                allow_redirects=False,  # the credentials are for this address alone
            ) as response:
                if 200 <= response.status < 300:
                    return
                reason = await _reason(response)
        except (ClientError, OSError, TimeoutError) as error:
            raise unavailable(f"the SMS provider did not answer: {type(error).__name__}") from None
        if 400 <= response.status < 500 and response.status not in _TRY_AGAIN:
            raise Refused(reason)
        raise unavailable(f"the SMS provider did not take a message: {reason}")


async def _reason(response: ClientResponse) -> str:
    try:
        answer = await response.json(content_type=None)
    except (JSONDecodeError, UnicodeDecodeError):
        answer = None
    code = answer.get("code") if isinstance(answer, dict) else None
    return f"http {response.status}, code {code}" if isinstance(code, int) else f"http {response.status}"
