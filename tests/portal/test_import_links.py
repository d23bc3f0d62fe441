"""Who may see whom after an import: the contract's rules of links, to the letter."""

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine

from chalicelib.storage import roster
from tests.aws_stage import AwsStage
from tests.roster_sets import (
    Office,
    RosterSet,
    delta,
    district,
    guardian_id,
    relationship,
    student_id,
)

STUDENTS = 3


@pytest.fixture
def office(stage: AwsStage) -> Iterator[Office]:
    """Give the office of a district that never uploaded anything."""
    with time_machine.travel("2026-03-02T17:00:00+00:00"):
        yield Office(stage)


def children_of(guardian: str) -> set[str]:
    """Return the sourcedIds of the students that a guardian may see."""
    record = roster.guardian_partition(guardian_id(guardian))
    names = {student_id(f"s{n}"): f"s{n}" for n in range(1, 60)}
    return set() if record is None else {names[link.student_id] for link in record.students}


def household_of(guardian: str) -> str | None:
    """Return the household of a guardian."""
    record = roster.guardian_partition(guardian_id(guardian))
    assert record is not None
    return record.household_id


# --- agentSourcedIds ------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["student", "guardian"])
def test_links_are_read_from_whichever_side_has_them(office: Office, side: str) -> None:
    roster_set = district()
    if side == "guardian":
        roster_set.row("users.csv", "s1")["agentSourcedIds"] = ""
        roster_set.row("users.csv", "g1a")["agentSourcedIds"] = "s1"
    else:
        roster_set.row("users.csv", "s1")["agentSourcedIds"] = "g1a"
    office.upload(roster_set)
    assert children_of("g1a") == {"s1"}
    assert children_of("g1b") == set()


@pytest.mark.parametrize(
    ("role", "portal_access", "sees"),
    [
        ("parent", "", {"s1"}),
        ("guardian", "", {"s1"}),
        ("relative", "", set()),
        ("relative", "true", {"s1"}),
        ("relative", "false", set()),
        ("parent", "false", set()),
        ("guardian", "true", {"s1"}),
    ],
)
def test_a_role_and_portal_access_decide_together(
    office: Office, role: str, portal_access: str, sees: set[str]
) -> None:
    roster_set = district()
    roster_set.row("users.csv", "g1a").update(
        {"role": role, "metadata.portalAccess": portal_access}
    )
    office.upload(roster_set)
    assert children_of("g1a") == sees
    # The link is there all the same, so that the office sees why.
    links = {link.guardian_id: link for link in roster.guardians_of(student_id("s1"))}
    assert links[guardian_id("g1a")].portal_access is bool(sees)


@pytest.mark.parametrize("disabled", ["s1", "g1a"])
def test_a_disabled_student_or_guardian_stays_without_access(office: Office, disabled: str) -> None:
    roster_set = district()
    roster_set.row("users.csv", disabled)["enabledUser"] = "false"
    office.upload(roster_set)
    assert children_of("g1a") == set()
    assert len(roster.find_student("000001")) == (0 if disabled == "s1" else 1)


def test_a_teacher_named_as_agent_is_no_guardian(office: Office) -> None:
    roster_set = district()
    roster_set.row("users.csv", "s1")["agentSourcedIds"] = "g1a,t1"
    office.upload(roster_set)
    assert roster.guardian_partition(guardian_id("t1")) is None


# --- relationships.csv -----------------------------------------------------------------------


def test_relationships_are_the_only_source_where_they_are_there(office: Office) -> None:
    roster_set = district(relationships=True)
    roster_set.remove("relationships.csv", "rel-s1-g1a")
    office.upload(roster_set)
    assert children_of("g1a") == set()
    assert children_of("g1b") == {"s1"}


