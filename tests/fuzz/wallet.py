"""What a caller has in hand: with nothing but random text no request would get far."""

import base64
from dataclasses import dataclass, field
from typing import Any

import pyotp
from pydantic import SecretStr

from shared.contracts.identity import CreateUser
from tests.dialects.doors import BACKOFFICE, CLIENT, DIRECTUS, DOORS, ENTERPRISE
from tests.dialects.running import Platform

PASSWORD = "correct horse battery staple"
_TOTP = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
_BASIC = base64.b64encode(b"abc123:456789").decode()


@dataclass
class Wallet:
    """Good values by the dialect and the name of the field that they are for, and access tokens by whose they are."""

    fields: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    bearers: dict[str, str] = field(default_factory=dict)

    def values(self, section: str, name: str) -> list[str]:
        """What would do in this field, nothing for a field that nobody knows."""
        return self.fields.get((section, name), []) or self.fields.get(("", name), [])

    def authorizations(self, section: str, proof: str) -> list[str]:
        """What would do in the header Authorization; most of it is of the dialect itself."""
        if proof == "client":
            return [f"Basic {_BASIC}"]
        own = self.bearers.get(section)
        tokens = [*self.bearers.values(), *([own] * len(self.bearers) if own is not None else [])]
        return [f"Bearer {token}" for token in tokens]


async def fill(platform: Platform, number: int) -> Wallet:
    """The wallet of new users: one signed in everywhere, one with each factor, one whose password must change."""
    plain, forced, mailed, totp = (f"{kind}{number}@example.com" for kind in ("plain", "forced", "mailed", "totp"))
    await _create(platform, plain)
    await _create(platform, forced, must_change_password=True)
    await _create(platform, mailed, email_second_factor=True)
    await _create(platform, totp, totp_secret=SecretStr(_TOTP))
    answers = {door.name: await door.sign_in(platform, plain, PASSWORD) for door in DOORS}
    access = {door.name: door.access(answers[door.name]) for door in DOORS}
    refresh = {door.name: door.refresh_token(answers[door.name]) for door in DOORS}
    challenge = (await BACKOFFICE.sign_in(platform, mailed, PASSWORD)).json()["2faDetails"]["token"]
    session = (await ENTERPRISE.sign_in(platform, forced, PASSWORD)).json()["session"]
    assert (await DIRECTUS.sign_in(platform, totp, PASSWORD)).status == 401
    _, own = await platform.token("client_credentials")
    proof = {"client_id": "follower", "client_secret": "follower-secret", "scope": "revocations:read"}
    _, follower = await platform.token("client_credentials", **proof)
    code = await platform.code_for(mailed)
    names, passwords = [plain, forced, totp], [PASSWORD]
    fields = {
        ("", "email"): names,
        ("", "username"): names,
        ("", "password"): passwords,
        ("", "otp"): [pyotp.TOTP(_TOTP).at(platform.clock.now())],
        ("", "mode"): ["json", "cookie", "session"],
        ("", "code"): [code],
        ("", "secret"): [_TOTP],
        ("", "client_id"): [CLIENT["client_id"]],
        ("", "client_secret"): [CLIENT["client_secret"]],
        ("", "grant_type"): ["client_credentials", "password", "refresh_token"],
        ("", "scope"): ["read", "read write"],
        ("oauth2", "token"): [*access.values(), *refresh.values()],
        ("oauth2", "refresh_token"): [refresh["oauth2"]],
        ("backoffice", "token"): [challenge],
        ("backoffice", "refreshToken"): [refresh["backoffice"]],
        ("enterprise", "refresh_token"): [refresh["enterprise"]],
        ("enterprise", "access_token"): [access["enterprise"]],
        ("enterprise", "username"): [plain, forced],
        ("enterprise", "session"): [session],
        ("enterprise", "previous_password"): passwords,
        ("directus", "refresh_token"): [refresh["directus"]],
        ("directus", "email"): [plain, totp],
    }
    return Wallet(fields, {**access, "machine": own["access_token"], "platform": follower["access_token"]})


async def _create(platform: Platform, email: str, **attributes: Any) -> None:
    await platform.operate(
        CreateUser(email=email, password=SecretStr(PASSWORD), enforce_policy=False, replace=True, **attributes)
    )
