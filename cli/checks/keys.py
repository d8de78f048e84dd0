"""The keys that sign access tokens, asked of `token` as `dragoman keys list` does."""

from collections.abc import Mapping

from cli.checks.finding import Findings
from cli.operator import operator_bus
from shared import context
from shared.contracts.token import ListSigningKeys, SigningKeyInfo
from shared.errors import Error
from shared.settings import SettingsError

_SECONDS = 10.0


async def check_keys(environ: Mapping[str, str], request_id: str) -> list[Findings]:
    """Ask for the keys over the bus, which also shows that a call comes through and back."""
    findings = Findings("keys")
    try:
        async with operator_bus(environ) as bus:
            with context.request(request_id, _SECONDS):
                judge_keys(findings, (await bus.call(ListSigningKeys())).keys)
    except Error as error:
        findings.problem("token", f"does not answer: {error.message}", "is token running, and connected to the broker?")
    except SettingsError as error:
        for problem in error.problems:
            findings.problem("operator", problem, "this command itself needs the operator's broker URL")
    return [findings]


def judge_keys(findings: Findings, keys: list[SigningKeyInfo]) -> None:
    """One key has to sign and another one be known before its turn; one wrapping key has to open all."""
    active = [key for key in keys if key.state == "active"]
    standby = [key for key in keys if key.state == "next"]
    if len(active) == 1:
        findings.ok("active", f"{active[0].kid} ({active[0].algorithm})")
    else:
        hint = "dragoman keys rotate --now" if not active else "dragoman keys retire ends the surplus"
        findings.problem("active", f"{len(active)} keys sign", hint)
    if standby:
        findings.ok("standby", ", ".join(f"{key.kid} ({key.algorithm})" for key in standby))
    else:
        findings.warn("standby", "no key is published for later", "token publishes one by itself: look into its log")
    wrapped_by = {key.wrapped_by for key in keys if key.wrapped_by}
    if len(wrapped_by) > 1:
        findings.warn("wrapping", f"{len(wrapped_by)} wrapping keys are in use", "dragoman keys rewrap")
