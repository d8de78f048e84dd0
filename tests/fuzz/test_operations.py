"""Every operation of the description, asked with good and bad requests, keeps to the description.

schemathesis makes the requests from the document that the gateway serves. Some of them get what a caller could have:
tokens, passwords and codes that are right, so that not only the first check is ever met.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.openapi.document import SECTIONS, methods
from shared.contracts.providers import AddProvider, Provider
from tests.fuzz.budget import Budget
from tests.fuzz.running import RunningPlatform
from tests.fuzz.wallet import Wallet, fill

SETTINGS = {"gateway_directus_login_stall_ms": "0"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PROVIDER = Provider(name="github", kind="github", client_id="a", secret="a")
"""An external provider that browsers are sent to; nobody comes back from it."""
_DESCRIBED = [(method, operation) for section in SECTIONS for (method, _), operation in section.operations.items()]
OPERATIONS = [
    (section.name, method, path)
    for section in SECTIONS
    for described, path in section.operations
    for method in methods(described)
]
_VARIED = sum(bool(each.body or each.proof) * len(methods(verb)) for verb, each in _DESCRIBED)
"""Operations of which there is more than one case."""
_USES = 60
_SECONDS = 10.0
_LONGEST = 7
"""Of what is made up for a path, and so logged: the same text could be a password elsewhere, a secret in a log."""


class Wallets:
    """A wallet that is filled anew once much of what is in it may have been used up."""

    def __init__(self, running: RunningPlatform) -> None:
        self._running = running
        self._uses = 0
        self._current = Wallet()

    def take(self) -> Wallet:
        """A wallet in which most is good."""
        if self._uses % _USES == 0:
            self._current = self._running.run(fill(self._running.platform, self._uses // _USES))
        self._uses += 1
        return self._current


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """A client that keeps its connection."""
    with requests.Session() as opened:
        yield opened


@pytest.fixture(scope="module")
def wallets(running: RunningPlatform) -> Wallets:
    """What callers have."""
    return Wallets(running)


@pytest.fixture(scope="module")
def schema(running: RunningPlatform, session: requests.Session) -> Any:
    """The description as the gateway serves it, once there is a provider that its paths can name."""
    running.run(running.platform.operate(AddProvider(provider=PROVIDER)))
    document = session.get(f"{running.platform.url}/openapi.json", timeout=_SECONDS).json()
    return schemathesis.openapi.from_dict(document)


@pytest.mark.timeout(0)
@pytest.mark.parametrize(("section", "method", "path"), OPERATIONS, ids=[" ".join(each[1:]) for each in OPERATIONS])
def test_an_operation_keeps_to_its_description(
    running: RunningPlatform,
    budget: Budget,
    wallets: Wallets,
    session: requests.Session,
    schema: Any,
    section: str,
    method: str,
    path: str,
) -> None:
    """Whatever is sent, the answer has a status, a media type and a body that the description names, and is no 5xx."""
    operation = schema[path][method]
    good = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    bad = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @budget.requests(_VARIED, f"{method} {path}")
    @given(case=good | bad if operation.body or operation.path_parameters else good, data=st.data())
    def tried(case: Any, data: st.DataObject) -> None:
        for name, value in case.path_parameters.items():
            case.path_parameters[name] = str(value)[:_LONGEST]
        if data.draw(st.booleans()):
            for place in (case.path_parameters, case.query):
                place.update({name: PROVIDER.name for name in place if name == "provider"})
        _arm(case, wallets, section, data)
        answer = case.call_and_validate(
            base_url=running.platform.url,
            session=session,
            checks=CHECKS,
            allow_redirects=False,
            timeout=_SECONDS,
        )
        budget.tried[f"{method} {path} {answer.status_code}"] += 1

    tried()


def _arm(case: Any, wallets: Wallets, section: str, data: st.DataObject) -> None:
    """Put good values in the place of some, or of all."""
    definition = case.operation.definition.raw
    proofs = {name for way in definition.get("security", []) for name in way}
    if data.draw(st.booleans()) and proofs:
        proof = "client" if "client" in proofs else "bearer"
        case.headers["Authorization"] = data.draw(st.sampled_from(wallets.take().authorizations(section, proof)))
    how = data.draw(st.sampled_from(["as made", "some", "all"])) if isinstance(case.body, dict) else "as made"
    if how == "as made":
        return
    wallet = wallets.take()
    if how == "all":
        case.body = dict(definition["requestBody"]["content"]["application/json"]["example"])
    for name in list(case.body):
        values = wallet.values(section, name)
        if values and (how == "all" or data.draw(st.booleans())):
            case.body[name] = data.draw(st.sampled_from(values))
