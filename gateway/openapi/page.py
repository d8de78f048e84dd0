"""The document as a page: paths by dialect, each with what it takes, what it answers, and a line for a shell.

Everything is text and one style sheet in the page itself; nothing is loaded from anywhere, and no script runs.
"""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

Node = Mapping[str, Any]


@cache
def _template() -> str:
    return files("gateway.openapi").joinpath("page.html").read_text("utf-8")


def style() -> str:
    """The style sheet as it stands in the page."""
    return _template().partition("<style>")[2].partition("</style>")[0]


def render(document: Node) -> str:
    """The page of a document."""
    sections = [(tag, list(_groups(document, tag["name"]))) for tag in document["tags"]]
    return Template(_template()).substitute(
        title=escape(document["info"]["title"]),
        version=escape(document["info"]["version"]),
        summary=escape(document["info"]["summary"]),
        description=escape(document["info"]["description"]),
        server=escape(document["servers"][0]["url"]),
        contents="".join(_contents(tag, groups) for tag, groups in sections),
        sections="".join(_section(tag, groups, document) for tag, groups in sections),
    )


def _groups(document: Node, tag: str) -> Iterator[tuple[str, list[str], Node]]:
    """The path, the methods and the operation, of which methods that do the same share one."""
    for path, item in document["paths"].items():
        methods = [method.upper() for method, operation in item.items() if tag in operation["tags"]]
        if methods:
            yield path, methods, item[methods[0].lower()]


def _contents(tag: Node, groups: Sequence[tuple[str, list[str], Node]]) -> str:
    links = "".join(
        f'<li><a href="#{operation["operationId"]}">{escape(path)}</a></li>' for path, _, operation in groups
    )
    return f'<li><a href="#{tag["name"]}">{escape(tag["x-displayName"])}</a><ul>{links}</ul></li>'


def _section(tag: Node, groups: Sequence[tuple[str, list[str], Node]], document: Node) -> str:
    operations = "".join(_operation(path, methods, operation, document) for path, methods, operation in groups)
    head = f"<h2>{escape(tag['x-displayName'])}</h2><p>{escape(tag['description'])}</p>"
    return f'<section id="{tag["name"]}">{head}{_usual_error(groups, document)}{operations}</section>'


def _operation(path: str, methods: list[str], operation: Node, document: Node) -> str:
    method = methods[0] if len(methods) == 1 else "ANY"
    more = f"<p>{escape(operation['description'])}</p>" if "description" in operation else ""
    return (
        f'<details><summary><b class="method">{method}</b> <code>{escape(path)}</code>'
        f'<span class="does">{escape(operation["summary"])}</span></summary>'
        # The id is inside, so that a link to it opens what is closed.
        f'<div id="{operation["operationId"]}">{more}{_query(operation)}{_takes(operation)}{_proof(operation)}'
        f"<h4>Answers</h4>{_answers(operation)}"
        f"<h4>Try it</h4>{_code(_curl(path, methods[0], operation, document))}</div></details>"
    )


def _query(operation: Node) -> str:
    rows = [
        f"<tr><th><code>{escape(each['name'])}</code></th><td>{escape(each['description'])}</td></tr>"
        for each in operation.get("parameters", [])
        if each["in"] == "query"
    ]
    return f"<h4>Query</h4><table>{''.join(rows)}</table>" if rows else ""


def _takes(operation: Node) -> str:
    body = operation.get("requestBody")
    if body is None:
        return ""
    kinds = ", ".join(escape(kind) for kind in body["content"])
    schema = next(iter(body["content"].values()))["schema"]
    return f'<h4>Body</h4><p class="quiet">{kinds}</p>{_fields(schema)}'


