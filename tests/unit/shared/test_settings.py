"""Settings: one place, read once, every mistake told at once."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr

from shared.settings import CommaList, Settings, SettingsError, describe

ROOT = Path(__file__).parents[3]
BROKER = {"DRAGOMAN_RABBITMQ_URL": "amqp://common/"}


class OtpSettings(Settings):
    """A component's settings, small."""

    component: ClassVar[str] = "otp"

    redis_url: SecretStr = Field(description="Redis URL")
    key: SecretStr = Field(SecretStr("default"), description="a secret with a default", min_length=4)
    digits: int = Field(6, ge=4, le=10, description="digits of a code")
    prefixes: CommaList = Field([], description="allowed prefixes")


GIVEN = {**BROKER, "DRAGOMAN_REDIS_URL": "redis://common"}


def mistakes(environ: dict[str, str]) -> list[str]:
    """What is wrong with `environ`."""
    with pytest.raises(SettingsError) as raised:
        OtpSettings.load(environ)
    assert all(problem in str(raised.value) for problem in raised.value.problems)
    return raised.value.problems


def test_what_is_not_given_has_its_default() -> None:
    """Only what has no sensible default must be set."""
    settings = OtpSettings.load(GIVEN)
    assert settings.digits == 6
    assert settings.key.get_secret_value() == "default"
    assert settings.redis_url.get_secret_value() == "redis://common"


def test_the_name_of_its_own_wins_over_the_common_one() -> None:
    """A component can be told something else than all the others, by value or by file."""
    own = OtpSettings.load({**GIVEN, "DRAGOMAN_OTP_REDIS_URL": "redis://own"})
    assert own.redis_url.get_secret_value() == "redis://own"


def test_a_file_of_its_own_wins_over_the_common_value(tmp_path: Path) -> None:
    """The more specific name counts, however it is given."""
    (tmp_path / "url").write_text("redis://own\n")
    own = OtpSettings.load({**GIVEN, "DRAGOMAN_OTP_REDIS_URL_FILE": str(tmp_path / "url")})
    assert own.redis_url.get_secret_value() == "redis://own"


def test_an_empty_value_of_what_is_required_is_none(tmp_path: Path) -> None:
    """Whoever leaves it empty is told so by the name that was set; the common value counts where there is one."""
    (tmp_path / "url").write_text("\n")
    own = OtpSettings.load({**GIVEN, "DRAGOMAN_OTP_REDIS_URL": ""})
    assert own.redis_url.get_secret_value() == "redis://common"
    for empty in ({"DRAGOMAN_REDIS_URL": ""}, {"DRAGOMAN_REDIS_URL_FILE": str(tmp_path / "url")}):
        assert mistakes({**BROKER, **empty}) == ["DRAGOMAN_REDIS_URL: is empty"]
    assert mistakes({**BROKER, "DRAGOMAN_OTP_REDIS_URL": ""}) == ["DRAGOMAN_OTP_REDIS_URL: is empty"]


def test_a_mistake_is_told_by_the_name_that_was_set() -> None:
    """Not by the common one when it is in a component's own, or the other way round."""
    both = {"DRAGOMAN_OTP_RABBITMQ_URL": "x", "DRAGOMAN_RABBITMQ_URL": "amqp://common/"}
    assert [mistake.split(":")[0] for mistake in mistakes({**GIVEN, **both})] == ["DRAGOMAN_OTP_RABBITMQ_URL"]
    both = {"DRAGOMAN_OTP_RABBITMQ_URL": "", "DRAGOMAN_RABBITMQ_URL": "x"}
    assert [mistake.split(":")[0] for mistake in mistakes({**GIVEN, **both})] == ["DRAGOMAN_RABBITMQ_URL"]


def test_what_is_missing_is_told_by_both_names() -> None:
    """The common one, and the one for this component alone."""
    assert mistakes({**BROKER}) == ["DRAGOMAN_REDIS_URL: field required (DRAGOMAN_OTP_REDIS_URL for otp alone)"]


def test_a_secret_may_be_a_file(tmp_path: Path) -> None:
    """The line end that editors add is not part of the secret; spaces are."""
    (tmp_path / "key").write_text(" s3cret \r\n")
    settings = OtpSettings.load({**GIVEN, "DRAGOMAN_OTP_KEY_FILE": str(tmp_path / "key")})
    assert settings.key.get_secret_value() == " s3cret "


def test_a_value_and_a_file_together_are_refused(tmp_path: Path) -> None:
    """Nobody has to guess which of the two counts."""
    (tmp_path / "key").write_text("file")
    both = {**GIVEN, "DRAGOMAN_OTP_KEY": "value", "DRAGOMAN_OTP_KEY_FILE": str(tmp_path / "key")}
    assert mistakes(both) == ["DRAGOMAN_OTP_KEY and DRAGOMAN_OTP_KEY_FILE are both set"]


def test_what_is_no_secret_has_no_file() -> None:
    """A file that would never be read is refused, for common settings too."""
    for name in ("DRAGOMAN_OTP_DIGITS_FILE", "DRAGOMAN_LOG_LEVEL_FILE", "DRAGOMAN_OTP_LOG_LEVEL_FILE"):
        assert mistakes({**GIVEN, name: "/etc/hostname"}) == [f"{name} is not a setting"]


