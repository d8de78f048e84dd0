"""Add golden messages: `python -m tests.contract.golden --add`."""

import argparse

from tests.contract.golden import add


def main() -> None:
    """Write what is missing and name it; without `--add` only explain."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.golden", description=__doc__)
    parser.add_argument("--add", action="store_true", required=True, help="write missing files and fields")
    parser.parse_args()
    for name in add():
        print(f"added to {name}.json")  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
