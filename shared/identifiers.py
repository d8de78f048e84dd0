"""Identifiers in their canonical form, so that one person is one account (user-pains row 30)."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from shared.errors import Error, ErrorCode

Kind = Literal["id", "email", "phone", "username"]

_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_LETTER = re.compile(r"[a-z]")
_PHONE_LIKE = re.compile(r"\+?[0-9][0-9 ()./-]{4,30}")
LONGEST = 320
"""Characters of the longest identifier (RFC 5321: 64 before the @, 255 behind it)."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """What names a user, in the one form in which it is stored and compared."""

    kind: Kind
    value: str


def email(text: str) -> Identifier:
    """The canonical e-mail address: Unicode NFC, domain as IDNA allows it, all in lower case.

    The local part is case-sensitive by RFC 5321 §2.3.11 and by no mail service that people use. What looks like an
    encoded word (RFC 2047 §2) is refused: on the way to a mail server it would become somebody else's address.
    Raises `invalid_request` with `detail.field` "email".
    """
    try:
        if len(text) > LONGEST or "=?" in text:
            raise _invalid("email", "not an e-mail address")
        return Identifier("email", validate_email(text.strip(), check_deliverability=False).normalized.lower())
    except EmailNotValidError:
        raise _invalid("email", "not an e-mail address") from None


def phone(text: str, default_region: str | None) -> Identifier:
    """The phone number in E.164; one without country code is read as one of `default_region`, and is none without that.

    "Possible" is enough: numbering plans change more often than libraries.
    Raises `invalid_request` with `detail.field` "phone".
    """
    try:
        if not _PHONE_LIKE.fullmatch(text.strip()):
            raise _invalid("phone", "not a phone number")
        number = phonenumbers.parse(text, default_region)
    except phonenumbers.NumberParseException:
        raise _invalid("phone", "not a phone number") from None
    # A number without its area code is "possible" too, but another one in each town.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise _invalid("phone", "not a phone number")
    return Identifier("phone", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def username(text: str) -> Identifier:
    """The username in lower case: letters, digits, dot, dash and underscore, up to 64, at least one letter.

    Without a letter it could be a phone number, and a UUID is an id. Raises `invalid_request` with `detail.field`
    "username".
    """
    folded = unicodedata.normalize("NFKC", text.strip()).lower()
    if not _USERNAME.fullmatch(folded) or not _LETTER.search(folded) or _as_uuid(folded):
        raise _invalid("username", "not a username: 1 to 64 of a-z, 0-9, dot, dash, underscore, one of them a letter")
    return Identifier("username", folded)


def identifier(text: str, default_region: str | None) -> Identifier | None:
    """What somebody typed to name an account, whichever kind it is; None when it can't name one."""
    text = text.strip()
    if not text or len(text) > LONGEST:
        return None
    try:
        if "@" in text:
            return email(text)
        if user_id := _as_uuid(text):
            return Identifier("id", user_id)
        if _PHONE_LIKE.fullmatch(text):
            return phone(text, default_region)
        return username(text)
    except Error:
        return None


def _as_uuid(text: str) -> str | None:
    try:
        return str(UUID(text)) if len(text) == 36 else None
    except ValueError:
        return None


def _invalid(field: str, message: str) -> Error:
    return Error(ErrorCode.INVALID_REQUEST, message, detail={"field": field})
