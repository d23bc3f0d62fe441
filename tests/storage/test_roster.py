"""The table `roster` on both stores: finding, a guardian's partition, and the import's writes."""

from datetime import UTC, datetime

import boto3
import pytest

from chalicelib import errors
from chalicelib.storage import imports, roster, roster_writes
from chalicelib.storage.roster_writes import GuardianMove
from tests import aws_stage
from tests.aws_stage import AwsStage

NOW = datetime(2026, 3, 2, 17, tzinfo=UTC)
LINK = (
    '{"student_id":"s","guardian_id":"g","relationship":"mother","portal_access":true,'
    '"lives_with":null,"primary_contact":null,"emergency_contact":null,"contact_order":null}'
)
PROFILE = (
    '{"guardian_id":"g","sourced_id":"G","given_name":"Rosa","family_name":"Rivera","email":"a@b.c",'
    '"phone":null,"sms":null,"language":null,"household_id":null,"address1":null,"address2":null,'
    '"city":null,"state":null,"post_code":null}'
)


def put(pk: str, sk: str, data: str, **index: str) -> None:
    """Put one item as the import does."""
    roster_writes.write_items([(pk, sk, {"data": data} | index)], [])


def a_guardian() -> None:
    """Put a guardian with a student."""
    put("guardian#g", "profile", PROFILE, address_hash="hash", name_key="rivera")
    put("guardian#g", "student#s", LINK)
    put("student#s", "guardian#g", LINK)


def move(email: str | None) -> GuardianMove:
    """Return the change of the guardian's roster address."""
    profile = {"data": PROFILE.replace("a@b.c", str(email)), "name_key": "rivera"}
    return GuardianMove("g", profile, True, email, "new-hash" if email else None, True)


def test_one_number_may_be_two_students_numbers(stage: AwsStage) -> None:
    put("number#7", "student", '{"student_id":"one","last4":"x","secret":"v"}')
    put("gtid#7", "student", '{"student_id":"two","last4":null,"secret":null}')
    assert {match.student_id for match in roster.find_student("7")} == {"one", "two"}
    assert roster.find_student("07") == []


def test_a_guardians_partition_holds_who_they_are_and_whom_they_may_see(stage: AwsStage) -> None:
    assert roster.guardian_partition("g") is None
    a_guardian()
    record = roster.guardian_partition("g")
    assert record is not None
    assert [link.student_id for link in record.students] == ["s"]
    assert (record.key_generation, record.account, record.mail_state) == (0, None, None)
    assert roster.guardian_ids_by_address(["hash", "other"]) == ["g"]
    assert roster.guardian_ids_by_name("rivera") == ["g"]
    assert [link.guardian_id for link in roster.guardians_of("s")] == ["g"]


def test_a_link_that_lost_access_shows_nobody(stage: AwsStage) -> None:
    a_guardian()
    put("guardian#g", "student#s", LINK.replace("true", "false"))
    record = roster.guardian_partition("g")
    assert record is not None
    assert record.students == ()


def test_a_mail_state_is_noted_and_forgotten(stage: AwsStage) -> None:
    a_guardian()
    roster.set_mail_state("g", "bounced", NOW)
    record = roster.guardian_partition("g")
    assert record is not None
    assert (record.mail_state, record.mail_at) == ("bounced", int(NOW.timestamp()))
    roster.set_mail_state("g", None, NOW)
    record = roster.guardian_partition("g")
    assert record is not None
    assert record.mail_state is None


def test_many_items_are_put_and_deleted(stage: AwsStage) -> None:
    items = [(f"student#{n}", "profile", {"data": "{}"}) for n in range(120)]
    roster_writes.write_items(items, [])
    roster_writes.write_items(items[:30], [(pk, sk) for pk, sk, _ in items[30:]])
    found = boto3.client("dynamodb", aws_stage.REGION).scan(TableName=roster.table())
    assert found["Count"] == 30


def test_a_moved_guardian_has_dead_keys_and_written_twice_only_once(stage: AwsStage) -> None:
    a_guardian()
    for _ in range(2):
        assert roster_writes.move_guardian(move("new@b.c")) is False
        record = roster.guardian_partition("g")
        assert record is not None
        assert (record.email, record.key_generation) == ("new@b.c", 1)


