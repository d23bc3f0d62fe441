"""When AWS fails: the answer is true, nothing is granted, nothing is half done (S65, S89).

Every AWS call of every POST is made to fail in turn (`tests/fault_trap.py`); then the same is posted
again, as a parent would, and must end as if nothing had been.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.client
import pytest
import time_machine

from chalicelib import crypto, errors, settings
from chalicelib.domain import change_requests as decisions
from chalicelib.domain import repeats
from chalicelib.storage import accounts, activation_keys, aws, change_requests, roster, tables
from chalicelib.storage.account_items import AccountItem
from tests import aws_stage, factories
from tests.conftest import SentMail, forget_caches
from tests.fault_trap import (
    SECRET,
    WAYS,
    Story,
    Trap,
    Visitors,
    World,
    assert_apology,
    conflict,
    refusal,
)
from tests.portal_client import HTML, JSON

Mailbox = Callable[[], list[SentMail]]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


# --- what a parent does ---------------------------------------------------------


def asking(new_visitor: Visitors) -> Story:
    child = factories.student(last4="4321")
    factories.guardian(child, email="parent1@example.com")
    fields = {"student_number": child.number, "ssn_last4": "4321"}
    return Story(new_visitor(), "/activation-key", fields, 202)


def activating(new_visitor: Visitors) -> Story:
    key = factories.activation_key(factories.family())
    return Story(new_visitor(), "/activate", {"activation_key": key}, 200)


def creating(new_visitor: Visitors) -> Story:
    guardian = factories.family(email="parent1@example.com")
    key = factories.activation_key(guardian)
    symbols = crypto.read_activation_key(key) or ""
    hashes = aws.keyring().hashes("activation-key", symbols)

    def parts() -> set[bool]:
        record, used = (
            roster.guardian_partition(guardian.guardian_id),
            activation_keys.read_key(hashes),
        )
        assert record is not None
        assert used is not None
        return {
            accounts.read_account("parent1") is not None,
            record.account == "parent1",
            used.state == activation_keys.USED,
        }

    fields = {
        "activation_key": key,
        "username": "Parent1",
        "password": factories.PASSWORD,
        "verify_password": factories.PASSWORD,
    }
    return Story(new_visitor(), "/create-account", fields, 201, whole=lambda: len(parts()) == 1)


def parent() -> factories.SomeAccount:
    return factories.account(factories.family(), username="Parent1")


def signing_in(new_visitor: Visitors) -> Story:
    who, visitor = parent(), new_visitor()
    fields = {"username": who.username, "password": who.password}
    return Story(visitor, "/sign-in", fields, 200, granted=lambda: "session" in visitor.cookies)


def signing_out(new_visitor: Visitors) -> Story:
    return Story(factories.signed_in(new_visitor, parent()), "/sign-out", {}, 204)


def staying(new_visitor: Visitors) -> Story:
    return Story(factories.signed_in(new_visitor, parent()), "/session", {}, 204)


def choosing(new_visitor: Visitors) -> Story:
    visitor = factories.signed_in(new_visitor, parent())
    fields = {
        "language": "es",
        "quiet_from": "21:00",
        "quiet_to": "06:00",
        "grades.mail": "true",
    }

    def changed() -> set[bool]:
        """Say of each choice, and of the hour of the digest, whether it is the new one."""
        account = accounts.read_account("parent1")
        assert account is not None
        choices, row = account.choices, AccountItem.get("parent1")
        return {
            choices.language == "es",
            choices.quiet_from == "21:00",
            "grades.mail" in choices.on,
            row.digest_hour is not None,
        }

    return Story(visitor, "/preferences", fields, 200, whole=lambda: len(changed()) == 1)


def one_household() -> bool:
    """Whether requests, their count and what pages show of them say the same."""
    pending = {one.request_id for one in change_requests.every("pending")}
    rows = aws_stage.client("dynamodb").scan(TableName=settings.name("requests"))["Items"]
    counted = sum(int(row["open"]["N"]) for row in rows if "open" in row)
    owners = {row["guardian_id"]["S"] for row in rows if "guardian_id" in row}
    shown = {
        one.request_id
        for owner in owners
        for one in change_requests.shown(owner).requests
        if one.status == "pending"
    }
    return shown == pending and counted == len(pending)


def confirming(new_visitor: Visitors) -> Story:
    visitor = factories.signed_in(new_visitor, parent())
    return Story(visitor, "/household", {"action": "confirm"}, 200, whole=one_household)


def changing(new_visitor: Visitors) -> Story:
    visitor = factories.signed_in(new_visitor, parent())
    fields = {
        "action": "change",
        "phone": "404-555-0177",
        "effective_date": "2026-03-10",
        "comment": "a new line",
    }
    return Story(visitor, "/household", fields, 200, whole=one_household)


def enrolling(new_visitor: Visitors) -> Story:
    visitor = factories.signed_in(new_visitor, parent())
    child = visitor.get("/students").json()[0]["id"]

    def stored() -> set[bool]:
        """Say of the answer, and of its audit entry, whether it is there."""
        client = aws_stage.client("dynamodb")
        answers = client.scan(TableName=settings.name("requests"))["Items"]
        entries = client.scan(TableName=settings.name("audit"))["Items"]
        told = [e for e in entries if e["action"]["S"] == "enrollment"]
        return {bool(answers), bool(told)}

    fields = {"student_id": child, "answer": "returning"}
    return Story(visitor, "/enrollment", fields, 200, whole=lambda: len(stored()) == 1)


STORIES: Mapping[str, Callable[[Visitors], Story]] = {
    tell.__name__: tell
    for tell in (
        *(asking, activating, creating, signing_in, signing_out, staying),
        *(confirming, changing, enrolling, choosing),
    )
}
PROBLEM_FIELDS = {"type", "title", "status", "detail", "reference"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("story", STORIES)
def test_each_call_of_a_post_may_fail_and_the_next_post_succeeds(
    world: World,
    trap: Trap,
    reference_in_log: Callable[[], set[str]],
    story: str,
    way: str,
) -> None:
    told = STORIES[story](world.new_visitor)
    for place in world.each_call(trap, way):
        reference_in_log()
        answer = told.post(form_id="f1")
        failed = trap.disarm()
        assert told.whole()
        if failed is None:
            break
        if answer.status != told.success:
            assert answer.status == 503, answer.text
            assert set(answer.json()) == PROBLEM_FIELDS
            assert answer.json()["reference"] in reference_in_log()
            assert SECRET not in answer.text + str(answer.headers)
            assert not [c for c in answer.headers.get("set-cookie", []) if c.startswith("session=")]
            assert not told.granted()
        assert told.post().status == told.success, (failed, place)
        assert told.whole()
    assert answer.status == told.success
    # Nothing was left out: secret twice, preferences, and at least the one write of the act.
    assert place >= (3 if way == "refused" else 1)


@pytest.mark.parametrize("story", STORIES)
def test_a_browser_gets_a_page_of_ours_whatever_fails(
    world: World, trap: Trap, reference_in_log: Callable[[], set[str]], story: str
) -> None:
    told = STORIES[story](world.new_visitor)
    for _ in world.each_call(trap, "broken"):
        reference_in_log()
        answer = told.post(accept=HTML, form=True)
        if trap.disarm() is None:
            break
        assert_apology(answer, reference_in_log())


@pytest.mark.parametrize("accept", [JSON, HTML])
@pytest.mark.parametrize(
    "path", ["/", "/students", "/session", "/sign-in", "/activate", "/activation-key", "/nowhere"]
)
def test_a_page_says_that_something_is_wrong_when_nothing_can_be_read(
    new_visitor: Visitors, monkeypatch: pytest.MonkeyPatch, accept: str, path: str
) -> None:
    visitor = factories.signed_in(new_visitor, factories.account(factories.family()))
    forget_caches()

    def down(client: Any, operation: str, parameters: Any) -> Any:
        raise refusal("broken", operation)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", down)
    answer = visitor.get(path, accept=accept)
    # A client's form needs no table, so it is answered.
    needs_nothing = accept == JSON and path not in ("/", "/students", "/session")
    assert answer.status == (503 if not needs_nothing else 404 if path == "/nowhere" else 200)
    assert answer.header("content-security-policy")
    assert "Ana" not in answer.text


@pytest.mark.parametrize("fault", ["denied", "timed out"])
def test_a_request_that_broke_off_anywhere_and_is_posted_again_is_one(
    new_visitor: Visitors, trap: Trap, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(repeats, "_WAIT_SECONDS", 0.0)
    told = changing(new_visitor)
    tried, happened = 0, True
    while happened:
        trap.arm(tried, fault)
        told.post(form_id=f"{tried}")
        happened = len(trap.made) > tried
        trap.arm(None)
        assert told.post(form_id=f"{tried}").status == 200
        (one,) = change_requests.every("pending")
        assert one_household()
        decisions.decide(one.request_id, "deny", "no", now=factories.NOW)
        tried += 1
    assert tried > 2


# --- the console ----------------------------------------------------------------


@pytest.mark.parametrize("fault", ["denied", "timed out"])
def test_a_decision_that_broke_off_anywhere_is_made_and_mailed_once(
    invoke: Callable[[str, Any], Any], trap: Trap, mailbox: Mailbox, fault: str
) -> None:
    who = factories.account(factories.family())
    mailbox()
    for place in range(20):
        event = ACTS["decide_change_request"](who, who.guardian)
        trap.arm(place, fault)
        told_truly(invoke, "decide_change_request", event, trap)
        happened = len(trap.made) > place
        trap.arm(None)
        assert invoke("decide_change_request", event)["status"] == "approved"
        assert one_household()
        assert [mail.recipient for mail in mailbox()] == [who.guardian.email], place
        if not happened:
            break
    assert 2 < place < 19


ACTS: Mapping[str, Callable[[factories.SomeAccount, factories.SomeGuardian], dict[str, Any]]] = {
    "find_guardian": lambda who, _: {"username": who.username},
    "issue_activation_key": lambda _, new: {"guardian_id": new.guardian_id, "deliver": "return"},
    "revoke_activation_key": lambda _, new: {"guardian_id": new.guardian_id},
    "disable_account": lambda who, _: {"username": who.username},
    "enable_account": lambda who, _: {"username": who.username},
    "delete_account": lambda who, _: {"username": who.username},
    "end_sessions": lambda who, _: {"username": who.username},
    "set_preferences": lambda *_: {"session_hours": 7, "notice_en": "Mail is slow today."},
    "list_change_requests": lambda *_: {"status": "pending"},
    "decide_change_request": lambda who, _: {
        "request_id": factories.change_request(who.guardian),
        "decision": "approve",
        "comment": "yes",
    },
    "export_changes": lambda *_: {"since": "2026-03-01"},
}


def told_truly(invoke: Callable[[str, Any], Any], name: str, event: Any, trap: Trap) -> None:
    """Run a function with a call that fails: it says so, or wasn't touched by it."""
    raised: Exception | None = None
    answer: dict[str, Any] = {}
    try:
        answer = invoke(name, event)
    except Exception as error:  # noqa: BLE001 - Lambda reports whatever comes out
        raised = error
    if raised is not None:
        assert tables.is_failure_of_aws(raised)
    elif trap.fails_at is not None and len(trap.made) > trap.fails_at:
        assert answer["error"]["code"] == errors.Unavailable.code
    else:
        assert "error" not in answer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ACTS)
