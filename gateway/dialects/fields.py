"""What is wrong with a request's fields, in the words that the JSON dialects share."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from shared.errors import Error, ErrorCode

Text = Annotated[str, Field(min_length=1)]
SecretText = Annotated[SecretStr, Field(min_length=1)]


class Fields(BaseModel):
    """A body: strict about types, since a code loses its leading zeros as a number; unknown fields are passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


FieldsT = TypeVar("FieldsT", bound=Fields)


def parse(model: type[FieldsT], fields: Mapping[str, Any]) -> FieldsT:
    """The fields as the model has them.

    Raises `invalid_request` whose `detail.fields` says for each wrong one what is wrong with it.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems = {str(problem["loc"][0]): _text(problem) for problem in error.errors(include_input=False)}
        raise Error(ErrorCode.INVALID_REQUEST, "fields are missing or wrong", detail={"fields": problems}) from None


def _text(problem: Mapping[str, Any]) -> str:
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return "This field is required."
        case "string_too_short" | "too_short":
            least = limits["min_length"]
            return "This field is required." if least == 1 else f"This value needs at least {least} characters."
        case "string_too_long" | "too_long":
            return f"This value may have at most {limits['max_length']} characters."
    return "This value should be a string."


def password_problems(detail: Mapping[str, Any]) -> list[str]:
    """The reasons of a `weak_password`, in words."""
    return [
        f"at least {detail['min_length']} characters"
        if reason == "too_short" and "min_length" in detail
        else _PASSWORD_REASONS.get(reason, str(reason))
        for reason in detail.get("reasons", [])
    ]


_PASSWORD_REASONS = {
    "too_short": "more characters",
    "too_long": "fewer characters",
    "common": "not a common one",
    "repeated": "not the same over and over, nor a row of keys",
    "context": "not the user's name or address",
    "same_as_before": "not the same as before",
}
