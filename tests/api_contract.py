"""Holds every answer of the portal against `chalicelib/openapi.json` (security row S70).

`tests/portal_client.py` asks it of each answer, in the test process and of the deployed stack alike.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DOCUMENT = Path(__file__).parent.parent / "chalicelib" / "openapi.json"
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
# A method that a path doesn't have never reaches us: API Gateway answers, in the test process Chalice.
_NO_SUCH_METHOD = (403, 404, 405, 501)
# What a path that isn't listed may answer: it is nothing, or the request as such is refused first.
_UNLISTED = {
    "400": "malformed",
    "403": "cross-site",
    "404": "not-found",
    "413": "too-large",
    "415": "unsupported-media-type",
    "500": "internal-error",
    "503": "unavailable",
}


class NotInTheContractError(AssertionError):
    """An answer that /openapi.json doesn't describe."""


@functools.cache
def document() -> dict[str, Any]:
    """Return the document as kept."""
    read: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))
    return read


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method in capitals, and operation."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method.upper(), item[method]


def check(
    method: str, path: str, status: int, headers: Mapping[str, Sequence[str]], text: str
) -> None:
    """Refuse an answer that its operation doesn't document: status, content type, headers, body.

    Raises:
        NotInTheContractError: it is none of those, and why.
    """
    where = f"{method} {path} answered {status}"
    item = _item(urlsplit(path).path)
    if item is not None and method.lower() not in item and status in _NO_SUCH_METHOD:
        return
    response = _response(method, item, str(status))
    if response is None:
        raise NotInTheContractError(f"{where}, which isn't documented")
    for name, header in response.get("headers", {}).items():
        if resolved(header).get("required") and name.lower() not in headers:
            raise NotInTheContractError(f"{where} without {name}")
    fault = _fault(response.get("content"), method, headers, text)
    if fault is not None:
        raise NotInTheContractError(f"{where} {fault}")


def _fault(
    content: Mapping[str, Any] | None, method: str, headers: Mapping[str, Sequence[str]], text: str
) -> str | None:
    """Return what is wrong with a body, None where it is as documented."""
    if content is None:
        return f"with a body: {text[:200]}" if text else None
    kind = next(iter(headers.get("content-type", [])), "").partition(";")[0]
    if kind not in content:
        return f"as {kind!r}, which isn't documented"
    if method == "HEAD" or not kind.endswith("json"):
        return None
    validator = _validator(json.dumps(content[kind]["schema"]))
    faults = [f"{f.json_path}: {f.message[:300]}" for f in validator.iter_errors(json.loads(text))]
    return "with another body: " + "; ".join(faults) if faults else None


def _response(method: str, item: Mapping[str, Any] | None, status: str) -> dict[str, Any] | None:
    """Return what is documented for a status; for an unlisted path, what any request may meet."""
    if item is not None:
        found = item.get(method.lower(), {"responses": {}})["responses"].get(status)
        return None if found is None else resolved(found)
    unlisted = _UNLISTED.get(status)
    responses: dict[str, Any] = document()["components"]["responses"]
    return None if unlisted is None else responses[unlisted]


@functools.cache
def _item(path: str) -> dict[str, Any] | None:
    """Return the operations of a path, None for one that isn't listed."""
    items: dict[str, dict[str, Any]] = document()["paths"]
    for template, item in items.items():
        pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, unquote(path)):
            return item
    return None


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference of the document leads to, anything else as it is."""
    while "$ref" in part:
        _, *steps = part["$ref"].split("/")
        part = functools.reduce(lambda found, step: found[step], steps, document())
    return part


@functools.cache
def _validator(schema: str) -> Draft202012Validator:
    """Return the validator of a schema, made once; references lead into the document."""
    inside = json.loads(schema.replace('"#/', '"urn:openapi#/'))
    resource = DRAFT202012.create_resource(document())
    registry: Registry[Any] = Registry().with_resource("urn:openapi", resource)
    return Draft202012Validator(inside, registry=registry)
