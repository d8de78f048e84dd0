"""What `otp` does for those who call it, one method per call."""

from collections.abc import Mapping
from datetime import timedelta

from services.otp.codes import LINK, Codes
from services.otp.messages import is_address, is_link
from services.otp.metrics import OtpMetrics
from services.otp.repository import Attempt, CodeRecords, Deliveries, NewCode, SentSms
from services.otp.senders import Sender
from services.otp.settings import LONGEST_TTL_SECONDS, SHORTEST_TTL_SECONDS, OtpSettings
from services.otp.sms_budget import SmsBudget
from shared.bus.messages import Done
from shared.clock import Clock
from shared.contracts.otp import Channel, CheckCode, CodeIssued, DeliveryRequested, IssueCode
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode

_REFUSALS = {
    "wrong_code": "the code is not the one that was sent",
    "code_expired": "the code has expired",
    "too_many_attempts": "too many wrong codes",
}


class OtpService:
    """Makes codes and checks them."""

    def __init__(
        self,
        settings: OtpSettings,
        codes: Codes,
        records: CodeRecords,
        deliveries: Deliveries,
        senders: Mapping[Channel, Sender],
        budget: SmsBudget,
        metrics: OtpMetrics,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._settings = settings
        self._codes = codes
        self._records = records
        self._deliveries = deliveries
        self._senders = senders
        self._budget = budget
        self._metrics = metrics
        self._clock = clock
        self._entropy = entropy

    async def issue_code(self, call: IssueCode) -> CodeIssued:
        """Make a code, or take the one made a moment ago, and have it sent; the package says when which.

        Without delivery every step is the same, but the code is a decoy and the delivery is withheld.
        Errors: feature_disabled when the channel has no provider, since asking again would not help; invalid_request
        with `detail.field`; overloaded when no SMS may be sent for now. Then the earlier code stays as it is, unless it
        is one of those that asked for the last message at once.
        """
        if call.channel not in self._senders:
            raise Error(ErrorCode.FEATURE_DISABLED, f"codes by {call.channel} are not set up")
        _check_message(call)
        settings, codes, now = self._settings, self._codes, self._clock.now()
        sms = self._budget.to(call.address, now) if call.channel == "sms" else None
        if sms is not None:
            await self._check_budget(call, sms)
        # A code that is made now counts, also where the clock by which older ones do not is ahead of ours.
        made_at = max(now, call.not_before or now)
        code_id = self._entropy.uuid()
        code = await self._records.issue(
            codes.account_name(call.account),
            call.purpose,
            NewCode(
                id=code_id,
                proof=codes.proof(call.account, call.purpose, codes.code(call.purpose, code_id)),
                decoy=not call.deliver,
                made_at=made_at,
                ttl=self._ttl(call),
            ),
            resend=timedelta(seconds=settings.resend_seconds),
            not_before=call.not_before,
            sms=sms,
        )

        async def spend() -> None:
            if sms is not None:
                await self._budget.spend(sms, count=call.deliver)

        requested = await self._deliveries.request(
            DeliveryRequested(
                code_id=code.id,
                purpose=call.purpose,
                channel=call.channel,
                address=call.address,
                expires_at=code.expires_at,
                link=call.link,
            ),
            codes.target_name(call.purpose, call.channel, call.address),
            withheld=not call.deliver,
            now=now,
            repeat=timedelta(seconds=settings.repeat_seconds),
            spend=spend,
        )
        if requested:
            self._metrics.issued.labels(call.channel).inc()
        return CodeIssued(expires_at=code.expires_at)

    async def _check_budget(self, call: IssueCode, sms: SentSms) -> None:
        """Refuse a message for which nothing is left, before the code is touched, but not the repeat of a request."""
        stop = await self._budget.stop(sms)
        if stop is None:
            return
        settings, codes = self._settings, self._codes
        account, resend = codes.account_name(call.account), timedelta(seconds=settings.resend_seconds)
        code_id = await self._records.resent(
            account, call.purpose, sms.at, resend, decoy=not call.deliver, not_before=call.not_before
        )
        target = codes.target_name(call.purpose, call.channel, call.address)
        repeat = timedelta(seconds=settings.repeat_seconds)
        if code_id is None or not await self._deliveries.is_repeat(code_id, target, sms.at, repeat):
            raise self._budget.refusal(sms, stop)

    def _ttl(self, call: IssueCode) -> timedelta:
        if call.purpose == LINK:
            return timedelta(seconds=self._settings.link_ttl_seconds)
        return timedelta(seconds=call.ttl_seconds or self._settings.code_ttl_seconds)

    async def check_code(self, call: CheckCode) -> Done:
        """Spend a code, or only look at it. What does not even look like one costs the account no attempt.

        The code of a link costs none at all: nobody can guess it, so that counting would only let strangers, or an
        account's used up attempts at other codes, keep its owner out.
        """
        outcome: str = ErrorCode.UNAVAILABLE
        try:
            outcome, wait = await self._check(call)
        finally:
            self._metrics.checks.labels(outcome).inc()
        if outcome != "accepted":
            raise Error(ErrorCode(outcome), _REFUSALS[outcome], retry_after=wait.total_seconds() or None)
        return Done()

    async def _check(self, call: CheckCode) -> tuple[str, timedelta]:
        if not self._codes.may_be_code(call.purpose, call.code):
            return ErrorCode.WRONG_CODE, timedelta(0)
        account = self._codes.account_name(call.account)
        attempt = Attempt(
            id=self._entropy.uuid(),
            proof=self._codes.proof(call.account, call.purpose, call.code),
            at=self._clock.now(),
            not_before=call.not_before,
            source=call.source,
            spend=call.spend,
        )
        if call.purpose == LINK:
            return await self._records.check_uncounted(account, call.purpose, attempt), timedelta(0)
        window = timedelta(seconds=self._settings.attempts_seconds)
        checked = await self._records.check(account, call.purpose, attempt, window)
        if checked.sms is not None:
            await self._budget.used(checked.sms)
        return checked.outcome, checked.wait


def _check_message(call: IssueCode) -> None:
    problem = None
    if not is_address(call.channel, call.address):
        problem = ("address", "the address is malformed")
    elif call.ttl_seconds is not None and call.purpose == LINK:
        problem = ("ttl_seconds", "the life of a link is the service's own setting")
    elif call.ttl_seconds is not None and not SHORTEST_TTL_SECONDS <= call.ttl_seconds <= LONGEST_TTL_SECONDS:
        problem = ("ttl_seconds", f"a code lives {SHORTEST_TTL_SECONDS} to {LONGEST_TTL_SECONDS} seconds")
    elif (call.link is not None) != (call.purpose == LINK):
        problem = ("link", f"a link goes with the purpose {LINK}, and with no other")
    elif call.link is not None and call.channel != "email":
        problem = ("channel", "links are sent by e-mail alone")
    elif call.link is not None and not is_link(call.link):
        problem = ("link", "the link is malformed, too long or has no place for the code")
    if problem is not None:
        raise Error(ErrorCode.INVALID_REQUEST, problem[1], detail={"field": problem[0]})
