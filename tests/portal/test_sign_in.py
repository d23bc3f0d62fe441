"""Signing in and out, what it tells and what it doesn't, limits, and sessions."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import time_machine

from chalicelib import crypto, settings
from chalicelib.storage import accounts, district, sessions
from tests import aws_stage, factories
from tests.conftest import SentMail
from tests.portal_client import JSON, Answer, PortalClient

Visitors = Callable[[], PortalClient]
# What `next` may not lead to (S59).
ELSEWHERE = [
    *(
        "/nowhere",
        "/sign-in",
        "/sign-out",
        "/students/",
        "/students/a/b",
        "/students\n",
        "/students?x=1",
    ),
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https://evil.example",
    "/%2f%2fevil.example",
    "%2f%2fevil.example",
    "/\tevil",
    "/\n/evil.example",
    "/https:evil",
    "javascript:alert(1)",
    "/../evil",
    " //evil.example",
    "/a//evil.example",
    "/" + "a" * 200,
]
HEADERS = {"accept": JSON, "content-type": JSON}


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def rosa(stage: object) -> factories.SomeAccount:
    return factories.account(factories.family())


def sign_in(visitor: PortalClient, username: str, password: str, **how: Any) -> Answer:
    return visitor.post("/sign-in", {"username": username, "password": password}, **how)


# --- in and out ---------------------------------------------------------------


def test_a_guardian_signs_in_sees_their_children_and_signs_out(
    portal: PortalClient, rosa: factories.SomeAccount
) -> None:
    answer = sign_in(portal, "rosa1", rosa.password)
    assert answer.json() == {"username": "Rosa1", "last_sign_in": None, "failed_since": 0}
    assert [s["given_name"] for s in portal.get("/students").json()] == ["Ana", "Ben"]
    assert [s["given_name"] for s in portal.get("/").json()["students"]] == ["Ana", "Ben"]
    out = portal.post("/sign-out")
    assert out.status == 204
    assert out.header("clear-site-data") == '"cache", "storage"'
    assert portal.get("/students").status == 401


def test_a_copied_cookie_is_dead_after_sign_out(
    portal: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    sign_in(portal, "Rosa1", rosa.password)
    thief = new_visitor()
    thief.cookies = dict(portal.cookies)
    portal.post("/sign-out")
    assert thief.get("/students").code == "sign-in-required"


def test_sign_out_answers_the_same_without_a_session(portal: PortalClient) -> None:
    assert portal.post("/sign-out").status == 204
    assert portal.request("POST", "/sign-out").status == 204


def test_a_browser_lands_where_it_wanted_to_go(
    portal: PortalClient, rosa: factories.SomeAccount
) -> None:
    portal.accept = "text/html"
    sent_away = portal.get("/students")
    assert (sent_away.status, sent_away.header("location")) == (
        303,
        "./sign-in?next=%2Fstudents",
    )
    page = portal.get("/sign-in?next=%2Fstudents")
    assert 'value="/students"' in page.text
    fields = {"username": "Rosa1", "password": rosa.password, "next": "/students"}
    assert portal.post("/sign-in", fields, form=True).header("location") == "./students"


@pytest.mark.parametrize(
    "page",
    [
        *("/students", "/students/Ab-_1", "/students/Ab-_1/schedule", "/students/Ab-_1/attendance"),
        *("/students/Ab-_1/grades", "/household", "/preferences", "/enrollment", "/account"),
        *("/session", "/help"),
    ],
)
def test_every_page_of_ours_is_gone_on_to(
    portal: PortalClient, rosa: factories.SomeAccount, page: str
) -> None:
    fields = {"username": "Rosa1", "password": rosa.password, "next": page}
    answer = portal.post("/sign-in", fields, form=True, accept="text/html")
    assert answer.header("location") == f".{page}"


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_no_redirect_leaves_the_site(
    portal: PortalClient, rosa: factories.SomeAccount, elsewhere: str
) -> None:
    portal.accept = "text/html"
    fields = {"username": "Rosa1", "password": rosa.password, "next": elsewhere}
    assert portal.post("/sign-in", fields, form=True).header("location") == "./"


def test_the_parent_is_told_the_last_sign_in_and_the_failures_since(
    portal: PortalClient, rosa: factories.SomeAccount, monday: Any
) -> None:
    sign_in(portal, "Rosa1", rosa.password)
    monday.shift(60)
    for _ in range(2):
        sign_in(portal, "Rosa1", "wrong 1")
    told = sign_in(portal, "Rosa1", rosa.password).json()
    assert told == {"username": "Rosa1", "last_sign_in": "2026-03-02T15:00:00Z", "failed_since": 2}
    portal.accept = "text/html"
    arrival = portal.get("/").text
    assert "2" in arrival
    assert arrival != portal.get("/").text


# --- what failing tells -------------------------------------------------------


def test_unknown_name_and_wrong_password_cost_and_answer_the_same(
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    aws_calls: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    district.preferences()
    hashed: list[bool] = []
    matches = crypto.password_matches
    monkeypatch.setattr(
        crypto, "password_matches", lambda s, p: (hashed.append(True), matches(s, p))[1]
    )
    answers, traces = [], []
    for name in ("Rosa1", "Nobody1", "no name at all", "\u212aim1", "x" * 5000):
        aws_calls.clear()
        answers.append(sign_in(new_visitor(), name, "wrong 1"))
        traces.append(list(aws_calls))
    assert {(a.status, a.text) for a in answers} == {(401, answers[0].text)}
    assert answers[0].json()["detail"] == "No security authorization. Please log in."
    assert all(trace == traces[0] for trace in traces)
    assert len(hashed) == 5


@pytest.mark.parametrize("state", ["disabled", "reset-required"])
def test_a_shut_account_says_so_only_after_the_right_password(
    portal: PortalClient, rosa: factories.SomeAccount, state: str
) -> None:
    account = accounts.read_account("rosa1")
    assert account is not None
    accounts.set_state(account, state)
    assert sign_in(portal, "Rosa1", "wrong 1").code == "sign-in-failed"
    right = sign_in(portal, "Rosa1", rosa.password)
    expected = {"disabled": "account-disabled", "reset-required": "password-reset-required"}
    assert (right.status, right.code) == (403, expected[state])
    assert "set-cookie" not in right.headers


@pytest.mark.parametrize("typed", ["Rosa1 ", " rosa1", "\u00a0ROSA1\t"])
def test_the_space_that_a_phone_puts_behind_a_word_doesnt_matter(
    portal: PortalClient, rosa: factories.SomeAccount, typed: str
) -> None:
    assert sign_in(portal, typed, rosa.password).json()["username"] == "Rosa1"
    assert [sign_in(portal, typed, "wrong 1").status for _ in range(11)] == [401] * 10 + [429]
    assert sign_in(portal, "Rosa1", rosa.password).status == 429


def test_a_null_byte_is_as_wrong_as_any_other_password(
    portal: PortalClient, rosa: factories.SomeAccount
) -> None:
    answer = sign_in(portal, "Rosa1", rosa.password + "\x00")
    assert (answer.status, answer.code) == (401, "sign-in-failed")


def test_a_double_tap_is_answered_and_mailed_as_one(
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    monday: Any,
    mailbox: Callable[[], list[SentMail]],
) -> None:
    """Whoever taps twice isn't told that somebody signed in a moment ago."""
    sign_in(new_visitor(), "Rosa1", rosa.password)
    sign_in(new_visitor(), "Rosa1", "wrong 1")
    mailbox()
    monday.shift(60)
    fields = {"username": "Rosa1", "password": rosa.password, "form_id": "f1"}
    phone = new_visitor()
    first = phone.send("POST", "/sign-in", HEADERS, json.dumps(fields), phone.ip)
    monday.shift(2)
    second = phone.post("/sign-in", fields)
    assert (first.status, first.text) == (second.status, second.text)
    assert second.json()["failed_since"] == 1
    assert len(mailbox()) == 1
    page = phone.get("/", accept="text/html").text
    assert "10:00" in page
    assert "10:01" not in page


