"""Prints the names of settings that the chart lets through, from the code: `python -m deploy.helm_settings`."""

import yaml
from pydantic import SecretStr

from cli import components

_HEAD = "# Made by `make docs` from the code: the settings that each component can be given as values.\n"


def page() -> str:
    """The chart's files/settings.yaml. Secrets are not in it, since no value may be one."""
    names = {
        name: [
            field.upper()
            for field, info in components.component(name).settings.model_fields.items()
            if info.annotation is not SecretStr
        ]
        for name in components.COMPONENTS
    }
    return _HEAD + yaml.safe_dump(names, sort_keys=False)


if __name__ == "__main__":
    print(page(), end="")
