"""Writes docs/settings.md from the settings themselves: `python -m cli.settings_page > docs/settings.md`."""

import click

from cli import components
from shared.settings import describe

_HEAD = """\
# Settings

Made by `make docs` from the code; a test compares. Names marked * may also be given once for all components, without
the component's name (`DRAGOMAN_POSTGRES_URL`). Secrets may be given as files, under their name with `_FILE`.
What is required and given as nothing counts as not given.
"""


_COMMANDS = """\
## broker

What `dragoman broker` reads beside the broker URL of each component and of the operator.

| name | default | meaning |
|---|---|---|
| `DRAGOMAN_BROKER_MANAGEMENT_URL` | required by `apply` | RabbitMQ's management API, with a user who administers it |
"""


def page() -> str:
    """The page in Markdown."""
    sections = [_HEAD]
    for name in components.COMPONENTS:
        rows = describe(components.component(name).settings)
        table = "\n".join(
            f"| `{setting.rstrip('*')}`{' *' if setting.endswith('*') else ''} | {default} | {meaning} |"
            for setting, default, meaning in rows
        )
        sections.append(f"## {name}\n\n| name | default | meaning |\n|---|---|---|\n{table}\n")
    return "\n".join([*sections, _COMMANDS])


if __name__ == "__main__":
    click.echo(page(), nl=False)