@pytest.mark.parametrize(
    ("cells", "user_cells", "sees"),
    [
        ({}, {}, {"s1"}),
        ({"portalAccess": "false"}, {}, set()),
        ({"portalAccess": ""}, {}, {"s1"}),
        ({"portalAccess": "", "guardian": "false"}, {}, set()),
        ({"portalAccess": "true"}, {"metadata.portalAccess": "false"}, set()),
        ({"portalAccess": ""}, {"role": "relative"}, set()),
        ({"portalAccess": "true"}, {"role": "relative"}, {"s1"}),
        ({"portalAccess": ""}, {"role": "relative", "metadata.portalAccess": "true"}, {"s1"}),
        # One role a row in OneRoster 1.1: a teacher who is a parent too.
        ({"portalAccess": "", "guardian": "true"}, {"role": "teacher"}, {"s1"}),
        ({"portalAccess": "", "guardian": ""}, {"role": "teacher"}, set()),
    ],
)
def test_a_false_anywhere_wins(
    office: Office, cells: dict[str, str], user_cells: dict[str, str], sees: set[str]
) -> None:
    roster_set = district(relationships=True)
    roster_set.row("relationships.csv", "rel-s1-g1a").update(cells)
    roster_set.row("users.csv", "g1a").update(user_cells)
    office.upload(roster_set)
    assert children_of("g1a") == sees


@pytest.mark.parametrize("order", [("true", "false"), ("false", "true")])
def test_of_two_rows_of_a_pair_the_false_one_wins(office: Office, order: tuple[str, str]) -> None:
    roster_set = district(relationships=True)
    one = roster_set.row("relationships.csv", "rel-s1-g1a")
    one["portalAccess"] = order[0]
    again = one | {"sourcedId": "zz-again", "portalAccess": order[1]}
    roster_set.files["relationships.csv"].append(again)
    office.upload(roster_set)
    assert children_of("g1a") == set()


def test_a_delta_bars_a_parent_at_once(office: Office) -> None:
    office.upload(district(relationships=True))
    barred = relationship("s1", "g1a", portalAccess="false")
    assert office.upload(delta(relationships=[barred]))["status"] == "applied"
    assert (children_of("g1a"), children_of("g1b")) == (set(), {"s1"})


# --- a night without relationships.csv ---------------------------------------------------------


def barred_district() -> RosterSet:
    """Return a set whose relationships bar g1a, whom agentSourcedIds would let in."""
    roster_set = district(relationships=True)
    roster_set.row("relationships.csv", "rel-s1-g1a")["portalAccess"] = "false"
    return roster_set


@pytest.mark.parametrize(("stored", "ended"), [("rel-1", ""), ("", "rel-1"), ("", ""), ("r", "r")])
def test_a_relationship_is_ended_by_naming_its_two_people(
    office: Office, stored: str, ended: str
) -> None:
    """Whichever of the two lines has a sourcedId: a barred parent must not stay in."""
    first = district(STUDENTS, relationships=True)
    first.row("relationships.csv", "rel-s1-g1a")["sourcedId"] = stored
    office.upload(first)
    assert children_of("g1a") == {"s1"}
    line = relationship("s1", "g1a", sourcedId=ended, status="tobedeleted")
    report = office.upload(delta(relationships=[line]))
    assert report["files"]["relationships.csv"]["removed"] == 1
    assert report["files"]["relationships.csv"]["unchanged"] == 0
    assert children_of("g1a") == set()
    assert children_of("g1b") == {"s1"}


def test_a_delta_without_the_file_changes_no_link(office: Office) -> None:
    office.upload(barred_district())
    users = [
        district().row("users.csv", "s1"),
        district().row("users.csv", "g1a") | {"metadata.portalAccess": "true"},
        district().row("users.csv", "s2") | {"agentSourcedIds": "g1a,g2a,g2b"},
    ]
    assert office.upload(delta(users=users))["status"] == "applied"
    assert children_of("g1a") == set()
    assert children_of("g1b") == {"s1"}
    assert children_of("g2a") == {"s2"}


def test_a_delta_without_the_file_lets_no_role_change_open_a_link(office: Office) -> None:
    roster_set = district(relationships=True)
    roster_set.row("users.csv", "g1a")["role"] = "relative"
    roster_set.row("relationships.csv", "rel-s1-g1a")["portalAccess"] = ""
    office.upload(roster_set)
    assert children_of("g1a") == set()
    office.upload(delta(users=[district().row("users.csv", "g1a")]))
    assert children_of("g1a") == set()


def test_a_delta_without_the_file_takes_access_all_the_same(office: Office) -> None:
    office.upload(barred_district())
    barred = district().row("users.csv", "g1b") | {"metadata.portalAccess": "false"}
    office.upload(delta(users=[barred]))
    assert children_of("g1b") == set()


def test_a_bulk_set_without_the_file_is_held_and_opens_nothing(office: Office) -> None:
    office.upload(barred_district())
    report = office.upload(district())
    assert (report["status"], report["reason"]) == ("held", "relationships-missing")
    assert children_of("g1a") == set()


