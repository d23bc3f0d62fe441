"""The names that a guardian can switch between: they come after the access, and go with it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import botocore.client
import pytest
import time_machine

from chalicelib.storage import roster
from tests import factories
from tests.aws_stage import AwsStage
from tests.portal_client import PortalClient
from tests.roster_sets import (
    Office,
    RosterSet,
    delta,
    district,
    guardian_id,
    relationship,
    student_id,
)

LATER = "2026-03-02T00:00:00Z"


@pytest.fixture
def office(stage: AwsStage) -> Iterator[Office]:
    """Give the office of a district with a class of three children, one of them with a sister."""
    with time_machine.travel("2026-03-02T17:00:00+00:00"):
        made = Office(stage)
        made.upload(families())
        yield made


def families() -> RosterSet:
    """Return the district's set; g1a is a parent of s1 and s2."""
    roster_set = district(3, relationships=True)
    roster_set.files["relationships.csv"].append(relationship("s2", "g1a"))
    return roster_set


def names(office: Office, guardian: str) -> list[str] | None:
    """Return the given names in a guardian's list, None where there is no list."""
    item = office.items().get((f"guardian#{guardian_id(guardian)}", "students"))
    return item and [one["given_name"] for one in json.loads(item["data"])["students"]]


def seen(guardian: str) -> int:
    """Return how many students the guardian may see."""
    record = roster.guardian_partition(guardian_id(guardian))
    return len(record.students) if record else 0


def test_each_guardian_has_the_names_of_their_students_and_no_more(office: Office) -> None:
    assert names(office, "g1a") == ["Kid1", "Kid2"]
    assert names(office, "g1b") == ["Kid1"]
    stored = office.items()[f"guardian#{guardian_id('g1b')}", "students"]
    (one,) = json.loads(stored["data"])["students"]
    assert sorted(one) == ["family_name", "given_name", "student_id"]


@pytest.mark.parametrize("how", ["barred", "removed", "disabled"])
def test_a_lost_student_is_gone_from_the_list(office: Office, how: str) -> None:
    row = relationship("s2", "g1a", dateLastModified=LATER)
    if how == "barred":
        office.upload(delta(relationships=[row | {"portalAccess": "false"}]))
    elif how == "removed":
        office.upload(delta(relationships=[row | {"status": "tobedeleted"}]))
    else:
        user = families().row("users.csv", "s2")
        office.upload(delta(users=[user | {"enabledUser": "false", "dateLastModified": LATER}]))
    assert names(office, "g1a") == ["Kid1"]


def test_without_a_student_or_without_the_guardian_there_is_no_list(office: Office) -> None:
    barred = relationship("s3", "g3a", portalAccess="false", dateLastModified=LATER)
    office.upload(delta(relationships=[barred]))
    assert names(office, "g3a") is None
    gone = families().row("users.csv", "g3b")
    office.upload(delta(users=[gone | {"status": "tobedeleted", "dateLastModified": LATER}]))
    assert names(office, "g3b") is None


def test_a_new_name_reaches_every_list(office: Office) -> None:
    renamed = families().row("users.csv", "s2") | {"givenName": "Ada", "dateLastModified": LATER}
    office.upload(delta(users=[renamed]))
    assert names(office, "g1a") == ["Ada", "Kid1"]
    assert names(office, "g2b") == ["Ada"]


def test_a_name_goes_with_the_access_and_comes_after_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two writes no name is there too long or too early.

    g1a loses s2 and gains s3 at once; g3a loses the only child.
    """
    make = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]
    sights: dict[str, list[tuple[list[str] | None, int]]] = {"g1a": [], "g3a": []}

    def call(client: Any, operation: str, parameters: Any) -> Any:
        answer = make(client, operation, parameters)
        if operation in ("BatchWriteItem", "TransactWriteItems"):
            for guardian, steps in sights.items():
                sight = names(office, guardian), seen(guardian)
                if sight not in steps:
                    steps.append(sight)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", call)
        office.upload(
            delta(
                relationships=[
                    relationship("s2", "g1a", portalAccess="false", dateLastModified=LATER),
                    relationship("s3", "g3a", portalAccess="false", dateLastModified=LATER),
                    relationship("s3", "g1a"),
                ]
            )
        )
    assert sights == {
        "g1a": [(["Kid1"], 1), (["Kid1"], 2), (["Kid1", "Kid3"], 2)],
        "g3a": [(None, 0)],
    }


@pytest.mark.parametrize("how", ["barred", "removed"])
def test_an_open_session_loses_the_child_and_the_name_with_the_import(
    office: Office, new_visitor: Callable[[], PortalClient], how: str
) -> None:
    """Security row S67: the guardian signed in before, and asks again right after."""
    rosa = factories.SomeGuardian(guardian_id("g1a"), "parent1a@example.com")
    visitor = factories.signed_in(new_visitor, factories.account(rosa))
    lost, kept = student_id("s2"), student_id("s1")
    for section in ("", "/schedule"):
        assert visitor.get(f"/students/{lost}{section}").status == 200
        assert "Kid2" in visitor.get(f"/students/{kept}{section}", accept="text/html").text
    row = relationship("s2", "g1a", dateLastModified=LATER)
    ending = {"portalAccess": "false"} if how == "barred" else {"status": "tobedeleted"}
    office.upload(delta(relationships=[row | ending]))
    for section in ("", "/schedule"):
        assert visitor.get(f"/students/{lost}{section}").code == "not-found"
        assert "Kid2" not in visitor.get(f"/students/{kept}{section}", accept="text/html").text
    assert [one["id"] for one in visitor.get("/students").json()] == [kept]
