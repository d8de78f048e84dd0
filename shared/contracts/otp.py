"""What `otp` answers and tells: one-time codes and their delivery."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.bus.messages import Call, Done, Event, Reply

Channel = Literal["email", "sms"]
Purpose = Literal["sign_in", "second_factor", "password_reset", "password_reset_link"]
"""What a code is for; one of one purpose is never accepted for another."""


class CodeIssued(Reply):
    """A code is live until `expires_at`."""

    expires_at: datetime


class IssueCode(Call[CodeIssued], subject="otp.issue_code.v1", callers=("identity",), idempotent=True):
    """Make a code for `account` and send it; inside the resend window the same code goes out again.

    `account` names who may use it (a user id, or an address nobody has yet) and is never stored readable.
    `deliver=False` does the same work and sends nothing, so that unknown users look like known ones.
    `link` is for the purpose `password_reset_link`: the text to send, in which `{code}` stands for a code of 256 bits
    rather than a few digits. `ttl_seconds` is the life of digits where it is not to be the service's own setting.
    A code made before `not_before` is not sent again, since `CheckCode` is to refuse it.
    Errors: invalid_request with `detail.field`, and `detail.reason` "prefix" for a number that no messages are sent to;
    feature_disabled without a provider of the channel; overloaded while no SMS may be sent to the number's country;
    unavailable.
    """

    account: str
    purpose: Purpose
    channel: Channel
    address: str
    deliver: bool = True
    link: str | None = None
    ttl_seconds: int | None = None
    not_before: datetime | None = None


class CheckCode(Call[Done], subject="otp.check_code.v1", callers=("identity",)):
    """Spend the live code of `account`, counting the attempt first. Not idempotent: a code works once.

    A link's code that we did not make is refused without an attempt, since none can be guessed. One made before
    `not_before` is a wrong code: what it was asked for was done in another way since then.
    `source` is the blinded name of a network from which the account was signed in to before; its attempts are counted
    apart from everybody else's. Without `spend` a right code is told as such and goes on living, and the attempt is
    given back.
    Errors: wrong_code (also when there is none), code_expired, too_many_attempts, unavailable (deny when in doubt).
    """

    account: str
    purpose: Purpose
    code: str
    not_before: datetime | None = None
    source: str | None = None
    spend: bool = True


class DeliveryRequested(Event, subject="otp.delivery_requested.v1", subscribers=("otp",), lane="channel"):
    """A code waits to be handed to the mail or SMS provider. The code itself is not in here: it is derived.

    A provider that hangs holds up its own codes alone.
    """

    code_id: UUID
    purpose: Purpose
    channel: Channel
    address: str
    expires_at: datetime
    link: str | None = None
