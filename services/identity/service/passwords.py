"""Passwords, which `password` keeps: proving one, and replacing one that is forgotten, old or given away."""

import unicodedata
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr

from services.identity.domain import accounts, reset_links
from services.identity.domain.challenges import required_factor
from services.identity.repository.users import UserRepository
from services.identity.service.attempts import Attempts
from services.identity.service.codes import CodeService
from services.identity.settings import IdentitySettings
from shared import identifiers
from shared.bus.bus import Bus
from shared.bus.messages import Done, Event
from shared.clock import Clock
from shared.contracts import identity as contract
from shared.contracts.identity import User
from shared.contracts.otp import IssueCode
from shared.contracts.password import CheckPasswordPolicy, SetPassword, VerifyPassword
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode
from shared.identifiers import Identifier

_NOWHERE = "nobody@example.invalid"
"""An address for messages that are not sent, where no address was given (RFC 2606 §2)."""

_NOBODY = UUID(int=0)
"""Looked up for an unknown user, so that the time is the same."""


class PasswordService:
    """Asks `password`, and says when a password may be replaced.

    Setting the hash and noting it here are two steps. When the process dies between them the new password counts, every
    session has ended, and somebody who had to change it has to once more, with the new one.
    """

    def __init__(
        self,
        settings: IdentitySettings,
        users: UserRepository,
        attempts: Attempts,
        codes: CodeService,
        bus: Bus,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._settings = settings
        self._users = users
        self._attempts = attempts
        self._codes = codes
        self._bus = bus
        self._clock = clock
        self._entropy = entropy

    async def request_password_reset(self, call: contract.RequestPasswordReset) -> Done:
        """Mail a code or a link, or take the same steps for nobody: the code is a decoy and the message withheld.

        Only ever to the user's own e-mail address, whichever name was used. Both are dead once the password has been
        replaced, also in another way: whoever reads an old message in a mailbox resets nothing with it.
        """
        identifier = self._identifier(call.identifier)
        user = await self._users.find(identifier) if identifier is not None else None
        account = accounts.of(identifier, call.identifier, user)
        email = user.email if user is not None and user.state != "suspended" else None
        typed = identifier.value if identifier is not None and identifier.kind == "email" else _NOWHERE
        holder = user.id if user is not None else self._entropy.uuid()
        await self._bus.call(
            IssueCode(
                account=account if email is not None else accounts.nobody(account),
                purpose="password_reset" if call.reset_url is None else "password_reset_link",
                channel="email",
                address=email or typed,
                deliver=email is not None,
                link=None if call.reset_url is None else reset_links.link(call.reset_url, holder),
                not_before=await self._users.password_changed_at(holder),
            )
        )
        return Done()

    async def reset_password(self, call: contract.ResetPassword) -> Done:
        """Replace a forgotten password by what was mailed.

        A link is not held up by an account's failures: nobody can guess one, so that whoever is kept out by somebody
        else's guesses gets in that way. Both let their user begin anew, unless a second factor is still to be guessed.
        """
        proof = call.proof.get_secret_value()
        if call.identifier is None:
            user_id, code = reset_links.parse(proof)
            user = await self._users.get(user_id)
            await self.check_policy(call.new_password, [])
            weakness = await self._weakness(call.new_password, user)
            account = _reset_account(accounts.of_user(user_id), user)
            changed_at = await self._users.password_changed_at(user_id)
            await self._codes.spend(account, "password_reset_link", code, changed_at, keep=weakness is not None)
        else:
            identifier = self._identifier(call.identifier)
            user = await self._users.find(identifier) if identifier is not None else None
            canonical = [identifier.value] if identifier is not None else []
            await self.check_policy(call.new_password, [call.identifier[: identifiers.LONGEST], *canonical])
            weakness = await self._weakness(call.new_password, user)
            account = accounts.of(identifier, call.identifier, user)
            await self._spend_reset_code(account, user, proof, call.source, keep=weakness is not None)
        if weakness is not None:
            raise weakness
        if user is None:  # deleted while its code was on its way
            raise Error(ErrorCode.WRONG_CODE, "nobody has that code")
        await self.replace(user, call.new_password)
        if required_factor(user) is None:
            await self._attempts.forget(accounts.of_user(user.id))
        return Done()

    async def _weakness(self, password: SecretStr, user: User | None) -> Error | None:
        """What the policy says of the user's own names, which is not for strangers; the same steps for nobody."""
        try:
            await self.check_policy(password, names_of(user))
        except Error as error:
            if error.code != ErrorCode.WEAK_PASSWORD:
                raise
            return error
        return None

    async def _spend_reset_code(
        self, account: str, user: User | None, code: str, source: str | None, *, keep: bool
    ) -> None:
        async def spend_nothing() -> None:
            await self._codes.is_live(accounts.nobody(account), "password_reset", code)

        async with self._attempts.counted(account, source=source, when_refused=spend_nothing) as attempt:
            changed_at = await self._users.password_changed_at(user.id if user is not None else _NOBODY)
            holder, known = _reset_account(account, user), attempt.known_source
            await self._codes.spend(holder, "password_reset", code, changed_at, source=known, keep=keep)

    async def change_password(self, call: contract.ChangePassword) -> Done:
        """Replace the password of somebody who knows it."""
        user = await self._users.get(call.user_id)
        if user is None:
            raise Error(ErrorCode.NOT_FOUND, "there is no such user")
        if user.state == "suspended":
            raise Error(ErrorCode.USER_SUSPENDED, "the user is suspended")
        await self.check_policy(call.new_password, names_of(user))
        await self.prove(user, call.password)
        if _spelling(call.new_password) == _spelling(call.password):
            raise same_as_before()
        await self.replace(user, call.new_password)
        return Done()

    async def prove(self, user: User, password: SecretStr) -> None:
        """Raise `wrong_password` or `too_many_attempts` unless it is the user's. A right one forgets no failures."""

        async def verify_nothing() -> None:
            await self.verify_nothing(password)

        account = accounts.of_user(user.id)
        async with self._attempts.counted(account, without_redis=True, when_refused=verify_nothing):
            if not await self.matches(user.id, password):
                raise Error(ErrorCode.WRONG_PASSWORD, "the password is wrong")

    async def matches(self, user_id: UUID | None, password: SecretStr) -> bool:
        """Whether it is the user's password; nobody's is verified as well, against a dummy hash."""
        return (await self._bus.call(VerifyPassword(user_id=user_id, password=password))).matches

    async def verify_nothing(self, password: SecretStr) -> None:
        """Take the time of verifying a password."""
        with suppress(Error):
            await self.matches(None, password)

    async def check_policy(self, password: SecretStr, names: list[str]) -> None:
        """Raise `weak_password` unless the policy accepts it for somebody of these names."""
        await self._bus.call(CheckPasswordPolicy(password=password, context=names))

    async def replace(self, user: User, password: SecretStr) -> tuple[User, datetime]:
        """Make it the user's password; returns the user as they are then and when it happened.

        An earlier version of `password` does not tell of the change, so it is told here.
        """
        done = await self._bus.call(SetPassword(user_id=user.id, password=password, context=names_of(user)))
        now = self._clock.now()
        events: list[Event] = []
        if done.changed_at is None:
            events.append(contract.PasswordChanged(user_id=user.id, changed_at=now))
        changed = await self._users.password_changed(user.id, now, *events)
        if changed is None:
            # Once more, since `password` may have heard of it before there was this hash.
            await self._users.tell(contract.UserDeleted(user_id=user.id, deleted_at=now))
            raise Error(ErrorCode.NOT_FOUND, "the user was deleted meanwhile")
        return changed, max(now, done.changed_at or now)

    def _identifier(self, text: str) -> Identifier | None:
        found = identifiers.identifier(text, self._settings.default_region)
        return None if found is not None and found.kind == "id" else found


def same_as_before() -> Error:
    """The answer to a new password that is the old one."""
    detail = {"reasons": ["same_as_before"]}
    return Error(ErrorCode.WEAK_PASSWORD, "the password is the same as before", detail=detail)


def _spelling(password: SecretStr) -> str:
    # As `password` hashes it: letters that are composed in another way make no other one. Asked of accepted ones only,
    # since for long texts that may take a second.
    return unicodedata.normalize("NFKC", password.get_secret_value())


def _reset_account(account: str, user: User | None) -> str:
    return accounts.nobody(account) if user is None or user.state == "suspended" else account


def names_of(user: User | None) -> list[str]:
    """What the user's password must not be; nothing for nobody."""
    return [] if user is None else [name for name in (user.email, user.phone, user.username) if name is not None]