def put_account(source: str) -> None:
    """Give the guardian an account."""
    client = boto3.client("dynamodb", aws_stage.REGION)
    client.put_item(
        TableName="parent-portal-local-accounts",
        Item={
            "username_key": {"S": "rosa1"},
            "guardian_id": {"S": "g"},
            "email": {"S": "a@b.c"},
            "email_source": {"S": source},
            "address_hash": {"S": "hash"},
        },
    )
    client.put_item(
        TableName=roster.table(),
        Item={"pk": {"S": "guardian#g"}, "sk": {"S": "access"}, "account": {"S": "rosa1"}},
    )


def account_email() -> str | None:
    """Return the address on record."""
    item = boto3.client("dynamodb", aws_stage.REGION).get_item(
        TableName="parent-portal-local-accounts", Key={"username_key": {"S": "rosa1"}}
    )["Item"]
    return item["email"]["S"] if "email" in item else None


@pytest.mark.parametrize(
    ("source", "email", "after", "told"),
    [
        ("roster", "new@b.c", "new@b.c", True),
        ("roster", None, None, True),
        ("guardian", "new@b.c", "a@b.c", False),
    ],
)
def test_the_address_on_record_follows_only_where_it_is_the_rosters(
    stage: AwsStage, source: str, email: str | None, after: str | None, told: bool
) -> None:
    a_guardian()
    put_account(source)
    assert roster_writes.move_guardian(move(email)) is told
    assert account_email() == after
    # After a crash the chunk is written again: the answer is the same, so the mail is queued.
    assert roster_writes.move_guardian(move(email)) is told


def test_an_account_made_meanwhile_gets_the_new_address_too(
    stage: AwsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_guardian()
    read = roster_writes._Guardian.batch_get
    once = [put_account]

    def batch_get(*args: object, **how: object) -> object:
        found = list(read(*args, **how))  # type: ignore[arg-type]
        if once:
            once.pop()("roster")
        return found

    monkeypatch.setattr(roster_writes._Guardian, "batch_get", batch_get)
    assert roster_writes.move_guardian(move("new@b.c")) is True
    assert account_email() == "new@b.c"


def test_an_account_that_never_stops_changing_is_given_up(
    stage: AwsStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_guardian()
    monkeypatch.setattr(roster_writes._Guardian, "batch_get", lambda *_, **__: [])
    put_account("roster")
    with pytest.raises(errors.Unavailable):
        roster_writes.move_guardian(move("new@b.c"))
    assert account_email() == "a@b.c"


# --- whose turn it is ------------------------------------------------------------------------------


def test_two_imports_can_not_have_the_place_at_once(stage: AwsStage) -> None:
    one = imports.receive("1", "imports/a.zip", "v1", now=NOW)
    two = imports.receive("2", "imports/b.zip", "v2", now=NOW)
    assert imports.pending() == ["1", "2"]
    assert imports.take_place(one, now=NOW)
    assert not imports.take_place(two, now=NOW)
    assert imports.pending() == ["2"]
    imports.leave_place("2")
    assert imports.current() is not None
    imports.leave_place("1")
    assert imports.take_place(two, now=NOW)


def test_a_lease_is_taken_over_by_one_only(stage: AwsStage) -> None:
    one = imports.receive("1", "imports/a.zip", "v1", now=NOW)
    imports.take_place(one, now=NOW)
    current = imports.current()
    assert current is not None
    later = datetime.fromtimestamp(current[1] + 1, UTC)
    assert imports.renew_lease("1", current[1], now=later)
    assert not imports.renew_lease("1", current[1], now=later)


def test_an_import_is_applied_only_on_the_base_it_was_compared_with(stage: AwsStage) -> None:
    first = imports.receive("1", "imports/a.zip", "v1", now=NOW)
    second = imports.receive("2", "imports/b.zip", "v2", now=NOW)
    assert imports.move_applied(first, now=NOW)
    assert imports.move_applied(first, now=NOW)
    assert not imports.move_applied(second, now=NOW)
    imports.note("2", base="1")
    again = imports.find("2")
    assert again is not None
    assert imports.move_applied(again, now=NOW)
