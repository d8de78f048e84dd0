"""The limits of the paths, as operators write them."""

import pytest

from gateway.limits.rules import DEFAULTS, Quota, Rule, format_rules, parse
from gateway.settings import GatewaySettings
from shared.settings import SettingsError
from tests.unit.gateway.edge import ENVIRONMENT

SIGN_IN = "/api/v2/signin"


@pytest.mark.parametrize("text", ["", "  ", ";", " ; ;"])
def test_defaults(text: str) -> None:
    """Without a word the defaults hold: the seeds' 5 sign-ins, 3 confirmations and 5 refreshes a minute."""
    rules = parse(text)
    assert rules == DEFAULTS
    assert rules[SIGN_IN].account_at_address == rules["/api/v2/refresh"].account_at_address == Quota(5, 60)
    assert rules["/api/v2/2fa/confirm"].account == Quota(3, 60)
    assert {rules[path].block for path in (SIGN_IN, "/api/v2/refresh", "/api/v2/2fa/confirm")} == {600}


def test_every_code_is_refused_uncounted() -> None:
    """Wherever a short code is compared, no Redis means no comparison."""
    codes = {path for path, rule in DEFAULTS.items() if rule.away == "refuse"}
    assert codes == {
        "/api/v2/2fa/confirm",
        "/v1/forgot-password-confirm",
        "/auth/login/{provider}",
        "/users/me/tfa/generate",
        "/users/me/tfa/enable",
        "/users/me/tfa/disable",
    }


def test_off() -> None:
    """One word removes every limit."""
    assert parse(" off ") == {}


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (
            "account=7/30 account_at_address=6/30 address=50/60 block=900 away=pass",
            Rule(Quota(7, 30), Quota(6, 30), Quota(50, 60), 900, "pass"),
        ),
        ("account=7/30", Rule(Quota(7, 30), Quota(5, 60), Quota(100, 60), 600, "bucket")),
        ("block=0", Rule(None, Quota(5, 60), Quota(100, 60), 0, "bucket")),
        ("block=60 away=refuse", Rule(None, Quota(5, 60), Quota(100, 60), 60, "refuse")),
        ("account_at_address=off", Rule(None, None, Quota(100, 60), 600, "bucket")),
        ("address=off", Rule(None, Quota(5, 60), None, 600, "bucket")),
        (
            "account_at_address=10000/86400 block=86400",
            Rule(None, Quota(10_000, 86_400), Quota(100, 60), 86_400, "bucket"),
        ),
        ("off", Rule()),
    ],
)
def test_changed(words: str, rule: Rule) -> None:
    """What is named is changed, what is not keeps its default, and no other path changes."""
    rules = parse(f"\n {SIGN_IN} {words} ;\n /auth/login account=3/60;")
    assert rules.pop(SIGN_IN) == rule
    assert rules.pop("/auth/login").account == Quota(3, 60)
    assert rules.items() <= DEFAULTS.items()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/api/v2/signIn account=5/60", "no path that can be limited"),
        ("/api/v2/signin/ account=5/60", "no path that can be limited"),
        ("account=5/60", "no path that can be limited"),
        ("off; off", "no path that can be limited"),
        (f"{SIGN_IN} off; {SIGN_IN} off", "named twice"),
        (SIGN_IN, "limits are missing"),
        (f"{SIGN_IN} off account=5/60", "off is not one of"),
        (f"{SIGN_IN} accounts=5/60", "accounts=5/60 is not one of"),
        (f"{SIGN_IN} account=5/60 account=6/60", "account is given twice"),
        (f"{SIGN_IN} account=5", "neither N/SECONDS nor off"),
        (f"{SIGN_IN} account=", "neither N/SECONDS nor off"),
        (f"{SIGN_IN} account=0/60", "whole number from 1 to 10000"),
        (f"{SIGN_IN} account=-1/60", "whole number"),
        (f"{SIGN_IN} account=٥/60", "whole number"),
        (f"{SIGN_IN} account=10001/60", "whole number from 1 to 10000"),
        (f"{SIGN_IN} address=5/0", "whole number from 1 to 86400"),
        (f"{SIGN_IN} address=5/60/1", "whole number"),
        (f"{SIGN_IN} address=5/86401", "whole number"),
        (f"{SIGN_IN} block=off", "whole number from 0 to 86400"),
        (f"{SIGN_IN} block=1.5", "whole number"),
        (f"{SIGN_IN} away=closed", "not one of bucket, refuse, pass"),
        (f"{SIGN_IN} account=5/601", "block=600 is shorter than the 601 s"),
        (f"{SIGN_IN} block=59", "block=59 is shorter than the 60 s"),
    ],
)
def test_refused_at_start(text: str, problem: str) -> None:
    """What cannot be meant is refused at start, with the path and what is wrong there."""
    with pytest.raises(SettingsError) as refused:
        GatewaySettings.load(ENVIRONMENT | {"DRAGOMAN_GATEWAY_LIMITS": text})
    assert problem in str(refused.value)
    assert "DRAGOMAN_GATEWAY_LIMITS" in str(refused.value)


@pytest.mark.parametrize("text", ["", "off", f"{SIGN_IN} off; /auth/login account=3/60 block=60 away=pass"])
def test_formatted(text: str) -> None:
    """What the rules are can be written down, and read again as the same."""
    rules = parse(text)
    assert parse(format_rules(rules)) == {path: rules.get(path, Rule()) for path in DEFAULTS}


@pytest.mark.parametrize(("requests", "half"), [(1, 1), (2, 1), (3, 2), (5, 3), (100, 50)])
def test_halved(requests: int, half: int) -> None:
    """Half as many, rounded up: never none at all."""
    assert Quota(requests, 60).halved() == Quota(half, 60)
