"""The description of the API: every path that is there, nothing that is not, and a page that shows all of it."""

import re
from html.parser import HTMLParser
from itertools import chain
from typing import Any

import pytest
from aiohttp import web
from openapi_schema_validator import validate as validate_body
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from gateway.app import build_app
from gateway.dialects import oauth2
from gateway.limits.rules import DEFAULTS
from gateway.openapi.document import SECTIONS, build_document, methods
from gateway.openapi.page import render
from gateway.settings import GatewaySettings
from shared.bus.memory import MemoryBroker
from shared.telemetry import Telemetry
from shared.testing import FakeClock, MemoryKit
from tests.unit.gateway.edge import ENVIRONMENT

SETTINGS = GatewaySettings.load(ENVIRONMENT)


def served() -> list[web.RouteDef]:
    """Every route of the whole application, but HEAD where there is GET, and each of a route for any method."""
    kit = MemoryKit(Telemetry("gateway"), clock=FakeClock(), broker=MemoryBroker())
    app = build_app(SETTINGS, kit.bus(SETTINGS), kit)
    return [
        web.RouteDef(route.method, route.resource.canonical, route.handler, {})
        for route in app.router.routes()
        if route.method != "HEAD" and route.resource is not None
    ]


@pytest.fixture(scope="module")
def document() -> Any:
    """The description of the application."""
    return build_document(served(), SETTINGS)


def operations(document: Any) -> list[tuple[str, str, Any]]:
    """Each method and path, and what is said of it."""
    return [(method, path, each) for path, item in document["paths"].items() for method, each in item.items()]


def test_every_route_is_described_and_every_description_has_a_route() -> None:
    """What the tables say and what the gateway serves are the same paths by the same methods."""
    routes = {(route.method, route.path) for route in served()}
    assert routes == {key for section in SECTIONS for key in section.operations}


def test_a_route_without_description_is_an_error() -> None:
    """A path cannot be added without being described."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response()

    with pytest.raises(KeyError, match="/undescribed"):
        build_document([web.get("/undescribed", handler)], SETTINGS)


def test_the_document_is_openapi(document: Any) -> None:
    """It holds to the OpenAPI specification, version 3.1."""
    assert document["openapi"] == "3.1.0"
    validate(document, cls=OpenAPIV31SpecValidator)


def test_operations_have_ids_of_their_own(document: Any) -> None:
    """Generated clients name their functions by them."""
    names = [each["operationId"] for _, _, each in operations(document)]
    assert len(names) == len(set(names)) == sum(len(methods(method)) for s in SECTIONS for method, _ in s.operations)


def test_examples_are_what_the_bodies_may_be(document: Any) -> None:
    """A first attempt that copies an example is not refused for its form."""
    bodies = [each["requestBody"]["content"] for _, _, each in operations(document) if "requestBody" in each]
    for kind in chain.from_iterable(body.values() for body in bodies):
        validate_body(kind["example"], kind["schema"])
    assert len(bodies) == len([o for s in SECTIONS for o in s.operations.values() if o.body is not None])


def test_limited_paths_can_answer_429(document: Any) -> None:
    """Clients of them are told so, and where to read when to come again."""
    answers = {path: each["responses"] for _, path, each in operations(document)}
    for path in DEFAULTS:
        assert "Retry-After" in answers[path]["429"]["headers"]
        success = next(answer for status, answer in answers[path].items() if status < "400")
        assert {"RateLimit", "RateLimit-Policy"} <= set(success["headers"])
    assert "429" not in answers["/api/v2/signout"]


@pytest.mark.parametrize("section", SECTIONS, ids=[section.name for section in SECTIONS])
def test_each_dialect_has_its_own_error(document: Any, section: Any) -> None:
    """Every refusal has the body of its dialect's errors, but for the one that the origin has otherwise."""
    usual = {"$ref": f"#/components/schemas/{section.name.capitalize()}Error"}
    for _, path, each in operations(document):
        if each["tags"] == [section.name]:
            refusals = {status: answer for status, answer in each["responses"].items() if status >= "400"}
            assert {"500", "503"} <= set(refusals)
            for status, answer in refusals.items():
                is_usual = answer["content"]["application/json"]["schema"] == usual
                assert is_usual != ((path, status) == ("/otp/send", "422"))


def test_the_wire_models_are_the_bodies(document: Any) -> None:
    """A field that a handler reads is a field of the document."""
    schema = document["paths"]["/oauth/v2/token"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == set(oauth2.TokenRequest.model_fields)
    refresh = document["paths"]["/api/v2/refresh"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert refresh["required"] == ["refreshToken"]  # as it is on the wire, not in the code


class Page(HTMLParser):
    """What of a page matters: its tags, what it would load, its ids, where its links lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag tells."""
        self.tags.add(tag)
        for name, value in attrs:
            noted = {"src": self.loaded, "srcset": self.loaded, "id": self.ids, "href": self.links}.get(name)
            if noted is not None:
                noted.append(value or "")
            assert not name.startswith("on")
            assert name != "style"


def test_the_page_shows_every_path_and_loads_nothing(document: Any) -> None:
    """One file with everything in it: no script, no picture, no style or font from anywhere."""
    html = render(document)
    page = Page(html)
    assert not page.loaded
    assert not {"script", "link", "img", "iframe", "form"} & page.tags
    assert not re.search(r"@import|url\(", html)
    assert [link for link in page.links if not link.startswith("#")] == ["openapi.json"]
    assert {link[1:] for link in page.links if link.startswith("#")} == set(page.ids)
    for path in document["paths"]:
        assert f"<code>{path}</code>" in html


def test_the_page_escapes_what_it_shows(document: Any) -> None:
    """Nothing in the document can become markup."""
    info = document["info"] | {"title": "<script>alert(1)</script>", "summary": "a & b"}
    html = render(document | {"info": info})
    assert "script" not in Page(html).tags
    assert "a &amp; b" in html
