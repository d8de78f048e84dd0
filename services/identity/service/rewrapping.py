"""A change of the secret key: what is stored under the one before is stored anew."""

from services.identity.domain.recovery_codes import RecoveryCodes
from services.identity.domain.totp import SecretBox
from services.identity.repository.second_factors import SecondFactorRepository
from shared.contracts import identity as contract
from shared.contracts.identity import SecretsRewrapped
from shared.errors import Error
from shared.telemetry import Telemetry


class RewrappingService:
    """Encrypts TOTP secrets under the current key, and keeps their recovery codes by it."""

    def __init__(
        self, factors: SecondFactorRepository, box: SecretBox, recovery_codes: RecoveryCodes, telemetry: Telemetry
    ) -> None:
        self._factors = factors
        self._box = box
        self._recovery_codes = recovery_codes
        self._log = telemetry.log

    async def rewrap_secrets(self, call: contract.RewrapSecrets) -> SecretsRewrapped:
        """Go through one page of users; what is stored under the current key stays as it is, so a repeat does no harm.

        A secret that neither key can read is counted and stays: the right key may still be found.
        """
        limit = min(max(call.limit, 1), 1000)
        page = await self._factors.wrapped(call.after, limit)
        rewrapped = unreadable = 0
        for user_id, wrapped in page:
            if self._box.is_current(user_id, wrapped):
                continue
            try:
                secret = self._box.unwrap(user_id, wrapped)
            except Error as error:
                self._log.error("secret is unreadable", user_id=str(user_id), reason=error.message)
                unreadable += 1
                continue
            anew, digests = self._box.wrap(user_id, secret), self._recovery_codes.rekeyed(user_id, secret)
            rewrapped += await self._factors.rewrap(user_id, wrapped, anew, digests)
        following = page[-1][0] if len(page) == limit else None
        return SecretsRewrapped(rewrapped=rewrapped, unreadable=unreadable, next=following)
