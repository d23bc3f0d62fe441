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
    response = _response(method, urlsplit(path).path, str(status))
    if response is None:
        raise NotInTheContractError(f"{where}, which isn't documented")
    for name, header in response.get("headers", {}).items():
        if resolved(header).get("required") and name.lower() not in headers:
            raise NotInTheContractError(f"{where} without {name}")
    content = response.get("content")
    if content is None:
        if text:
            raise NotInTheContractError(f"{where} with a body: {text[:200]}")
        return
    kind = next(iter(headers.get("content-type", [])), "").partition(";")[0]
    if kind not in content:
        raise NotInTheContractError(f"{where} as {kind!r}, which isn't documented")
    if kind.endswith("json"):
        faults = [
            f"{fault.json_path}: {fault.message[:300]}"
            for fault in _validator(json.dumps(content[kind]["schema"])).iter_errors(
                json.loads(text)
            )
        ]
        if faults:
            raise NotInTheContractError(f"{where} with another body: " + "; ".join(faults))


def _response(method: str, path: str, status: str) -> dict[str, Any] | None:
    """Return what is documented for a status; where nothing is listed, what any request may meet."""
    operation = _operation(method, path)
    if operation is not None:
        found = operation["responses"].get(status)
        return None if found is None else resolved(found)
    unlisted = _UNLISTED.get(status)
    responses: dict[str, Any] = document()["components"]["responses"]
    return None if unlisted is None else responses[unlisted]


@functools.cache
def _operation(method: str, path: str) -> dict[str, Any] | None:
    for template, item in document()["paths"].items():
        pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))
        if method.lower() in item and re.fullmatch(pattern, unquote(path)):
            found: dict[str, Any] = item[method.lower()]
            return found
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
