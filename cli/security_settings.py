"""`dragoman settings …`: the security settings that are changed while everything runs."""

import os
import pwd
from datetime import datetime
from importlib import import_module

import click

from cli.clients import JSON
from cli.operator import ask
from cli.output import show, table
from shared.contracts.identity import GetSecuritySettings, SecuritySetting, SetSecuritySetting

BY = click.option("--by", help="Who changes it, for the record; by default the user who runs this command.")


@click.group()
def settings() -> None:
    """List and change the security settings of a running platform.

    \b
    otp_enabled                  one-time codes may be asked for and used as passwords
    allow_new_users              codes go to unknown addresses too, and using one creates the user
    otp_ttl_seconds              how long such a code lives, 60 to 1800; empty: what otp is set to
    email_second_factor_default  users created from now on with an e-mail address get a code by e-mail
                                 at each sign-in; the oauth2 dialect then refuses their passwords
    limits                       rate limits that differ from the defaults, as in DRAGOMAN_GATEWAY_LIMITS;
                                 empty: what each gateway is set to

    They are kept, with who changed them and when, and every replica follows within a second. The settings of a
    component, which are read from its environment when it starts, are another thing: `dragoman token --settings`.
    """  # noqa: D301 - click's mark, for lines that are not to be wrapped


@settings.command("list")
@JSON
def list_settings(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List them, with their defaults, and who changed them last and when."""
    _show(ask(GetSecuritySettings()).settings, as_json=as_json)


@settings.command("get")
@click.argument("name")
@JSON
def get_setting(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Print the value of NAME as it is now."""
    found = ask(GetSecuritySettings()).settings
    named = next((setting for setting in found if setting.name == name), None)
    if named is None:
        names = ", ".join(setting.name for setting in found)
        raise click.ClickException(f"no such security setting; there are {names}")
    show(named.model_dump(mode="json"), [named.value], as_json=as_json)


@settings.command("set")
@click.argument("name")
@click.argument("value")
@BY
@JSON
def set_setting(name: str, value: str, by: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Change NAME to VALUE, for every replica and from now on."""
    if name == "limits":
        _check_limits(value)
    _change(name, value, by, as_json=as_json)


@settings.command("reset")
@click.argument("name")
@BY
@JSON
def reset_setting(name: str, by: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Put the default of NAME back: what the components' environment says."""
    _change(name, None, by, as_json=as_json)


def _change(name: str, value: str | None, by: str | None, *, as_json: bool) -> None:
    call = SetSecuritySetting(name=name, value=value, changed_by=_system_user() if by is None else by)
    changed = [setting for setting in ask(call).settings if setting.name == name]
    _show(changed, as_json=as_json)


def _check_limits(text: str) -> None:
    """Refuse what no gateway could read: `identity`, which keeps it, cannot tell."""
    try:
        import_module("gateway.limits.rules").parse(text)  # only now: no other command needs the gateway's code
    except ValueError as error:
        raise click.ClickException(f"limits: {error}") from None


def _system_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        return f"uid {os.getuid()}"


def _show(shown: list[SecuritySetting], *, as_json: bool) -> None:
    rows = [("NAME", "VALUE", "DEFAULT", "CHANGED", "BY")]
    rows += [
        (each.name, each.value or "-", each.default or "-", _moment(each.changed_at), each.changed_by or "-")
        for each in shown
    ]
    show([each.model_dump(mode="json") for each in shown], table(rows), as_json=as_json)


def _moment(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else "-"
