"""How the doctor judges versions, clocks and keys, and what it says of a deployment that is not there."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.checks.clocks import check_clock
from cli.checks.finding import Findings
from cli.checks.keys import judge_keys
from cli.checks.versions import POSTGRESQL, RABBITMQ, REDIS, Oldest, check_version
from cli.main import main
from shared.contracts.token import SigningKeyInfo, SigningKeyState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOWHERE = {
    "DRAGOMAN_RABBITMQ_URL": "amqp://operator:hidden@127.0.0.1:1/",
    "DRAGOMAN_GATEWAY_RABBITMQ_URL": "amqp://gateway:hidden@127.0.0.1:1/",
    "DRAGOMAN_POSTGRES_URL": "postgresql://user:hidden@127.0.0.1:1/x",
    "DRAGOMAN_REDIS_URL": "redis://:hidden@127.0.0.1:1/0",
    "DRAGOMAN_OTP_CODE_KEY": "A" * 43,
    "DRAGOMAN_OTP_SMTP_HOST": "127.0.0.1",
    "DRAGOMAN_OTP_SMTP_PORT": "1",
    "DRAGOMAN_OTP_MAIL_FROM": "no-reply@example.com",
}


def doctor(**environment: str) -> Result:
    """Run the command in this process."""
    ended = CliRunner().invoke(main, ["doctor", "--json"], env=environment)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended


@pytest.mark.parametrize(
    ("text", "oldest", "state"),
    [
        ("15.4 (Debian 15.4-1)", POSTGRESQL, "ok"),
        ("18beta1", POSTGRESQL, "ok"),
        ("14.11", POSTGRESQL, "warning"),
        ("13.2", POSTGRESQL, "problem"),
        ("7.0.15", REDIS, "ok"),
        ("6.2.6", REDIS, "warning"),
        ("6.0.16", REDIS, "problem"),
        ("3.10.8", RABBITMQ, "ok"),
        ("3.9.29", RABBITMQ, "problem"),
        ("4.1.0", RABBITMQ, "ok"),
        ("unknown", RABBITMQ, "warning"),
    ],
)
def test_versions(text: str, oldest: Oldest, state: str) -> None:
    """A server that is too old is a problem, one that nobody has tried a warning; 3.10 is newer than 3.9."""
    findings = Findings("servers")
    check_version(findings, "server", text, oldest)
    assert [finding.state for finding in findings.every] == [state]


@pytest.mark.parametrize(
    ("offset", "took", "state"),
    [(0.0, 0.1, "ok"), (1.5, 0.1, "ok"), (-5.0, 0.1, "warning"), (29.0, 0.1, "warning"), (-40.0, 0.1, "problem")],
)
def test_clocks(offset: float, took: float, state: str) -> None:
    """A clock that is off by half of what verifiers allow is a problem, on either side."""
    findings = Findings("clock")
    after = NOON + timedelta(seconds=took)
    check_clock(findings, "server", NOON, NOON + timedelta(seconds=took / 2 + offset), after)
    assert [finding.state for finding in findings.every] == [state]


def test_a_slow_answer_is_not_taken_for_a_wrong_clock() -> None:
    """Whatever the time under way can explain is no difference of clocks."""
    findings = Findings("clock")
    check_clock(findings, "server", NOON, NOON + timedelta(seconds=9), NOON + timedelta(seconds=10))
    assert [finding.state for finding in findings.every] == ["ok"]


def key(state: SigningKeyState, wrapped_by: str = "w1") -> SigningKeyInfo:
    """A key in this state."""
    return SigningKeyInfo(
        kid=f"{state}-{wrapped_by}", algorithm="ES256", state=state, created_at=NOON, wrapped_by=wrapped_by
    )


@pytest.mark.parametrize(
    ("keys", "states"),
    [
        ([key("active"), key("next"), key("retired")], {"active": "ok", "standby": "ok"}),
        ([key("active"), key("retired")], {"active": "ok", "standby": "warning"}),
        ([key("next")], {"active": "problem", "standby": "ok"}),
        (
            [key("active"), key("active", "w2"), key("next")],
            {"active": "problem", "standby": "ok", "wrapping": "warning"},
        ),
    ],
)
def test_keys(keys: list[SigningKeyInfo], states: dict[str, str]) -> None:
    """One key signs, another one is published for later, and one wrapping key opens them."""
    findings = Findings("keys")
    judge_keys(findings, keys)
    assert {finding.checked: finding.state for finding in findings.every} == states


def test_a_deployment_that_is_not_there() -> None:
    """Each server that cannot be reached is a problem with a hint; no password is shown; the status is 1."""
    ended = doctor(**NOWHERE)
    assert ended.exit_code == 1
    assert "hidden" not in ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    problems = [finding for finding in told["findings"] if finding["state"] == "problem"]
    assert {"rabbitmq", "keys", "postgresql", "redis", "delivery"} <= {finding["area"] for finding in problems}
    assert len(problems) == told["problems"]
    assert all(finding["hint"] for finding in problems)


def test_urls_that_are_none() -> None:
    """A URL that cannot be parsed is a problem, not a crash, and is not repeated: it may hold a password."""
    urls = {name: value for name, value in NOWHERE.items() if name.endswith("_URL")}
    ended = doctor(**{name: value.replace("127.0.0.1:1", "host:hidden") for name, value in urls.items()})
    assert ended.exit_code == 1
    assert "hidden" not in ended.stdout + ended.stderr


def test_mistakes_in_the_settings(tmp_path: Path) -> None:
    """Every mistake of every component that is set here is told, also a file that cannot be read, once."""
    missing = str(tmp_path / "missing")
    ended = doctor(DRAGOMAN_TOKEN_ACCESS_SECONDS="1", DRAGOMAN_TOKEN_POSTGRES_URL_FILE=missing)
    told = [finding for finding in json.loads(ended.stdout)["findings"] if finding["area"] == "settings"]
    assert ended.exit_code == 1
    wrong = [finding["found"] for finding in told if finding["state"] == "problem"]
    assert sum("DRAGOMAN_TOKEN_ACCESS_SECONDS" in found for found in wrong) == 1
    assert sum("DRAGOMAN_TOKEN_POSTGRES_URL_FILE" in found for found in wrong) == 1
    skipped = {finding["checked"] for finding in told if finding["state"] == "skipped"}
    assert skipped == {"gateway", "identity", "otp", "password"}
