"""Households at once: how many requests, one posting, one decision; on both stores."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.storage import change_requests
from tests import factories
from tests.conftest import SentMail
from tests.portal_client import Answer, PortalClient
from tests.storage.test_races import at_once, rows

Visitors = Callable[[], PortalClient]
Invoke = Callable[[str, Any], Any]
HOME = {"address1": "12 Elm Street", "city": "Atlanta", "state": "GA", "post_code": "30303"}

pytestmark = pytest.mark.usefixtures("stage")


@pytest.fixture
def parents(new_visitor: Visitors) -> list[PortalClient]:
    """Give the browsers of two guardians of one household, several each."""
    child = factories.student()
    now = datetime.now(UTC)
    browsers = []
    for name in ("Rosa1", "Juan1"):
        guardian = factories.guardian(child, email=f"{name}@example.com", **HOME)
        who = factories.account(guardian, username=name, now=now)
        first = factories.signed_in(new_visitor, who)
        for _ in range(6):
            browser = new_visitor()
            browser.cookies = dict(first.cookies)
            browsers.append(browser)
    return browsers


def ask(visitor: PortalClient, phone: str, form_id: str = "") -> Answer:
    fields = {
        "action": "change",
        "phone": phone,
        "effective_date": datetime.now(UTC).date().replace(month=12, day=31).isoformat(),
        "comment": "a new line",
        "form_id": form_id,
    }
    return visitor.post("/household", fields)


def kept() -> tuple[Counter[str], int, int]:
    """Return the requests by state, how many count as open, and how many pending are shown."""
    found = rows("requests")
    counted = sum(int(row.get("open", 0)) for row in found)
    guardians = {row["guardian_id"] for row in found if "guardian_id" in row}
    shown = [one for g in guardians for one in change_requests.shown(g).requests]
    states = Counter(row["status"] for row in found if "status" in row)
    return states, counted, sum(one.status == "pending" for one in shown)


def test_twelve_requests_at_once_are_five(parents: list[PortalClient]) -> None:
    answers = at_once(
        (lambda i=i, p=p: ask(p, f"404-555-01{i:02}") for i, p in enumerate(parents)), threads=12
    )
    assert sorted(a.status for a in answers) == [200] * 5 + [422] * 7
    assert kept() == (Counter(pending=5), 5, 5)


def test_one_posting_many_times_at_once_is_one_request(parents: list[PortalClient]) -> None:
    answers = at_once(lambda p=p: ask(p, "404-555-0177", "f1") for p in parents[:6])
    assert [a.status for a in answers] == [200] * 6
    assert kept() == (Counter(pending=1), 1, 1)


def test_opposite_decisions_at_once_are_one_and_one_mail(
    parents: list[PortalClient], invoke: Invoke, mailbox: Callable[[], list[SentMail]]
) -> None:
    request_id = ask(parents[0], "404-555-0177").json()["requests"][0]["id"]
    mailbox()
    events = [
        {"request_id": request_id, "decision": decision, "comment": decision}
        for decision in ("approve", "deny") * 5
    ]
    answers = at_once(lambda e=e: invoke("decide_change_request", e) for e in events)
    states = Counter(a.get("status") or a["error"]["code"] for a in answers)
    (state,) = set(states) - {"already-decided"}
    assert states == {state: 5, "already-decided": 5}
    assert kept() == (Counter({state: 1}), 0, 0)
    (mail,) = mailbox()
    assert ("has not approved" in mail.html) is (state == "denied")


def test_decisions_of_one_guardians_requests_at_once_are_all_shown(
    parents: list[PortalClient], invoke: Invoke
) -> None:
    for place in range(4):
        assert ask(parents[0], f"404-555-01{place:02}").status == 200
    waiting = [one["id"] for one in parents[0].get("/household").json()["requests"]]
    decide = [
        lambda one=one: invoke(
            "decide_change_request", {"request_id": one, "decision": "approve", "comment": "yes"}
        )
        for one in waiting
    ]
    done: list[Any] = at_once([*decide, lambda: ask(parents[1], "404-555-0199")])
    assert [a["status"] for a in done[:4]] == ["approved"] * 4
    assert done[4].status == 200
    assert kept() == (Counter(approved=4, pending=1), 1, 1)
    shown = parents[0].get("/household").json()["requests"]
    assert Counter(one["status"] for one in shown) == Counter(approved=4, pending=1)
