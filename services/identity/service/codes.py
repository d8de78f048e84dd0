"""One-time codes, which `otp` makes and checks."""

from datetime import datetime

from services.identity.domain import accounts
from services.identity.repository.users import UserRepository
from services.identity.service.security_settings import SecuritySettingsService
from services.identity.settings import IdentitySettings
from shared import identifiers
from shared.bus.bus import Bus
from shared.contracts import identity as contract
from shared.contracts.identity import CodeSent
from shared.contracts.otp import CheckCode, IssueCode, Purpose
from shared.errors import Error, ErrorCode

_REFUSED = {ErrorCode.WRONG_CODE, ErrorCode.CODE_EXPIRED, ErrorCode.TOO_MANY_ATTEMPTS}


class CodeService:
    """Has codes sent, and spends them."""

    def __init__(
        self, settings: IdentitySettings, security: SecuritySettingsService, users: UserRepository, bus: Bus
    ) -> None:
        self._settings = settings
        self._security = security
        self._users = users
        self._bus = bus

    async def send_code(self, call: contract.SendCode) -> CodeSent:
        """Send a sign-in code, or do everything but send it when nobody may have one.

        The answer repeats the requested address in its canonical form, never a stored one, which would tell a stranger.
        """
        security = await self._security.values()
        if not security.otp_enabled:
            raise Error(ErrorCode.FEATURE_DISABLED, "one time passwords are disabled")
        if call.email is not None:
            address = identifiers.email(call.email)
        else:
            address = identifiers.phone(call.phone or "", self._settings.default_region)
        user = await self._users.find(address)
        welcome = security.allow_new_users if user is None else user.state == "active"
        account = accounts.of(address, address.value, user)
        try:
            await self._bus.call(
                IssueCode(
                    account=account if welcome else accounts.nobody(f"{address.kind}:{address.value}"),
                    purpose="sign_in",
                    channel="email" if address.kind == "email" else "sms",
                    address=address.value,
                    deliver=welcome,
                    ttl_seconds=security.otp_ttl_seconds,
                )
            )
        except Error as error:
            if error.code == ErrorCode.INVALID_REQUEST and error.detail.get("field") == "address":
                raise Error(error.code, error.message, detail=error.detail | {"field": address.kind}) from None
            raise
        return CodeSent(**{address.kind: address.value})

    async def may_be_sign_in_code(self, secret: str) -> bool:
        """Whether a secret has the form of a sign-in code, where there are any."""
        has_form = secret.isascii() and secret.isdigit() and 6 <= len(secret) <= 8
        return has_form and (await self._security.values()).otp_enabled

    async def is_live(self, account: str, purpose: Purpose, code: str, source: str | None = None) -> bool:
        """Spend a code; False when it is refused, whatever the reason. Raises `unavailable`."""
        try:
            await self.spend(account, purpose, code, source=source)
        except Error as error:
            if error.code in _REFUSED:
                return False
            raise
        return True

    async def spend(
        self,
        account: str,
        purpose: Purpose,
        code: str,
        not_before: datetime | None = None,
        *,
        source: str | None = None,
        keep: bool = False,
    ) -> None:
        """Spend a code, which has to be made at `not_before` or later, or `keep` it.

        `source` is the blinded name of a network that the account knows, where the guesses of others do not count.
        Errors: wrong_code, code_expired, too_many_attempts, unavailable.
        """
        await self._bus.call(
            CheckCode(account=account, purpose=purpose, code=code, not_before=not_before, source=source, spend=not keep)
        )
