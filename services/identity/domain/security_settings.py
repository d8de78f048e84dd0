"""The settings that operators change while everything runs: which there are, and what each may be."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


class SecurityValues(BaseModel):
    """What holds. Texts are read by the same rules as the environment's: `yes`, `off` and `1` are booleans there too.

    Empty stands for another part's own setting: the codes' life for that of `otp`, the limits for those of a gateway,
    which alone knows how to read them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    otp_enabled: bool
    allow_new_users: bool
    otp_ttl_seconds: Annotated[int | None, Field(ge=60, le=1800), BeforeValidator(lambda text: text or None)] = None
    email_second_factor_default: bool = False
    limits: Annotated[str, Field(max_length=4000), AfterValidator(_printable)] = ""

    @classmethod
    def names(cls) -> list[str]:
        """Every setting that there is."""
        return sorted(cls.model_fields)

    def texts(self) -> dict[str, str]:
        """Every value as the one text that it is written as; reading that gives the value again."""
        return {name: _text(value) for name, value in self.model_dump().items()}

    def changed(self, texts: Mapping[str, str]) -> Self:
        """These values with those of `texts`. Raises `ValueError` that says what is wrong with one of them."""
        try:
            return self.model_validate(self.model_dump() | dict(texts))
        except ValidationError as error:
            message = error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise ValueError(message[0].lower() + message[1:]) from None


def _text(value: bool | int | str | None) -> str:  # noqa: FBT001 - a value of any setting
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
