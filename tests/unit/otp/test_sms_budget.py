"""The budget of text messages where Redis has gone."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from services.otp.metrics import OtpMetrics
from services.otp.repository import SentSms
from services.otp.settings import OtpSettings
from services.otp.sms_budget import SmsBudget
from services.otp.sms_counts import SmsCounts, SmsLimits, Stop
from shared.errors import Error, ErrorCode, unavailable
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.unit.otp.test_settings import ENVIRONMENT


class CountsAway(SmsCounts):
    """Counts whose Redis does not answer."""

    def __init__(self) -> None: ...

    async def admit(self, sms: SentSms, limits: SmsLimits, *, count: bool) -> Stop | None:
        """Fail."""
        raise unavailable("redis is unavailable")

    async def use(self, sms: SentSms, window: timedelta) -> None:
        """Fail."""
        raise unavailable("redis is unavailable")


@pytest.fixture
def budget() -> SmsBudget:
    """A budget that cannot count."""
    telemetry, clock = Telemetry("otp"), FakeClock()
    return SmsBudget(OtpSettings.load(ENVIRONMENT), CountsAway(), OtpMetrics(telemetry.registry), clock, telemetry.log)


async def test_nothing_is_sent_that_cannot_be_counted(budget: SmsBudget) -> None:
    """Without the counts nobody knows whether a message may be sent, so that none is."""
    for count in (True, False):
        with pytest.raises(Error) as refused:
            await budget.spend(budget.to("+4915112345678", FakeClock().now()), count=count)
        assert refused.value.code == ErrorCode.UNAVAILABLE


async def test_a_right_code_stays_right_when_its_use_cannot_be_counted(budget: SmsBudget) -> None:
    """Whoever typed in a code is signed in even if Redis goes right after it was spent; operators are told."""
    with capture_logs() as logs:
        await budget.used(budget.to("+4915112345678", FakeClock().now()))
    assert [line["event"] for line in logs] == ["the use of a code is not counted"]