def test_each_call_of_a_console_function_may_fail_and_the_next_run_does_it(
    world: World, invoke: Callable[[str, Any], Any], trap: Trap, name: str, way: str
) -> None:
    who, new = parent(), factories.family()
    browser = factories.signed_in(world.new_visitor, who)
    key = factories.activation_key(new)
    event = ACTS[name](who, new)
    for place in world.each_call(trap, way):
        told_truly(invoke, name, event, trap)
        failed = trap.disarm()
        answer = invoke(name, event)
        # Done by the first run after all, though its answer was lost.
        assert answer.get("error", {}).get("code") in (None, "no-such-account"), (failed, place)
        if name in ("disable_account", "delete_account", "end_sessions"):
            assert browser.get("/").status == 401
        if name in ("disable_account", "delete_account"):
            right = {"username": who.username, "password": who.password}
            assert world.new_visitor().post("/sign-in", right).status != 200
        if name == "revoke_activation_key":
            assert world.new_visitor().post("/activate", {"activation_key": key}).status == 422
        if failed is None:
            break
    assert place >= (2 if way == "refused" else 1) or name == "find_guardian"


# --- a limit that can't be counted refuses (S89) ---------------------------------


@pytest.mark.parametrize("story", ["asking", "activating", "creating", "signing_in"])
def test_where_tries_can_not_be_counted_nobody_gets_in(
    new_visitor: Visitors, monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox, story: str
) -> None:
    told = STORIES[story](new_visitor)
    mailbox()
    make = botocore.client.BaseClient._make_api_call

    def no_counters(client: Any, operation: str, parameters: Any) -> Any:
        if parameters.get("TableName") == settings.name("recovery-counters"):
            raise refusal("throttled", operation)
        return make(client, operation, parameters)

    with monkeypatch.context() as while_down:
        while_down.setattr(botocore.client.BaseClient, "_make_api_call", no_counters)
        answer = told.post()
    assert answer.status == 503
    assert not told.granted()
    assert mailbox() == []