@pytest.mark.parametrize("told", ["9" * 5000 + ".1", "1." + "9" * 5000, "1.999999999999", "x", "."])
def test_what_home_tells_on_arrival_may_be_nonsense(
    portal: PortalClient, rosa: factories.SomeAccount, told: str
) -> None:
    sign_in(portal, "Rosa1", rosa.password)
    portal.cookies["arrived"] = told
    assert portal.get("/", accept="text/html").status == 200


@pytest.mark.parametrize("missing", ["username", "password"])
def test_a_missing_field_is_named(portal: PortalClient, missing: str) -> None:
    fields = {"username": "Rosa1", "password": "x"} | {missing: ""}
    answer = portal.post("/sign-in", fields)
    assert (answer.status, answer.code) == (422, "invalid")
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(missing, "required")]


# --- limits -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Rosa1", "Nobody1"])
def test_ten_failures_of_a_name_from_one_ip_are_refused_for_five_minutes(
    portal: PortalClient, rosa: factories.SomeAccount, monday: Any, name: str
) -> None:
    statuses = [sign_in(portal, name, "wrong 1").status for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert sign_in(portal, name, rosa.password).status == 429
    refused = sign_in(portal, name, "wrong 1")
    assert refused.header("retry-after") == "300"
    assert sign_in(portal, name, "wrong 1", ip="198.51.100.1").status == 401
    monday.shift(300)
    expected = 200 if name == "Rosa1" else 401
    assert sign_in(portal, name, rosa.password).status == expected


@pytest.mark.parametrize("form_id", ["", "f1"])
def test_who_comes_back_when_told_to_is_heard(
    portal: PortalClient, rosa: factories.SomeAccount, monday: Any, form_id: str
) -> None:
    """Also with the very form that was refused, posted again."""
    for _ in range(10):
        sign_in(portal, "Rosa1", "wrong 1")
    fields = {"username": "Rosa1", "password": rosa.password, "form_id": form_id}
    refused = portal.post("/sign-in", fields)
    assert refused.code == "too-many-tries"
    wait = int(refused.header("retry-after") or "")
    monday.shift(wait - 1)
    assert portal.post("/sign-in", fields).code == "too-many-tries"
    monday.shift(1)
    assert portal.post("/sign-in", fields).status == 200


@pytest.mark.parametrize("name", ["Rosa1", "Nobody1"])
def test_twenty_failures_of_a_name_from_anywhere_are_refused(
    portal: PortalClient, rosa: factories.SomeAccount, name: str
) -> None:
    statuses = [
        sign_in(portal, name, "wrong 1", ip=f"198.51.100.{place}").status for place in range(21)
    ]
    assert statuses == [401] * 20 + [429]


def test_an_ip_has_its_failures_an_hour_whatever_the_names(
    portal: PortalClient, rosa: factories.SomeAccount
) -> None:
    district.save_preferences({"sign_in_failures_per_ip_hour": 10})
    for place in range(10):
        assert sign_in(portal, f"Nobody{place}", "wrong 1").status == 401
        assert sign_in(portal, "Rosa1", rosa.password).status == (200 if place < 9 else 429)


def test_many_wrong_at_once_are_hashed_twenty_times_at_most(
    new_visitor: Visitors, rosa: factories.SomeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bool] = []
    matches = crypto.password_matches
    monkeypatch.setattr(
        crypto, "password_matches", lambda s, p: (hashed.append(True), matches(s, p))[1]
    )
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(
                lambda i: sign_in(new_visitor(), "Rosa1", "wrong 1", ip=f"198.51.100.{i}"),
                range(40),
            )
        )
    assert len(hashed) <= 20
    assert sorted({a.status for a in answers}) == [401, 429]


