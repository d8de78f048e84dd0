"""The one error that crosses the bus.

Codes are stable words; no HTTP status lives here, since each dialect has its own table.
Reasons stay distinct up to the dialect, which merges them where telling them apart would help a stranger.
"""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class ErrorCode(StrEnum):
    """What went wrong, in words that never change; new ones may be added."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    INVALID_SCOPE = "invalid_scope"
    INVALID_TOKEN = "invalid_token"
    NO_SUCH_USER = "no_such_user"
    WRONG_PASSWORD = "wrong_password"
    USER_SUSPENDED = "user_suspended"
    PASSWORD_CHANGE_REQUIRED = "password_change_required"
    WEAK_PASSWORD = "weak_password"
    SECOND_FACTOR_REQUIRED = "second_factor_required"
    CHALLENGE_UNKNOWN = "challenge_unknown"
    WRONG_CODE = "wrong_code"
    CODE_EXPIRED = "code_expired"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    RATE_LIMITED = "rate_limited"
    FEATURE_DISABLED = "feature_disabled"
    SESSION_UNKNOWN = "session_unknown"
    SESSION_EXPIRED = "session_expired"
    SESSION_REVOKED = "session_revoked"
    SESSION_REPLAYED = "session_replayed"
    REFRESH_LIMIT_REACHED = "refresh_limit_reached"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    INTERNAL = "internal"


class Error(Exception):
    """A failure that the caller is meant to tell apart from others by its code.

    `message` is for engineers: lower case, no secret in it.
    `retry_after` is in seconds; `detail` is JSON (for example `{"field": "email"}`).
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retry_after: float | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.detail = detail or {}

    def to_json(self) -> bytes:
        """Encode for the bus."""
        wire = _Wire(code=self.code, message=self.message, retry_after=self.retry_after, detail=self.detail)
        return wire.model_dump_json().encode()

    @classmethod
    def from_json(cls, body: bytes) -> "Error":
        """Decode what `to_json` made.

        A code that this version does not know becomes `internal`, so that a newer service may add codes.
        """
        wire = _Wire.model_validate_json(body)
        try:
            code = ErrorCode(wire.code)
        except ValueError:
            code = ErrorCode.INTERNAL
        return cls(code, wire.message, retry_after=wire.retry_after, detail=wire.detail)


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore")

    code: str
    message: str
    retry_after: float | None = None
    detail: dict[str, Any] = {}


def unavailable(message: str, *, retry_after: float = 1.0) -> Error:
    """A dependency is gone or refuses; trying again may help."""
    return Error(ErrorCode.UNAVAILABLE, message, retry_after=retry_after)


def reason(error: BaseException) -> str:
    """Why a connection failed, in one line. What could not be parsed is not repeated, since it may hold a password."""
    if isinstance(error, ValueError) and not isinstance(error, OSError):  # a wrong certificate is both
        return "its URL cannot be read"
    return str(error).partition("\n")[0][:200] or type(error).__name__
