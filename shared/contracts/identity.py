"""What `identity` answers and tells: who somebody is."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import model_validator

from shared.bus.messages import Call, Done, Event, Message, Reply, Secret

UserState = Literal["active", "suspended", "must_change_password"]
SecondFactor = Literal["email", "totp"]
ChallengeKind = Literal["new_password", "second_factor"]


class User(Reply):
    """A user and the canonical form of each identifier; `second_factors` are those that a sign-in has to prove."""

    id: UUID
    email: str | None = None
    phone: str | None = None
    username: str | None = None
    state: UserState = "active"
    created_at: datetime
    second_factors: list[SecondFactor] = []


class Challenge(Message):
    """What somebody has to do before the proof counts.

    `token` (a UUID) is to be handed back with the answer until `expires_at`; it works once, for the dialect that it was
    given to. `factor` is the one to prove, for a `second_factor`.
    """

    kind: ChallengeKind
    token: Secret | None = None
    factor: SecondFactor | None = None
    expires_at: datetime | None = None


class Authentication(Reply):
    """Who somebody is. With a `challenge` nothing may be granted until that is met.

    `methods` are authentication method references (RFC 8176): `pwd`, `otp`, `mfa`.
    `proved_at` is when the proof held, by the clock that also tells when a password changed.
    """

    user: User
    methods: list[str]
    challenge: Challenge | None = None
    proved_at: datetime | None = None


class Authenticate(Call[Authentication], subject="identity.authenticate.v1", callers=("token",), timeout=5.0):
    """Turn an identifier (e-mail, phone or username) and a secret into a user or a challenge.

    `accept_code`: the secret may be a live sign-in code instead of the password.
    `second_factor` says how this caller can have one proved: not at all (`refuse`), by `code` in the same call
    (`inline`; an e-mailed code is sent when `code` is missing), or by a `challenge` of its own.
    `new_password`: a challenge may ask for a new password; otherwise a user who needs one is refused.
    A challenge is bound to `dialect`. `source` is the network that the request came from, where that is known: one from
    which the account has been signed in to keeps an allowance of its own, which no stranger can use up.
    Errors: no_such_user, wrong_password, user_suspended, password_change_required, too_many_attempts, and once the
    password was right second_factor_required (`detail.factor`), wrong_code; the edge merges them.
    Not idempotent: a code is spent by it.
    """

    identifier: str
    secret: Secret
    accept_code: bool = True
    second_factor: Literal["refuse", "inline", "challenge"] = "refuse"
    code: Secret | None = None
    new_password: bool = False
    dialect: str = "oauth2"
    source: str | None = None


class AnswerChallenge(Call[Authentication], subject="identity.answer_challenge.v1", callers=("token",), timeout=5.0):
    """Meet a challenge: by `code` for a second factor, by `new_password` for a new password.

    The attempt is counted before it is compared; after a few wrong ones, or a right one, the challenge is gone.
    `identifier`, where given, must name the challenge's user.
    Errors: challenge_unknown (also when it was spent, has expired, is of another kind or dialect, or the user may not
    sign in any more), wrong_code, too_many_attempts, weak_password with `detail.reasons` (the challenge lives on; the
    old password is "same_as_before"), second_factor_required.
    """

    kind: ChallengeKind
    token: Secret
    dialect: str
    code: Secret | None = None
    new_password: Secret | None = None
    identifier: str | None = None
    source: str | None = None


class CodeSent(Reply):
    """The canonical form of the requested address: exactly one of the two, whether or not anything was sent."""

    email: str | None = None
    phone: str | None = None


class SendCode(Call[CodeSent], subject="identity.send_code.v1", callers=("gateway",), idempotent=True):
    """Send a one-time code for signing in. A repeat inside the resend window sends the same code again.

    Errors: invalid_request with `detail.field` for an address that cannot be one, and with `detail.reason` "prefix" for
    a number that no messages are sent to; feature_disabled; overloaded while no SMS may be sent to its country.
    """

    email: str | None = None
    phone: str | None = None

    @model_validator(mode="after")
    def _one_address(self) -> "SendCode":
        if (self.email is None) == (self.phone is None):
            raise ValueError("exactly one of email and phone")
        return self


class CreateUser(Call[User], subject="identity.create_user.v1", callers=("operator",), timeout=5.0):
    """Create a user with at least one identifier; without a password only one-time codes sign in.

    `password_hash` brings a hash from elsewhere (argon2, bcrypt, PBKDF2, scrypt in PHC or modular-crypt form).
    `enforce_policy=False` loads a password past the policy, for demo data and migrations.
    `replace` overwrites the user who holds the first identifier given, second factors included.
    `email_second_factor` and `totp_secret` (base32) set those factors from the beginning.
    Errors: conflict, invalid_request, weak_password.
    """

    email: str | None = None
    phone: str | None = None
    username: str | None = None
    password: Secret | None = None
    password_hash: Secret | None = None
    must_change_password: bool = False
    enforce_policy: bool = True
    replace: bool = False
    email_second_factor: bool = False
    totp_secret: Secret | None = None


class SetSecondFactors(Call[User], subject="identity.set_second_factors.v1", callers=("operator",), idempotent=True):
    """Turn the e-mailed second factor of a user on or off, or take away a TOTP secret that was lost.

    What is None stays as it is. Errors: not_found, invalid_request for a user without an e-mail address.
    """

    identifier: str
    email: bool | None = None
    remove_totp: bool = False


class SuspendUser(Call[User], subject="identity.suspend_user.v1", callers=("operator",), idempotent=True):
    """Suspend the user whom `identifier` (an id, e-mail, phone or username) names. Error: not_found."""

    identifier: str


class KnownUser(User):
    """A user; `named`: that the name in the call is theirs. An earlier version never says so."""

    named: bool = False


class GetUser(Call[KnownUser], subject="identity.get_user.v1", callers=("gateway", "token"), idempotent=True):
    """The user with that id, and whether `name` (an id, e-mail, phone or username, in any form) is theirs.

    Error: not_found.
    """

    user_id: UUID
    name: str | None = None


class DeleteUser(Call[User], subject="identity.delete_user.v1", callers=("operator",), idempotent=True):
    """Delete the user whom `identifier` names; every session ends, the identifiers are free. Error: not_found."""

    identifier: str


class RequestPasswordReset(
    Call[Done], subject="identity.request_password_reset.v1", callers=("gateway",), idempotent=True
):
    """Send what resets a password, or do everything but send it when nobody may have it; the answer is the same.

    `reset_url` sends a link: that URL with the token as its parameter `token`; without it a code goes out. The caller
    has checked the URL. Always by e-mail. Error: feature_disabled when e-mail is not set up.
    """

    identifier: str
    reset_url: str | None = None


class ResetPassword(Call[Done], subject="identity.reset_password.v1", callers=("gateway",), timeout=5.0):
    """Replace a forgotten password, by the code that `identifier` was sent, or by a link's token without identifier.

    The code is spent only once the new password has passed the policy. What the policy says of the user's own names is
    told to whoever has the code, and to nobody else. Every session of the user ends. `source` is as in `Authenticate`.
    Errors: weak_password with `detail.reasons`, wrong_code (also for unknown users), code_expired, too_many_attempts,
    invalid_token for a link's token that we did not make.
    """

    identifier: str | None = None
    proof: Secret
    new_password: Secret
    source: str | None = None


class ChangePassword(Call[Done], subject="identity.change_password.v1", callers=("gateway",), timeout=5.0):
    """Replace the password of somebody who knows it. Every session of the user ends.

    Errors: wrong_password, too_many_attempts, weak_password with `detail.reasons` ("same_as_before" for the old one),
    not_found, user_suspended.
    """

    user_id: UUID
    password: Secret
    new_password: Secret


class TotpSetup(Reply):
    """What an authenticator app needs, and the recovery codes that count once the secret is enabled."""

    secret: Secret
    otpauth_url: Secret
    recovery_codes: list[Secret]


class GenerateTotp(Call[TotpSetup], subject="identity.generate_totp.v1", callers=("gateway",), timeout=5.0):
    """A new TOTP secret (RFC 6238) for somebody who knows the password; nothing is kept until it is enabled.

    It can be for an hour, and at most two.
    Errors: wrong_password, too_many_attempts, conflict when TOTP is on already, not_found.
    """

    user_id: UUID
    password: Secret


class EnableTotp(Call[Done], subject="identity.enable_totp.v1", callers=("gateway",)):
    """Turn TOTP on by a secret that `GenerateTotp` gave for this user, and one of its codes, which is spent by that.

    Errors: wrong_code, too_many_attempts, invalid_request with `detail.field` for what is no secret, and with
    `detail.reason` "not_generated" for one that was not given for this user, or too long ago; conflict when TOTP is on
    already, not_found.
    """

    user_id: UUID
    secret: Secret
    code: Secret


class DisableTotp(Call[Done], subject="identity.disable_totp.v1", callers=("gateway",)):
    """Turn TOTP off by one of its codes or a recovery code. Errors: wrong_code, too_many_attempts, not_found."""

    user_id: UUID
    code: Secret


class UserList(Reply):
    """One page of users, ordered by creation; `next` is the id to pass as `after`, None at the end."""

    users: list[User]
    next: UUID | None = None


class ListUsers(Call[UserList], subject="identity.list_users.v1", callers=("operator",), idempotent=True):
    """A page of at most `limit` (1–1000) users."""

    after: UUID | None = None
    limit: int = 100


class SecretsRewrapped(Reply):
    """What came of one page of users; `next` is the id to pass as `after`, None at the end."""

    rewrapped: int
    unreadable: int
    next: UUID | None = None


class RewrapSecrets(
    Call[SecretsRewrapped], subject="identity.rewrap_secrets.v1", callers=("operator",), idempotent=True, timeout=10.0
):
    """Store the TOTP secrets and recovery codes of at most `limit` (1–1000) users under the current secret key."""

    after: UUID | None = None
    limit: int = 100


class SecuritySetting(Message):
    """A setting that operators change while everything runs; `value` is the default where nobody has changed it."""

    name: str
    value: str
    default: str
    changed_at: datetime | None = None
    changed_by: str | None = None


class SecuritySettings(Reply):
    """All of them, by name.

    `default_region` is the country of phone numbers without a country code, which is set at the start of `identity`
    alone: whoever counts by a name has to read it as `identity` does.
    """

    settings: list[SecuritySetting]
    default_region: str | None = None


class GetSecuritySettings(
    Call[SecuritySettings],
    subject="identity.get_security_settings.v1",
    callers=("gateway", "operator"),
    idempotent=True,
):
    """The security settings that hold now."""


class SetSecuritySetting(
    Call[SecuritySettings], subject="identity.set_security_setting.v1", callers=("operator",), idempotent=True
):
    """Change one, or with None put its default back; every replica follows within a second.

    `changed_by` is who did it. Errors: not_found for an unknown name, invalid_request with `detail.problem`.
    """

    name: str
    value: str | None = None
    changed_by: str


class SecuritySettingChanged(Event, subject="identity.security_setting_changed.v1"):
    """Somebody changed a security setting: for the audit trail."""

    name: str
    value: str | None
    changed_by: str
    changed_at: datetime


class UserCreated(Event, subject="identity.user_created.v1"):
    """A user came to be: by an operator or by using a first code."""

    user_id: UUID
    created_at: datetime


class UserSuspended(Event, subject="identity.user_suspended.v1", subscribers=("token",)):
    """A user may no longer do anything; every session ends."""

    user_id: UUID
    suspended_at: datetime


class UserDeleted(Event, subject="identity.user_deleted.v1", subscribers=("token", "password")):
    """A user is no more; every session ends."""

    user_id: UUID
    deleted_at: datetime


class PasswordChanged(Event, subject="identity.password_changed.v1", subscribers=("token",)):
    """A password was replaced; sessions begun before `changed_at` end.

    Told only where a `password` of an earlier version, which does not tell it itself, stored the hash.
    """

    user_id: UUID
    changed_at: datetime
