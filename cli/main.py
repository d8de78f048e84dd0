"""The `dragoman` command."""

from importlib import import_module

import click

from cli import components
from cli.broker import broker
from cli.clients import client
from cli.dead_letters import dead_letters
from cli.doctor import doctor
from cli.keys import keys
from cli.output import show
from cli.providers import provider
from cli.revoke import revoke
from cli.security_settings import settings
from cli.users import user
from shared.process import load_settings, run
from shared.settings import describe, environment


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dragoman")
def main() -> None:
    """One identity platform behind several authentication APIs.

    Components run in the foreground until SIGTERM and read DRAGOMAN_* settings; the other commands work over the bus.
    """


def _component_command(name: str) -> click.Command:
    @click.command(name, help=f"Run {name}, or only check its settings.")
    @click.option(
        "--check", is_flag=True, help="Check the settings and end: 0 when they are right, 2 with all mistakes."
    )
    @click.option("--settings", "listed", is_flag=True, help="List what the environment can set, and end.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def command(check: bool, listed: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
        component = components.component(name)
        if listed:
            rows = describe(component.settings)
            documents = [{"name": row[0], "default": row[1], "meaning": row[2]} for row in rows]
            lines = [f"{setting}\n    {meaning} [{default}]" for setting, default, meaning in rows]
            show(documents, lines, as_json=as_json)
        elif check:
            load_settings([component])
            show({"component": name, "settings": "right"}, [f"{name}: the settings are right"], as_json=as_json)
        else:
            run([component])

    return command


for _name in components.COMPONENTS:
    main.add_command(_component_command(_name))


@main.command("all")
@click.option("--check", is_flag=True, help="Check the settings of all components and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def all_components(check: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Run all five components in one process, for development."""
    found = [components.component(name) for name in components.COMPONENTS]
    if check:
        load_settings(found)
        show({"component": "all", "settings": "right"}, ["all: the settings are right"], as_json=as_json)
    else:
        run(found)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def migrate(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Bring every schema to its newest revision and give each service's role its rights.

    DRAGOMAN_POSTGRES_URL names the database and a role that may create schemas and roles. A service whose own
    DRAGOMAN_<SERVICE>_POSTGRES_URL is set too gets a role of its own, limited to its schema.
    """
    migrations = import_module("cli.migrations")  # only now: see there
    revisions = migrations.migrate_all(components.postgres_urls(environment()))
    show(revisions, [f"{schema:<10}{revision}" for schema, revision in revisions.items()], as_json=as_json)


main.add_command(broker)
main.add_command(doctor)
main.add_command(client)
main.add_command(dead_letters)
main.add_command(revoke)
main.add_command(keys)
main.add_command(provider)
main.add_command(settings)
main.add_command(user)

if __name__ == "__main__":
    main()
