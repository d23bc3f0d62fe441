"""/openapi.json: valid, the routes of app.py and no other, closed shapes, codes that there are."""

import importlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from chalicelib import errors, texts
from tests import api_contract
from tests.api_contract import NotInTheContractError

# The console's, which no page or client meets.
CONSOLE = {
    "account-exists",
    "no-such-guardian",
    "no-address",
    "no-such-account",
    "no-such-import",
    "no-such-request",
    "no-such-school",
    "already-decided",
    "changed-since",
    "superseded",
}


def test_it_is_openapi_3_1() -> None:
    assert api_contract.document()["openapi"].startswith("3.1.")
    assert [str(fault) for fault in OpenAPIV31SpecValidator(_document()).iter_errors()] == []


def _document() -> dict[str, Any]:
    """Return a copy: the validator works on what it is given."""
    copy: dict[str, Any] = json.loads(json.dumps(api_contract.document()))
    return copy


def test_it_has_the_routes_and_methods_of_the_app_and_no_other() -> None:
    routes = importlib.import_module("app").app.routes
    routed = {(path, method) for path, methods in routes.items() for method in methods}
    documented = {(path, method) for path, method, _ in api_contract.operations()}
    assert documented == {one for one in routed if one[0] != "/{proxy+}"}


def test_each_parameter_of_a_path_is_described() -> None:
    for path, _, operation in api_contract.operations():
        parameters = map(api_contract.resolved, operation.get("parameters", []))
        named = {one["name"] for one in parameters if one["in"] == "path"}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path


def test_operations_are_named_once() -> None:
    names = [operation["operationId"] for _, _, operation in api_contract.operations()]
    assert len(names) == len(set(names))


def test_every_post_takes_a_form_and_json_with_the_same_fields() -> None:
    for path, method, operation in api_contract.operations():
        if method == "POST":
            content = operation["requestBody"]["content"]
            assert set(content) == {"application/x-www-form-urlencoded", "application/json"}, path
            form, client = content.values()
            assert form == client, path


def test_every_refusal_of_a_post_is_documented() -> None:
    for path, method, operation in api_contract.operations():
        wanted = {"500", "503"} | ({"400", "403", "413", "415"} if method == "POST" else set())
        assert wanted <= set(operation["responses"]), path


def test_where_a_session_is_needed_both_faces_are_documented() -> None:
    for path, method, operation in api_contract.operations():
        needs = operation.get("security") == [{"session": []}]
        # Who comes back from an identity provider to link it needs the session that asked for it.
        may_need = (method, path) in {("POST", "/sign-in"), ("GET", "/sso/callback")}
        assert ("401" in operation["responses"]) == (needs or may_need), path
        assert not needs or "303" in operation["responses"], path


def _answered() -> Iterator[Any]:
    """Yield every schema of an answer, and what is within it."""
    waiting = [
        kind["schema"]
        for _, _, operation in api_contract.operations()
        for response in operation["responses"].values()
        for kind in api_contract.resolved(response).get("content", {}).values()
    ]
    seen: list[Any] = []
    while waiting:
        one = api_contract.resolved(waiting.pop())
        if one in seen:
            continue
        seen.append(one)
        yield one
        for word in ("properties", "patternProperties"):
            waiting += one.get(word, {}).values()
        for word in ("anyOf", "oneOf"):
            waiting += one.get(word, [])
        # The first says what it is, those after it narrow it down.
        waiting += one.get("allOf", [])[:1]
        if "items" in one:
            waiting.append(one["items"])


def test_every_object_of_an_answer_is_closed() -> None:
    objects = [one for one in _answered() if one.get("type") == "object"]
    # The document itself is the one answer whose shape stands elsewhere.
    open_ones = [one for one in objects if one.get("additionalProperties") is not False]
    assert open_ones == [{"type": "object"}]
    assert len(objects) > 20


def test_every_attribute_of_an_answer_is_always_there() -> None:
    for one in _answered():
        # Of a request's changes only what is to change is there.
        some = one.get("minProperties")
        if one.get("type") == "object" and "properties" in one and not some:
            assert set(one["required"]) == set(one["properties"]), one


def test_it_knows_every_problem_that_a_client_can_meet_with_its_status() -> None:
    schemas = api_contract.document()["components"]["schemas"]
    documented = {
        (name.removeprefix("problem-"), status)
        for name, schema in schemas.items()
        if name.startswith("problem-")
        for status in _values(schema["properties"]["status"])
    }
    refused = {
        (one.code, one.status)
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.Refusal) and one.code not in CONSOLE
    }
    assert documented == refused - {("", 400)} | {("internal-error", 500)}
    assert all(texts.problem_meaning("en", code) for code, _ in documented)
    for name, schema in schemas.items():
        if name.startswith("problem-"):
            code = name.removeprefix("problem-")
            assert schema["properties"]["type"] == {"const": f"/problems/{code}"}


def _values(schema: dict[str, Any]) -> list[Any]:
    return schema["enum"] if "enum" in schema else [schema["const"]]


def test_no_field_is_a_hint_or_a_secret_question() -> None:
    """Nothing recovers an account but a mailed link (S18)."""
    text = json.dumps(api_contract.document()).lower()
    assert not [word for word in ("hint", "secret_question", "security_question") if word in text]


# --- the check that every answer of every test passes -------------------------------


STATUS = '{"status": "ok"}'
JSON_TYPE = {"content-type": ["application/json; charset=utf-8"]}


def test_a_documented_answer_passes() -> None:
    api_contract.check("GET", "/status?lang=en", 200, JSON_TYPE, STATUS)


@pytest.mark.parametrize(
    "answer",
    [
        ("GET", "/status", 200, JSON_TYPE, '{"status": "ok", "email": "a@b.example"}'),
        ("GET", "/status", 200, JSON_TYPE, "{}"),
        ("GET", "/status", 201, JSON_TYPE, STATUS),
        ("GET", "/status", 200, {"content-type": ["text/html"]}, STATUS),
        ("GET", "/status", 200, {}, STATUS),
        ("POST", "/sign-out", 204, JSON_TYPE, STATUS),
        ("POST", "/sign-out", 303, {"content-type": ["text/html"]}, ""),
        ("POST", "/status", 200, JSON_TYPE, STATUS),
        ("GET", "/no/such/page", 200, JSON_TYPE, STATUS),
        ("GET", "/problems/a/b", 200, JSON_TYPE, STATUS),
    ],
)
def test_another_answer_does_not(answer: Any) -> None:
    with pytest.raises(NotInTheContractError):
        api_contract.check(*answer)


def test_a_problem_of_another_code_does_not_pass() -> None:
    problem = {"type": "/problems/locked-out", "title": "t", "status": 403, "detail": "d"}
    headers = {"content-type": ["application/problem+json; charset=utf-8"]}
    with pytest.raises(NotInTheContractError):
        api_contract.check("POST", "/sign-out", 403, headers, json.dumps(problem))