def _fields(schema: Node) -> str:
    required = schema.get("required", [])
    rows = []
    for name, field in schema["properties"].items():
        needed = "required" if name in required else "one of these" if "oneOf" in schema else "optional"
        rows.append(f"<tr><th><code>{escape(name)}</code></th><td>{escape(_kind(field))}</td><td>{needed}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _kind(field: Node) -> str:
    """A field's type and limits in a few words."""
    kinds = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
    words = "one of " + ", ".join(kinds[0]["enum"]) if "enum" in kinds[0] else str(kinds[0].get("type", "any"))
    if "maxLength" in kinds[0]:
        words += f", {kinds[0].get('minLength', 0)} to {kinds[0]['maxLength']} characters"
    return words


def _proof(operation: Node) -> str:
    names = {"bearer": "an access token in Authorization: Bearer", "client": "the client's id and secret"}
    more = {"query": "in ?access_token=", "cookie": "in the session cookie"}
    ways = [(names | more)[name] for way in operation.get("security", []) for name in way]
    return f"<h4>Proof</h4><p>{escape(', or '.join(ways))}</p>" if ways else ""


def _answers(operation: Node) -> str:
    return "".join(_answer(status, answer) for status, answer in operation["responses"].items())


def _answer(status: str, answer: Node) -> str:
    kind = "good" if status < "400" else "bad"
    line = f'<p><b class="{kind}">{status}</b> {escape(answer["description"])}</p>'
    content = answer.get("content", {}).get("application/json")
    # The dialect's usual error stands above all of its operations.
    shown = content is not None and "$ref" not in content["schema"]
    return f'<div class="answer">{line}{_code(_shape(content["schema"])) if shown else ""}</div>'


def _usual_error(groups: Sequence[tuple[str, list[str], Node]], document: Node) -> str:
    """The schema of a dialect's errors; every operation can answer 500, and does so in the usual form."""
    reference = groups[0][2]["responses"]["500"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    return f'<p class="quiet">An error is, unless something else is said:</p>{_code(_shape(schema))}'


def _code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"


def _shape(schema: Node, indent: str = "") -> str:
    """A schema as the JSON it describes, with types where values would be."""
    if "oneOf" in schema:
        return f"\n{indent}or\n{indent}".join(_shape(each, indent) for each in schema["oneOf"])
    if "anyOf" in schema:
        return " or ".join(_shape(each, indent) for each in schema["anyOf"])
    if words := schema.get("enum") or [schema[name] for name in schema if name == "const"]:
        return " or ".join(json.dumps(word) for word in words)
    if schema.get("type") == "array":
        return f"[{_shape(schema['items'], indent)}, …]" if "items" in schema else "[]"
    if schema.get("type") != "object":
        return str(schema.get("format") or schema.get("type", "any"))
    return _object_shape(schema, indent)


def _object_shape(schema: Node, indent: str) -> str:
    deeper = f"{indent}  "
    properties = schema.get("properties", {})
    lines = [
        f"{deeper}{json.dumps(name)}{'' if name in schema.get('required', []) else '?'}: {_shape(inner, deeper)}"
        for name, inner in properties.items()
    ]
    if schema.get("additionalProperties") is not False:
        values = schema.get("additionalProperties")
        lines.append(f"{deeper}…" + (f": {_shape(values, deeper)}" if isinstance(values, Mapping) else ""))
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}" if lines else "{}"


def _curl(path: str, method: str, operation: Node, document: Node) -> str:
    path = path.replace("{tail}", "orders/7").replace("{provider}", "github")
    words = ["curl", "-si", shlex.quote(document["servers"][0]["url"] + path)]
    if method != "GET":
        words += ["-X", method]
    if any("bearer" in way for way in operation.get("security", [])):
        words += ["-H", '"Authorization: Bearer $TOKEN"']
    body = operation.get("requestBody")
    if body is not None:
        example = json.dumps(body["content"]["application/json"]["example"], ensure_ascii=False)
        words += ["-H", shlex.quote("Content-Type: application/json"), "-d", shlex.quote(example)]
    return " ".join(words)