def test_right_sign_ins_at_once_from_one_school_all_succeed(new_visitor: Visitors) -> None:
    people = [factories.account(factories.family(), username=f"Parent{i}") for i in range(20)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda who: sign_in(new_visitor(), who.username, who.password), people * 5)
        )
    assert {a.status for a in answers} == {200}


# --- sessions -----------------------------------------------------------------


def test_a_new_sign_in_never_takes_over_a_cookie_and_ends_the_one_it_carried(
    portal: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    portal.cookies["session"] = planted = crypto.new_token()
    sign_in(portal, "Rosa1", rosa.password)
    first = portal.cookies["session"]
    assert first != planted
    sign_in(portal, "Rosa1", rosa.password)
    old = new_visitor()
    old.cookies["session"] = first
    assert old.get("/students").status == 401
    old.cookies["session"] = planted
    assert old.get("/students").status == 401
    assert portal.get("/students").status == 200


def test_a_session_ends_thirty_minutes_unused_and_twelve_hours_in_any_case(
    portal: PortalClient, rosa: factories.SomeAccount, monday: Any
) -> None:
    sign_in(portal, "Rosa1", rosa.password)
    monday.shift(30 * 60 - 1)
    assert portal.get("/students").status == 200
    monday.shift(30 * 60)
    assert portal.get("/students").status == 401
    sign_in(portal, "Rosa1", rosa.password)
    for _ in range(35):
        monday.shift(20 * 60)
        assert portal.post("/session").status == 204
    monday.shift(20 * 60 - 1)
    assert portal.get("/students").status == 200
    monday.shift(1)
    assert portal.get("/students").status == 401


def test_a_lowered_preference_ends_open_sessions(
    portal: PortalClient, rosa: factories.SomeAccount, monday: Any
) -> None:
    sign_in(portal, "Rosa1", rosa.password)
    monday.shift(600)
    district.save_preferences({"session_idle_minutes": 5})
    assert portal.get("/students").status == 401


def test_looking_at_the_session_moves_nothing_and_posting_does(
    portal: PortalClient, rosa: factories.SomeAccount, monday: Any
) -> None:
    sign_in(portal, "Rosa1", rosa.password)
    monday.shift(600)
    times = {"idle_until": "2026-03-02T15:30:00Z", "ends_at": "2026-03-03T03:00:00Z"}
    assert [portal.get("/session").json() for _ in range(2)] == [times, times]
    assert portal.post("/session").status == 204
    assert portal.get("/session").json() == times | {"idle_until": "2026-03-02T15:40:00Z"}
    monday.shift(3600)
    assert portal.get("/session").status == 401
    assert portal.post("/session").status == 401


@pytest.mark.parametrize("ending", ["disable_account", "delete_account", "end_sessions", "all"])
def test_an_admin_ends_every_session_at_once(
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    invoke: Callable[[str, Any], Any],
    ending: str,
) -> None:
    browsers = [factories.signed_in(new_visitor, rosa) for _ in range(2)]
    if ending == "all":
        assert invoke("end_sessions", {"all": True}) == {"ended": 2}
    else:
        assert "error" not in invoke(ending, {"username": "Rosa1"})
    for browser in browsers:
        assert browser.get("/").status == 401
        assert browser.get("/session").status == 401


def test_sessions_end_even_where_no_index_finds_them(
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    invoke: Callable[[str, Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser = factories.signed_in(new_visitor, rosa)
    monkeypatch.setattr(sessions, "sessions_of", lambda _: [])
    invoke("end_sessions", {"username": "Rosa1"})
    assert browser.get("/students").status == 401


def test_a_session_gone_from_the_table_is_over(
    portal: PortalClient, rosa: factories.SomeAccount
) -> None:
    sign_in(portal, "Rosa1", rosa.password)
    table = boto3.resource("dynamodb", aws_stage.REGION).Table(settings.name("sessions"))
    stored = table.scan()["Items"]
    assert portal.cookies["session"] not in str(stored)
    for item in stored:
        table.delete_item(Key={"session_hash": item["session_hash"]})
    assert portal.get("/students").status == 401


def test_home_costs_three_calls_whatever_the_number_of_children(
    portal: PortalClient, aws_calls: list[Any]
) -> None:
    who = factories.account(factories.family(given_names=[f"Kid{i}" for i in range(7)]))
    sign_in(portal, who.username, who.password)
    portal.get("/")
    aws_calls.clear()
    assert len(portal.get("/").json()["students"]) == 7
    assert [operation for _, operation, _ in aws_calls] == ["UpdateItem", "Query", "BatchGetItem"]


@pytest.mark.costly_hashes
def test_raised_parameters_rehash_at_the_next_sign_in(
    portal: PortalClient, rosa: factories.SomeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = accounts.read_account("rosa1")
    monkeypatch.setattr(crypto, "ARGON2_PASSES", 3)
    assert sign_in(portal, "Rosa1", rosa.password).status == 200
    after = accounts.read_account("rosa1")
    assert before and after
    assert "t=2" in before.password_hash
    assert "t=3" in after.password_hash
    assert sign_in(portal, "Rosa1", rosa.password).status == 200
