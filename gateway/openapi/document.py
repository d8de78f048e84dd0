"""The document, from the routes, the wire models, the limits and the tables."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from gateway.limits.rules import DEFAULTS as LIMITED
from gateway.openapi import backoffice, directus, enterprise, oauth2, platform
from gateway.openapi.describe import FORM, JSON, MULTIPART, STRING, Operation, Proof, Section
from gateway.settings import GatewaySettings

SECTIONS = (oauth2.SECTION, backoffice.SECTION, enterprise.SECTION, directus.SECTION, platform.SECTION)

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What a route for any method is described by; HEAD is as GET everywhere."""

_EVERYWHERE = {500: "Something went wrong on the platform's side.", 503: "The service is away; later it may not be."}
_OF_BODIES = {
    400: "The body or a field of it cannot be read.",
    408: "The body did not arrive in time.",
    413: "The body is larger than 64 KiB.",
    415: "The body has another media type or charset, or is compressed.",
}
_LIMITED = {429: "Too many requests or failures. Retry-After says when to come again."}
_PROOFS: Mapping[Proof, list[dict[str, list[str]]]] = {
    "bearer": [{"bearer": []}],
    "client": [{"client": []}, {}],  # or in the body
    "user": [{"bearer": []}, {"query": []}, {"cookie": []}],
}
_REFUSAL_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def build_document(routes: Iterable[web.RouteDef], settings: GatewaySettings) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes. Raises KeyError for one that no table describes."""
    described = {key: section for section in SECTIONS for key in section.operations}
    paths: dict[str, dict[str, Any]] = {}
    for method, path in sorted_as_described(routes):
        section = described[method, path]
        operation = section.operations[method, path]
        for one in methods(method):
            paths.setdefault(path, {})[one.lower()] = _operation(section, operation, one, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dragoman",
            "version": version("dragoman"),
            "summary": "One identity platform behind several authentication APIs.",
            "description": "Every answer has X-Request-Id and X-Content-Type-Options; what can be got by GET can be "
            "asked about by HEAD. Unknown paths are 404, other methods 405 with Allow.",
        },
        "servers": [{"url": settings.issuer.rstrip("/")}],
        "tags": [
            {"name": section.name, "description": section.about, "x-displayName": section.title} for section in SECTIONS
        ],
        "paths": paths,
        "components": {
            "schemas": {_error_name(section): section.error for section in SECTIONS},
            "headers": {name: {"description": text, "schema": STRING} for name, text in _HEADERS.items()},
            "securitySchemes": _security_schemes(settings),
        },
    }


_IN_PATH = {"tail": "the path in question", "provider": "the provider's name"}
_HEADERS = {
    "Retry-After": "In how many seconds to come again.",
    "WWW-Authenticate": "How to prove oneself (RFC 9110 §11.6.1).",
    "RateLimit-Policy": "The limits of the path.",
    "RateLimit": "What is left of them.",
}


def methods(method: str) -> tuple[str, ...]:
    """The methods that a route is described by."""
    return _METHODS if method == "*" else (method,)


def sorted_as_described(routes: Iterable[web.RouteDef]) -> list[tuple[str, str]]:
    """The method and path of each route in the tables' order; patterns of path parameters are left out."""
    order = {key: position for position, key in enumerate(key for section in SECTIONS for key in section.operations)}
    return sorted({(route.method, re.sub(r":[^}]*}", "}", route.path)) for route in routes}, key=order.__getitem__)


def _operation(section: Section, operation: Operation, method: str, path: str) -> dict[str, Any]:
    written: dict[str, Any] = {
        "operationId": "_".join(re.findall(r"[a-z0-9]+", f"{method} {path}".lower())),
        "tags": [section.name],
        "summary": operation.does,
    }
    if operation.more:
        written["description"] = operation.more
    if parameters := list(_parameters(operation, path)):
        written["parameters"] = parameters
    if operation.body is not None:
        written["requestBody"] = _request_body(operation)
    if operation.proof is not None:
        written["security"] = _PROOFS[operation.proof]
    written["responses"] = dict(_responses(section, operation, limited=path in LIMITED))
    return written


def _parameters(operation: Operation, path: str) -> Iterator[dict[str, Any]]:
    for name, about in _IN_PATH.items():
        if f"{{{name}}}" in path:
            yield {"name": name, "in": "path", "required": True, "description": about, "schema": STRING}
    for name, about in (operation.query or {}).items():
        yield {"name": name, "in": "query", "description": about, "schema": STRING}


def _request_body(operation: Operation) -> dict[str, Any]:
    body = operation.body
    schema = body.model_json_schema() if isinstance(body, type) and issubclass(body, BaseModel) else body
    kinds = (JSON, FORM, MULTIPART) if operation.multipart else (JSON, FORM)
    content = {kind: {"schema": schema, "example": operation.example} for kind in kinds}
    return {"required": not operation.body_optional, "content": content}


def _responses(section: Section, operation: Operation, *, limited: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    answer: dict[str, Any] = {"description": "Done."}
    headers: dict[str, Any] = {
        name: {"description": text, "schema": STRING} for name, text in (operation.headers or {}).items()
    }
    if limited:
        headers |= {name: _header(name) for name in ("RateLimit-Policy", "RateLimit")}
    if operation.moves:
        location = {"Location": {"description": "Where to.", "schema": STRING}}
        yield "302", {"description": operation.moves, "headers": {**headers, **location}}
    if headers:
        answer["headers"] = headers
    if operation.answer is not None:
        answer["content"] = {
            kind: {"schema": operation.answer if kind == JSON else STRING} for kind in operation.answers_as
        }
    if operation.status != 302:
        yield str(operation.status), answer
    refusals = {
        **_EVERYWHERE,
        **(_OF_BODIES if operation.body is not None else {}),
        **(_LIMITED if limited else {}),
        **(operation.refusals or {}),
    }
    usual = {"$ref": f"#/components/schemas/{_error_name(section)}"}
    for status, description in sorted(refusals.items()):
        schema = (operation.errors or {}).get(status, usual)
        refusal = {"description": description, "content": {JSON: {"schema": schema}}}
        names = _REFUSAL_HEADERS.get(status, ())
        yield str(status), {**refusal, **({"headers": {name: _header(name) for name in names}} if names else {})}


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _error_name(section: Section) -> str:
    return f"{section.name.capitalize()}Error"


def _security_schemes(settings: GatewaySettings) -> dict[str, Any]:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "client": {"type": "http", "scheme": "basic", "description": "A client's id and secret."},
        "query": {"type": "apiKey", "in": "query", "name": "access_token"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": settings.directus_session_cookie_name},
    }
