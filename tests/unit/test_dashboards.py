"""Dashboards and alerts speak of what is measured, by its right names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.bus.messages import CALLS
from shared.errors import ErrorCode
from tests.support.metrics import exported, names_of

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy" / "dashboards").glob("*.json"))
RULES = ROOT / "deploy" / "alerts" / "dragoman.rules.yaml"
TARGET_LABELS = {"namespace", "job", "instance"}
"""What Prometheus puts on everything that it reads."""

CODES = {*ErrorCode, "ok", "abandoned"}


def expressions() -> Iterator[tuple[str, str]]:
    """Every query, with the place where it stands."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.name}: {panel['title']}", target["expr"]
    for rule in alerts():
        yield f"{RULES.name}: {rule['alert']}", rule["expr"]


def alerts() -> list[dict[str, Any]]:
    """Every alert."""
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def labels_of(name: str) -> set[str] | None:
    """The labels of a series; None for one that no component exports."""
    known = [series[name] for series in exported().values() if name in series]
    return set().union(*known) | TARGET_LABELS if known else None


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_every_metric_that_is_asked_for_is_exported_with_those_labels(place: str, expression: str) -> None:
    """No panel stays empty and no alert stays silent for want of a name that was changed or mistyped."""
    asked = re.findall(r"\b(dragoman_\w+)(?:\{([^}]*)\})?", expression)
    assert asked, f"{place} asks for nothing"
    everything: set[str] = set()
    for name, selector in asked:
        known = labels_of(name)
        assert known is not None, f"{place}: nobody exports {name}"
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= known, f"{place}: {name} has labels {known}"
        everything |= known
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= everything, f"{place} groups by what is not there"


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_every_code_subject_and_status_that_is_asked_for_can_come(place: str, expression: str) -> None:
    """A word that no call ends with, and a call that does not exist, would be waited for in vain."""
    for operator, text in re.findall(r'\bcode(=~|!~|!=|=)"([^"]*)"', expression):
        assert set(text.split("|") if "~" in operator else [text]) <= CODES, place
    for text in re.findall(r'\bsubject=~?"([^"]*)"', expression):
        assert any(re.fullmatch(text, subject) for subject in CALLS), place


def test_legends_name_labels_that_their_queries_keep() -> None:
    """A line in a graph says whose it is."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                groups = re.findall(r"\bby \(([^)]*)\)", target["expr"])
                kept = {label.strip() for group in groups for label in group.split(",")} or TARGET_LABELS
                assert wanted <= kept, f"{path.name}: {panel['title']}"


def test_dashboards_can_be_used_anywhere() -> None:
    """The data source, the namespace and the jobs are chosen by whoever looks; no two panels share an id or a place."""
    assert DASHBOARDS
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "namespace", "job"]
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        assert len({tuple(panel["gridPos"].values()) for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            assert panel["type"] == "row" or panel["description"]
            assert panel.get("datasource", {}).get("uid", "${datasource}") == "${datasource}"
            for target in panel.get("targets", []):
                asked = re.findall(r"\bdragoman_\w+(.?)", target["expr"])
                selected = target["expr"].count('{namespace=~"$namespace", job=~"$job"')
                assert len(asked) == selected, f"{path.name}: {panel['title']}"


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    """Whoever is woken reads one sentence of what is wrong and one of what to do first, with labels that are there."""
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "runbook"}, rule["alert"]
        kept = {
            label.strip() for group in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in group.split(",")
        } | set(re.findall(r"absent\(\w+\{(\w+)=", rule["expr"]))
        for text in rule["annotations"].values():
            assert set(re.findall(r"\$labels\.(\w+)", text)) <= kept, rule["alert"]


def test_runbooks_name_settings_and_commands_that_exist() -> None:
    """What an alert tells to do can be done."""
    settings = (ROOT / "docs" / "settings.md").read_text()
    readme = (ROOT / "README.md").read_text() + (ROOT / "docs" / "doctor.md").read_text()
    for rule in alerts():
        runbook = rule["annotations"]["runbook"]
        for name in re.findall(r"DRAGOMAN_\w+", runbook):
            assert f"`{name}`" in settings or name == "DRAGOMAN_OTLP_ENDPOINT", f"{rule['alert']}: {name}"
        for command in re.findall(r"`dragoman ([a-z-]+ ?[a-z]*)", runbook):
            assert f"dragoman {command.split()[0]}" in readme or "--check" in runbook, f"{rule['alert']}: {command}"


def test_the_page_lists_every_metric() -> None:
    """docs/observability.md has each metric that a component exports, with its labels, and no other."""
    page = (ROOT / "docs" / "observability.md").read_text()
    listed = re.findall(r"^\| `(dragoman_\w+)` \| ([a-z, ]*) ?\| (.+) \|$", page, re.MULTILINE)
    known: dict[str, set[str]] = {}
    for series in exported().values():
        for name in names_of(series):
            known[name] = next(
                set(labels) - {"le"} for found, labels in series.items() if found in {name, f"{name}_bucket"}
            )
    assert {name: {word.strip() for word in labels.split(",") if word.strip()} for name, labels, _ in listed} == known
    assert len(listed) == len(known)