@pytest.mark.parametrize("name", ["DRAGOMAN_REDIS_URL_FILE", "DRAGOMAN_OTP_REDIS_URL_FILE"])
def test_a_file_that_cannot_be_read_is_one_mistake(name: str, tmp_path: Path) -> None:
    """The name of the variable is told, once, and not that the value is missing too."""
    assert mistakes({**BROKER, name: str(tmp_path / "none")}) == [f"{name}: cannot be read: No such file or directory"]


def test_a_file_that_is_no_text_is_a_mistake(tmp_path: Path) -> None:
    """A key in binary form is refused and not shown."""
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    problems = mistakes({**GIVEN, "DRAGOMAN_OTP_KEY_FILE": str(tmp_path / "key")})
    assert problems == ["DRAGOMAN_OTP_KEY_FILE: cannot be read: it is not UTF-8 text"]


def test_all_mistakes_are_told_at_once() -> None:
    """One start shows everything there is to correct, by the names that one can set."""
    problems = mistakes(
        {
            "DRAGOMAN_OTP_DIGITS": "three",
            "DRAGOMAN_OTP_KEY": "abc",
            "DRAGOMAN_OTP_DIGIT": "6",
            "DRAGOMAN_LOG_LEVEL": "x",
        }
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "DRAGOMAN_LOG_LEVEL",
        "DRAGOMAN_OTP_DIGIT is not a setting",
        "DRAGOMAN_OTP_DIGITS",
        "DRAGOMAN_OTP_KEY",
        "DRAGOMAN_RABBITMQ_URL",
        "DRAGOMAN_REDIS_URL",
    ]


def test_a_mistake_shows_no_value() -> None:
    """What was mistyped may be a secret."""
    assert "abc" not in "".join(mistakes({**GIVEN, "DRAGOMAN_OTP_KEY": "abc"}))


def test_an_unknown_name_is_refused() -> None:
    """A typing error does not silently leave a setting at its default."""
    for name in ("DRAGOMAN_REDIS_URI", "DRAGOMAN_OTP_DIGITZ", "DRAGOMAN_OTPDIGITS", "DRAGOMAN_PORTAL", "DRAGOMAN_"):
        assert mistakes({**GIVEN, name: "x"}) == [f"{name} is not a setting"]


def test_names_of_others_are_left_to_them() -> None:
    """Five components can share one environment, with the development commands."""
    OtpSettings.load(
        {
            **GIVEN,
            "DRAGOMAN_TOKEN_ANYTHING": "x",
            "DRAGOMAN_GATEWAY_PORT": "1",
            "DRAGOMAN_POSTGRES_URL": "x",
            "DRAGOMAN_ISSUER": "x",
            "DRAGOMAN_PORT": "8080",
            "DRAGOMAN_INBOX_PORT": "8025",
            "DRAGOMAN_BROKER_MANAGEMENT_URL": "x",
            "DRAGOMAN_TEST_REDIS_URL": "x",
            "PATH": "/bin",
            "OTP_DIGITS": "x",
        }
    )


@pytest.mark.parametrize(
    "url", ["collector:4318", "ftp://x", "http://", "http://user:hunter2@x", "http://x?key=hunter2"]
)
def test_a_collector_is_a_plain_url(url: str) -> None:
    """Neither a word nor a URL with a secret in it is taken, nor is it shown."""
    (mistake,) = mistakes({**GIVEN, "DRAGOMAN_OTLP_ENDPOINT": url})
    assert mistake.startswith("DRAGOMAN_OTLP_ENDPOINT: ")
    assert "hunter2" not in mistake


def test_a_collector_needs_what_sends_to_it() -> None:
    """Where OpenTelemetry is not installed the check of the settings says so, and what to install."""
    code = "import sys; sys.modules['opentelemetry'] = None\nfrom cli.main import main; main(['password', '--check'])"
    environ = {
        "DRAGOMAN_PASSWORD_POSTGRES_URL": "postgres://nowhere",
        "DRAGOMAN_RABBITMQ_URL": "amqp://nowhere",
        "DRAGOMAN_OTLP_ENDPOINT": "http://collector:4318",
    }
    outcome = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 2
    assert outcome.stderr.splitlines() == [
        "password: 1 mistake(s) in the environment",
        "DRAGOMAN_OTLP_ENDPOINT: traces need what is not installed here: dragoman[otel]",
    ]
    del environ["DRAGOMAN_OTLP_ENDPOINT"]
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, check=True)


def test_secrets_are_masked() -> None:
    """Neither repr nor str shows one."""
    settings = OtpSettings.load({**GIVEN, "DRAGOMAN_OTP_KEY": "hunter2", "DRAGOMAN_REDIS_URL": "redis://:hunter2@x"})
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_a_list_is_words_between_commas() -> None:
    """Spaces and empty words around them do not count."""
    assert OtpSettings.load({**GIVEN, "DRAGOMAN_OTP_PREFIXES": "+49, +43,,"}).prefixes == ["+49", "+43"]


def test_every_setting_is_described() -> None:
    """The help names each variable, its default and its meaning, no secret's default, and a star for a common name."""
    rows = {name: (default, meaning) for name, default, meaning in describe(OtpSettings)}
    assert rows["DRAGOMAN_OTP_DIGITS"] == ("6", "digits of a code")
    assert rows["DRAGOMAN_OTP_REDIS_URL*"] == ("required", "Redis URL")
    assert all(meaning for _, meaning in rows.values())
    assert rows["DRAGOMAN_OTP_KEY"][0] == "**********"
