"""docs/security.md says what the code does: its tables are compared with the code they describe."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pynamodb.models import Model

import package
from chalicelib import policy
from tests import aws_stage

ROOT = Path(__file__).parent.parent.parent
DOCS = (ROOT / "docs" / "security.md").read_text("utf-8")
SOURCES = sorted((ROOT / "chalicelib").rglob("*.py"))


def section(title: str) -> str:
    """Return one section of the document."""
    found: str = re.split(r"(?m)^## ", DOCS)[
        [part.splitlines()[0] for part in re.split(r"(?m)^## ", DOCS)].index(title)
    ]
    return found


def rows(title: str, first_heading: str) -> list[list[str]]:
    """Return the cells of the table whose first column bears a heading, without backticks."""
    tables = re.findall(r"(?m)(?:^\|.*\n)+", section(title) + "\n")
    (table,) = (t for t in tables if t.startswith(f"| {first_heading} |"))
    return [
        [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]


# --- S25: limits -----------------------------------------------------------------

WINDOWS = {3600: "hour", 300: "5 minutes", None: "day"}


def test_the_limits_in_the_docs_are_the_codes() -> None:
    standard = policy.Preferences()
    assert rows("Limits", "limit") == [
        [
            limit.name,
            limit.counted_by,
            str(standard.most(limit)),
            WINDOWS[limit.seconds],
            limit.preference or "",
        ]
        for limit in policy.LIMITS.values()
    ]


def test_the_other_bounds_in_the_docs_are_the_codes() -> None:
    from chalicelib.domain import guardians  # noqa: PLC0415 - only here
    from chalicelib.web import call  # noqa: PLC0415

    said = section("Limits")
    assert f"within {policy.REPEAT_SECONDS // 60} minutes" in said
    assert f"an account has {policy.SESSIONS_PER_ACCOUNT} open sessions" in said
    assert f"{call.MOST_BYTES // 1024} KiB and {call.MOST_FIELDS} fields" in said
    assert f"an admin finds {guardians.MOST_FOUND} guardians" in " ".join(said.split())


# --- S30: ways to a session --------------------------------------------------------


def test_only_the_routes_in_the_docs_set_the_session_cookie() -> None:
    """The actions that set a session's token, found in the source, are those of the listed routes."""
    setting = set()
    for path in SOURCES:
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef) and any(
                _sets_session(node) for node in ast.walk(function)
            ):
                setting.add(function.name)
    listed = {route.split()[-1].strip("/") for route, *_ in rows("Ways to a session", "route")}
    assert {name.replace("_", "-") for name in setting} == {r.replace("/", "-") for r in listed}
    app = importlib.import_module("app").app
    assert all(f"/{route}" in app.routes for route in listed)


def _sets_session(node: ast.AST) -> bool:
    """Whether it is `set_cookie("session", <a token>, …)`; an empty value ends one."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("set_cookie")):
        return False
    name, value = node.args[:2]
    return ast.unparse(name) == "'session'" and ast.unparse(value) != "''"


def test_the_reasons_name_the_sessions_defaults() -> None:
    said = section("Ways to a session")
    minutes, hours = policy.Preferences().session_idle_minutes, policy.Preferences().session_hours
    assert f"**{minutes} minutes unused, {hours} hours in all.**" in said


# --- S88: events ---------------------------------------------------------------------


def logged() -> Iterator[tuple[str, str]]:
    """Yield code and level of every call of `logs.event` in the source."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "logs.event"):
                continue
            levels = [k.value for k in node.keywords if k.arg == "level"]
            level = ast.literal_eval(levels[0]) if levels else "info"
            code = node.args[0]
            codes = [code.body, code.orelse] if isinstance(code, ast.IfExp) else [code]
            for one in codes:
                yield ast.literal_eval(one), level


def test_the_events_in_the_docs_are_those_that_are_logged() -> None:
    listed = [(code, level) for code, level, _ in rows("Logs", "event")]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(logged())


def test_every_line_of_the_log_comes_from_one_function() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) != "print" or path.name == "logs.py", path
        assert not re.search(r"(?m)^(import|from) logging", path.read_text("utf-8")), path


# --- S94: what is stored, and how long --------------------------------------------------


def models(kind: type = Model) -> Iterator[Any]:
    for child in kind.__subclasses__():
        yield child
        yield from models(child)


def test_every_stored_attribute_is_in_the_docs() -> None:
    importlib.import_module("app")
    stored = {
        (str(model.Meta.table_name).removeprefix("parent-portal-local-"), name)
        for model in models()
        if model.__module__.startswith("chalicelib.")
        for name in model.get_attributes()
    }
    told = [
        (table, name.strip(), kind)
        for table, names, _, kind in rows("What is stored", "table")
        for name in names.split(",")
    ]
    assert {(table, name) for table, name, _ in told} == stored
    assert len(told) == len(stored)
    assert {kind for _, _, kind in told} == {"secret", "personal", "linked", "plain"}


def test_every_hash_counts_as_secret_or_linked() -> None:
    for _, names, _, kind in rows("What is stored", "table"):
        if "hash" in names:
            assert kind in ("secret", "linked"), names


def test_what_is_removed_and_when_is_the_templates() -> None:
    told = {what: (by, after) for what, by, after in rows("How long it stays", "what")}
    tables = aws_stage.resources("AWS::DynamoDB::Table").values()
    for table in tables:
        name = table["TableName"].removeprefix("parent-portal-local-")
        dies = table.get("TimeToLiveSpecification", {}).get("AttributeName")
        assert (dies is not None) is ("time to live" in told[name][0]), name
        assert dies is None or told[name][0] == f"time to live {dies}"
    (bucket,) = aws_stage.resources("AWS::S3::Bucket").values()
    rules = {rule["Prefix"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    for prefix in ("imports/", "reports/", "in-progress/", "exports/"):
        assert f"{rules[prefix]['ExpirationInDays']} days" in told[prefix][1]
    assert rules["state/"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1
    assert told["state/"][1].startswith("one day")
    queues = aws_stage.resources("AWS::SQS::Queue")
    for logical_id, name in {
        "MailQueue": "mail queue",
        "ImportQueue": "import queue",
        "MailDeadLetters": "dead letters",
        "ImportDeadLetters": "dead letters",
        "UploadDeadLetters": "dead letters",
    }.items():
        days = queues[logical_id]["MessageRetentionPeriod"] // 86_400
        assert told[name][1] == f"{days} days", logical_id
    assert told["logs of the functions"][1] == f"{package.LOG_DAYS} days"
    logs = {log: how_long for log, *_, how_long in rows("Logs", "log")}
    assert logs["what the functions did"] == f"{package.LOG_DAYS} days"


# --- the tests that the rows name -------------------------------------------------------

NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", DOCS)))


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_every_test_that_a_row_names_is_there(path: str) -> None:
    source = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
    there = {node.name for node in source.body if isinstance(node, ast.FunctionDef)}
    assert {test for where, test in NAMED if where == path} <= there


def test_every_row_names_a_test_or_says_that_it_comes_later() -> None:
    found = rows("Row by row", "row")
    assert len(found) > 60
    for row, what, tests in found:
        assert what, row
        assert "::" in tests or what.startswith("later"), row