def test_once_approved_agents_make_the_links_from_then_on(office: Office, invoke: Any) -> None:
    office.upload(barred_district())
    office.upload(district())
    assert invoke("approve_import", {"name": "nightly"})["status"] == "approved"
    office.continue_imports()
    assert office.report()["status"] == "applied"
    assert children_of("g1a") == {"s1"}
    assert office.upload(district())["status"] == "applied"


def test_the_first_relationships_of_a_delta_change_only_the_pairs_they_name(
    office: Office,
) -> None:
    office.upload(district())
    barred = relationship("s1", "g1a", portalAccess="false")
    office.upload(delta(relationships=[barred]))
    assert [children_of(g) for g in ("g1a", "g1b", "g2a")] == [set(), {"s1"}, {"s2"}]
    # From now on relationships are the source.
    assert office.upload(district())["reason"] == "relationships-missing"
    gone = relationship("s2", "g2a", status="tobedeleted")
    office.upload(delta(relationships=[gone]))
    assert [children_of(g) for g in ("g1b", "g2a", "g2b")] == [{"s1"}, set(), {"s2"}]


# --- households --------------------------------------------------------------------------------


def test_guardians_who_share_an_address_and_a_child_share_a_household(office: Office) -> None:
    roster_set = district()
    # Another family of the same building.
    roster_set.row("users.csv", "g2a")["metadata.address1"] = "1 Elm Street"
    roster_set.row("users.csv", "g3a")["metadata.address1"] = ""
    roster_set.row("users.csv", "g3b")["metadata.address1"] = ""
    roster_set.row("users.csv", "g1b")["metadata.address1"] = " 1 ELM street "
    office.upload(roster_set)
    assert household_of("g1a") == household_of("g1b")
    assert household_of("g2a") not in (household_of("g1a"), household_of("g2b"))
    assert household_of("g3a") != household_of("g3b")


def test_a_household_that_the_roster_names_wins_over_addresses(office: Office) -> None:
    roster_set = district()
    roster_set.row("users.csv", "g1a")["metadata.householdId"] = "north"
    roster_set.row("users.csv", "g1b")["metadata.householdId"] = "south"
    roster_set.row("users.csv", "g2a")["metadata.householdId"] = "north"
    office.upload(roster_set)
    assert household_of("g1a") == household_of("g2a") != household_of("g1b")


# --- OneRoster 1.2 ------------------------------------------------------------------------------


def as_1_2(roster_set: RosterSet, **roles: str) -> RosterSet:
    """Return the set in version 1.2, whose roles stand in a file of their own."""
    roster_set.version = "1.2"
    lines = []
    for user in roster_set.files["users.csv"]:
        role = roles.get(user["sourcedId"], user.pop("role", ""))
        org = user.pop("orgSourcedIds", "elm")
        line = {"sourcedId": f"role-{user['sourcedId']}", "userSourcedId": user["sourcedId"]}
        lines.append(line | {"roleType": "primary", "role": role, "orgSourcedId": org})
        user.pop("role", None)
    roster_set.files["roles.csv"] = lines
    for item in roster_set.files["lineItems.csv"]:
        item["academicSessionSourcedId"] = item.pop("gradingPeriodSourcedId")
        item["schoolSourcedId"] = "elm"
    return roster_set


def test_roles_of_1_2_decide_as_those_of_1_1(office: Office) -> None:
    office.upload(as_1_2(district(), g1a="relative"))
    assert (children_of("g1a"), children_of("g1b")) == (set(), {"s1"})
    (summary,) = roster.student_summaries([student_id("s1")])
    assert summary.school == "Elm School"


def test_a_district_may_go_from_1_2_to_1_1(office: Office) -> None:
    office.upload(as_1_2(district(), g1a="relative"))
    report = office.upload(district())
    assert (report["status"], report["oneroster"]) == ("applied", "1.1")
    assert children_of("g1a") == {"s1"}


def test_a_role_that_ended_gives_nothing(office: Office) -> None:
    roster_set = as_1_2(district())
    roster_set.row("roles.csv", "role-g1a")["endDate"] = "2026-03-02"
    roster_set.row("roles.csv", "role-g1b")["endDate"] = "2026-03-03"
    office.upload(roster_set)
    assert (children_of("g1a"), children_of("g1b")) == (set(), {"s1"})