# --- what is tried again (S25, S89) ----------------------------------------------


@pytest.fixture
def conflicts(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Give a function that lets so many of every transaction's first attempts conflict."""
    make, lock, seen = botocore.client.BaseClient._make_api_call, threading.Lock(), {}

    def arm(times: int) -> None:
        def call(client: Any, operation: str, parameters: Any) -> Any:
            if operation == "TransactWriteItems":
                parts = parameters["TransactItems"]
                mark = json.dumps(parts, sort_keys=True)
                with lock:
                    seen[mark] = seen.get(mark, 0) + 1
                    conflicts_now = seen[mark] <= times
                if conflicts_now:
                    raise conflict(operation, len(parts))
            return make(client, operation, parameters)

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)

    monkeypatch.setattr("time.sleep", lambda _: None)
    return arm


def test_right_sign_ins_at_once_all_succeed_though_transactions_conflict(
    new_visitor: Visitors, conflicts: Callable[[int], None]
) -> None:
    people = [factories.account(factories.family(), username=f"Parent{i}") for i in range(20)]
    conflicts(3)

    def enter(who: factories.SomeAccount) -> int:
        fields = {"username": who.username, "password": who.password}
        return new_visitor().post("/sign-in", fields).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(enter, people * 2)) == {200}


def test_an_account_is_made_though_the_transaction_conflicts(
    new_visitor: Visitors, conflicts: Callable[[int], None]
) -> None:
    told = creating(new_visitor)
    conflicts(3)
    assert told.post().status == 201
    assert told.whole()


def test_conflicts_without_end_grant_nothing(
    new_visitor: Visitors, conflicts: Callable[[int], None]
) -> None:
    told = creating(new_visitor)
    conflicts(1_000_000)
    assert told.post().status == 503
    assert told.whole()
    assert accounts.read_account("parent1") is None


# --- retries are bounded, time-outs shorter than the function's (S89) ------------


def clients() -> Iterator[tuple[str, Any]]:
    yield "dynamodb", tables._connection().client.meta.config
    yield "sqs", aws._sqs().meta.config
    yield "sesv2", aws._ses().meta.config
    yield "secretsmanager", aws._secrets_manager().meta.config


def test_one_call_with_all_its_retries_ends_before_the_function_does(stage: object) -> None:
    gateway = json.loads((aws_stage.ROOT / ".chalice" / "config.json").read_text())
    seconds = gateway["lambda_functions"]["api_handler"]["lambda_timeout"]
    for name, config in clients():
        attempts = config.retries.get("total_max_attempts") or config.retries["max_attempts"] + 1
        assert attempts <= 3, name
        # Backoff between attempts is at most a second or two each.
        longest = attempts * (config.connect_timeout + config.read_timeout) + 2 * attempts
        assert longest < seconds, name
