"""What the limits are: for each path, how many requests of one account and of one address, and what then.

As text: `PATH account=5/60 address=100/60 block=600 away=refuse; PATH …`. A path that is named keeps, of its default,
what is not named; `account=off` and the like remove one limit, `PATH off` removes all of the path, and `off` alone
removes all limits of all paths.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

Away = Literal["bucket", "refuse", "pass"]

QUOTAS = ("account", "account_at_address", "address")

_NUMBER = re.compile(r"[0-9]{1,9}")
_MOST_REQUESTS = 10_000
_LONGEST_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `requests` in any `seconds`."""

    requests: int
    seconds: int

    def halved(self) -> "Quota":
        """Half as many requests, rounded up."""
        return Quota(-(-self.requests // 2), self.seconds)

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds}"


@dataclass(frozen=True, slots=True)
class Rule:
    """The limits of one path.

    - `account`: for each account (or whatever else a secret is guessed for), wherever the requests come from.
    - `account_at_address`: for each account at each address, so that nobody can use up somebody else's share. What an
      account may fail in all, `identity` counts.
    - `address`: for each address, whoever the requests are about.
    - `block`: for how many seconds everything is refused once there were more; 0: until there is room again.
    - `away`: what is done while Redis is away: `bucket` counts in this process alone, to half as many; `refuse` says
      503; `pass` counts nothing.
    """

    account: Quota | None = None
    account_at_address: Quota | None = None
    address: Quota | None = None
    block: int = 0
    away: Away = "bucket"

    def __str__(self) -> str:
        quotas = [f"{name}={quota}" for name, quota in self.quotas().items()]
        return " ".join([*quotas, f"block={self.block}", f"away={self.away}"]) if quotas else "off"

    def quotas(self) -> dict[str, Quota]:
        """The limits that there are, by name."""
        return {name: quota for name in QUOTAS if (quota := getattr(self, name)) is not None}


_MANY = Quota(100, 60)
# An office, or a server that speaks for many, is one address; each account's failures are counted behind the gateway.
_SIGN_IN = Rule(address=Quota(600, 60), block=60)
_SERVED = Quota(6000, 60)
_REFRESH = Rule(address=_SERVED)
_SENDING = Rule(account=Quota(5, 600), address=Quota(100, 600), block=600)
_FEW = Quota(5, 60)
_CODE = Rule(address=_MANY, away="refuse")
# Signing in by a provider begins at one path by GET, and a second factor is proved at the same by POST.
_PROVIDER_CODE = Rule(account=_FEW, address=_SIGN_IN.address, block=60, away="refuse")

DEFAULTS: Mapping[str, Rule] = {
    "/api/v2/signin": Rule(account_at_address=_FEW, address=_MANY, block=600),
    "/api/v2/2fa/confirm": Rule(account=Quota(3, 60), address=_MANY, block=600, away="refuse"),
    "/api/v2/refresh": Rule(account_at_address=_FEW, address=_MANY, block=600),
    "/oauth/v2/token": Rule(address=_SERVED, block=60),
    "/otp/send": Rule(account=Quota(5, 600), address=Quota(600, 60), block=600),
    "/v1/login": _SIGN_IN,
    "/v1/new-password-required": _SIGN_IN,
    "/v1/token-refresh": _REFRESH,
    "/v1/forgot-password": _SENDING,
    "/v1/forgot-password-confirm": _CODE,
    "/v1/change-password": Rule(address=_MANY),
    "/auth/login": _SIGN_IN,
    "/auth": _REFRESH,
    "/auth/oauth": _SIGN_IN,
    "/auth/oauth/{provider}": _SIGN_IN,
    "/auth/oauth/{provider}/callback": _SIGN_IN,
    "/auth/login/{provider}": _PROVIDER_CODE,
    "/auth/login/{provider}/callback": _SIGN_IN,
    "/auth/refresh": _REFRESH,
    "/auth/password/request": _SENDING,
    "/auth/password/reset": Rule(address=_MANY),
    "/users/me/tfa/generate": _CODE,
    "/users/me/tfa/enable": _CODE,
    "/users/me/tfa/disable": _CODE,
}
"""Every path that can be limited, with its limits where nobody says otherwise."""


def parse(text: str) -> dict[str, Rule]:
    """The rule of each path: the defaults, changed as `text` says. Raises ValueError that says what is wrong where."""
    if text.strip() == "off":
        return {}
    rules, named = dict(DEFAULTS), set()
    for part in text.split(";"):
        path, *words = part.split() or [""]
        if not path:
            continue
        if path not in rules:
            raise ValueError(f"{path[:80]} is no path that can be limited; there are {', '.join(DEFAULTS)}")
        if path in named:
            raise ValueError(f"{path} is named twice")
        named.add(path)
        try:
            rules[path] = _changed(rules[path], words)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return rules


def format_rules(rules: Mapping[str, Rule]) -> str:
    """The text that says the same as these rules, whatever the defaults are."""
    return "; ".join(f"{path} {rules.get(path, Rule())}" for path in DEFAULTS)


def _changed(rule: Rule, words: list[str]) -> Rule:
    if not words:
        raise ValueError("its limits are missing")
    if words == ["off"]:
        return Rule()
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in _READERS:
            raise ValueError(f"{word[:80]} is not one of {_WORDS}")
        if name in given:
            raise ValueError(f"{name} is given twice")
        try:
            given[name] = _READERS[name](value)
        except ValueError as error:
            raise ValueError(f"{word[:80]}: {error}") from None
    rule = replace(rule, **given)
    for quota in rule.quotas().values():
        # What is counted is forgotten when a block begins: a short one would allow more, not less.
        if 0 < rule.block < quota.seconds:
            raise ValueError(f"block={rule.block} is shorter than the {quota.seconds} s in which requests are counted")
    return rule


def _quota(text: str) -> Quota | None:
    if text == "off":
        return None
    requests, slash, seconds = text.partition("/")
    if not slash:
        raise ValueError("neither N/SECONDS nor off")
    return Quota(_number(requests, 1, _MOST_REQUESTS), _number(seconds, 1, _LONGEST_SECONDS))


def _block(text: str) -> int:
    return _number(text, 0, _LONGEST_SECONDS)


def _number(text: str, least: int, most: int) -> int:
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise ValueError(f"not a whole number from {least} to {most}")
    return int(text)


def _away(text: str) -> str:
    if text not in get_args(Away):
        raise ValueError(f"not one of {', '.join(get_args(Away))}")
    return text


_READERS: Mapping[str, Callable[[str], Any]] = {**dict.fromkeys(QUOTAS, _quota), "block": _block, "away": _away}
_WORDS = f"{', '.join(f'{name}=N/SECONDS' for name in QUOTAS)}, block=SECONDS, away=…"
