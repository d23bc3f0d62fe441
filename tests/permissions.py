"""Holds every AWS call of a test against the policy of the function that makes it.

moto allows everything, so a missing permission would first show in AWS. While a test runs one of
the functions (`as_function`; the visitor and the fixtures do), each call is compared with that
function's policy file. What the file doesn't allow fails the test, whatever the code made of it.
"""

import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from botocore import handlers

from tests import aws_stage

_function: ContextVar[str | None] = ContextVar("function", default=None)
denied: list[str] = []

# The item actions that stand for the parts of a transaction.
_PARTS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}
# Other names of S3's operations; a version makes `…Version` of some.
_S3 = {"HeadObject": "GetObject", "ListObjectVersions": "ListBucketVersions"}
_S3 |= {"ListObjectsV2": "ListBucket", "ListObjects": "ListBucket", "HeadBucket": "ListBucket"}
_S3 |= {"CreateMultipartUpload": "PutObject", "UploadPart": "PutObject"}
_S3 |= {"CompleteMultipartUpload": "PutObject", "DeleteObjects": "DeleteObject"}
_S3 |= {"CopyObject": "PutObject"}
_VERSIONED = {"GetObject", "DeleteObject"}


@contextmanager
def as_function(name: str) -> Iterator[None]:
    """Hold what happens inside against a function's policy."""
    token = _function.set(name)
    try:
        yield
    finally:
        _function.reset(token)


def watch() -> None:
    """Look at every call of every client that is made from now on."""
    handlers.BUILTIN_HANDLERS.append(("before-call", _before_call))


def _before_call(model: Any, params: dict[str, Any], **_: Any) -> None:
    function = _function.get()
    if function is None:
        return
    service = model.service_model.service_name
    for action, resource in _wanted(service, model.name, params):
        if not _allowed(function, f"{_prefix(service)}:{action}", resource):
            denied.append(f"{function} may not {_prefix(service)}:{action} on {resource}")


def _prefix(service: str) -> str:
    return "ses" if service == "sesv2" else service


def _wanted(service: str, operation: str, params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the actions that a call asks for, each with the name of what it touches."""
    if service == "s3":
        yield from _wanted_of_s3(operation, params)
        return
    raw = params.get("body") or b"{}"
    body = json.loads(raw) if not isinstance(raw, dict) else raw
    if service == "dynamodb":
        yield from _wanted_of_dynamodb(operation, body)
    elif service == "sqs":
        yield operation.removesuffix("Batch"), body["QueueUrl"].rsplit("/", 1)[-1]
    elif service == "secretsmanager":
        yield operation, body["SecretId"]
    else:
        yield operation, "*"
        if "ConfigurationSetName" in body:
            yield operation, f"configuration-set/{body['ConfigurationSetName']}"


def _wanted_of_dynamodb(operation: str, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if operation in {"TransactWriteItems", "TransactGetItems"}:
        for item in body["TransactItems"]:
            for kind, part in item.items():
                yield _PARTS[kind], part["TableName"]
    elif "RequestItems" in body:
        for table in body["RequestItems"]:
            yield operation, table
    else:
        index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
        yield operation, body["TableName"] + index


def _wanted_of_s3(operation: str, params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    action = _S3.get(operation, operation)
    query = params.get("query_string") or {}
    if action in _VERSIONED and "versionId" in query:
        action += "Version"
    # The bucket is in the host, or in front of the path where the host has no place for it.
    path = str(params["url_path"]).split("?", 1)[0]
    key = re.sub(r"^/(parent-portal-[^/]+/?)?", "", path)
    yield action, key or "bucket"


@functools.cache
def _policy(function: str) -> list[dict[str, Any]]:
    path = aws_stage.ROOT / ".chalice" / f"policy-{function}.json"
    statements: list[dict[str, Any]] = json.loads(path.read_text())["Statement"]
    return statements


def _allowed(function: str, action: str, resource: str) -> bool:
    return any(
        action in statement.get("Action", ())
        and any(_covers(pattern, resource) for pattern in statement["Resource"])
        for statement in _policy(function)
    )


def _covers(pattern: Any, resource: str) -> bool:
    """Whether a policy's resource is the one that is touched."""
    match pattern:
        case {"Fn::GetAtt": ["RosterBucket", "Arn"]}:
            return resource == "bucket"
        case {"Fn::GetAtt": [logical_id, "Arn" | "Id"]}:
            return resource == _name(logical_id)
        case {"Fn::Sub": str(text)} if found := re.fullmatch(r"\$\{(\w+)\.Arn\}/(.*)", text):
            if found[1] == "RosterBucket":
                return resource.startswith(found[2].removesuffix("*"))
            return resource == f"{_name(found[1])}/{found[2]}"
        case {"Fn::Sub": str(text)} if ":configuration-set/" in text or ":secret:" in text:
            named = text.rpartition(":")[2].replace("${Stage}", "local")
            # AWS adds six characters to a secret's name in its ARN.
            return resource == named.removesuffix("-??????")
        case _:
            # A sender's identity: the recorder sees no name for it.
            return resource == "*"


@functools.cache
def _name(logical_id: str) -> str | None:
    """Return the name of a table, queue or secret of stage local."""
    for kind, field in (
        ("AWS::DynamoDB::Table", "TableName"),
        ("AWS::SQS::Queue", "QueueName"),
        ("AWS::SecretsManager::Secret", "Name"),
    ):
        found = aws_stage.resources(kind).get(logical_id)
        if found:
            return str(found[field])
    return None
