"""What an import changes of keys and accounts: a new roster address, or the last child gone."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import botocore.client
import pytest
import time_machine
from botocore.exceptions import ClientError

from chalicelib.storage import accounts, roster
from tests import factories
from tests.aws_stage import AwsStage
from tests.conftest import SentMail
from tests.factories import SomeGuardian
from tests.portal_client import PortalClient
from tests.roster_sets import Office, RosterSet, delta, district, guardian_id, student_id

G1A = SomeGuardian(guardian_id("g1a"), "parent1a@example.com")


@pytest.fixture
def office(stage: AwsStage) -> Iterator[Office]:
    """Give the office of a district whose first set is applied."""
    with time_machine.travel("2026-03-02T17:00:00+00:00"):
        one = Office(stage)
        one.upload(district(relationships=True))
        yield one


def new_key() -> str:
    """Issue a key to g1a."""
    return factories.activation_key(G1A, now=datetime.now(UTC))


def new_account() -> None:
    """Make g1a's account."""
    factories.account(G1A, username="Parent1", now=datetime.now(UTC))


def on_record() -> str | None:
    """Return the address on record of g1a's account."""
    account = accounts.read_account("parent1")
    assert account is not None
    return account.email


def with_address(address: str) -> RosterSet:
    """Return a delta that gives g1a an address."""
    return delta(users=[district().row("users.csv", "g1a") | {"email": address}])


def opens(portal: PortalClient, key: str) -> bool:
    """Say whether an activation key opens anything."""
    return portal.post("/activate", {"activation_key": key}).status == 200


def told(queued: list[dict[str, Any]]) -> list[str]:
    """Return the old addresses that are told of a change."""
    return [mail["old_address"] for mail in queued if mail["kind"] == "address-changed"]


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["other@example.com", ""])
def test_a_new_roster_address_ends_every_unused_key(
    office: Office, portal: PortalClient, address: str
) -> None:
    keys = [new_key(), new_key()]
    assert opens(portal, keys[0])
    office.upload(with_address(address))
    assert [opens(portal, key) for key in keys] == [False, False]
    assert opens(portal, new_key())


def test_the_same_address_in_other_case_ends_no_key(office: Office, portal: PortalClient) -> None:
    key = new_key()
    office.upload(with_address("PARENT1A@Example.Com"))
    assert opens(portal, key)


def test_the_last_child_gone_ends_every_unused_key(office: Office, portal: PortalClient) -> None:
    key = new_key()
    barred = district(relationships=True).row("relationships.csv", "rel-s1-g1a")
    office.upload(delta(relationships=[barred | {"portalAccess": "false"}]))
    office.upload(delta(relationships=[barred | {"dateLastModified": "2026-03-02T00:00:00Z"}]))
    # The child is back, the key stays dead.
    record = roster.guardian_partition(G1A.guardian_id)
    assert record is not None
    assert len(record.students) == 1
    assert not opens(portal, key)


def test_one_child_of_two_gone_ends_no_key(office: Office, portal: PortalClient) -> None:
    two = district(relationships=True)
    row = two.row("relationships.csv", "rel-s2-g2a") | {"guardianSourcedId": "g1a"}
    office.upload(delta(relationships=[row | {"sourcedId": "both"}]))
    key = new_key()
    gone = row | {"sourcedId": "both", "status": "tobedeleted"}
    office.upload(delta(relationships=[gone | {"dateLastModified": "2026-03-02T00:00:00Z"}]))
    record = roster.guardian_partition(G1A.guardian_id)
    assert record is not None
    assert [link.student_id for link in record.students] == [student_id("s1")]
    assert opens(portal, key)


# --- the address on record -------------------------------------------------------------------------


def test_the_address_on_record_follows_the_roster_and_the_old_one_is_told(
    office: Office, mailbox: Callable[[], list[SentMail]]
) -> None:
    new_account()
    mailbox()
    office.upload(with_address("New@Example.com"))
    assert on_record() == "New@Example.com"
    (mail,) = mailbox()
    assert mail.recipient == "parent1a@example.com"
    assert "new@example.com" not in mail.html.lower()
    assert accounts.accounts_at([str(accounts.read_account("parent1").address_hash)]) == [  # type: ignore[union-attr]
        "parent1"
    ]


def test_it_follows_to_blank_and_back(
    office: Office, queued_mail: Callable[[], list[dict[str, Any]]]
) -> None:
    new_account()
    queued_mail()
    office.upload(with_address(""))
    assert on_record() is None
    assert told(queued_mail()) == ["parent1a@example.com"]
    back = district().row("users.csv", "g1a") | {"dateLastModified": "2026-03-02T00:00:00Z"}
    office.upload(delta(users=[back]))
    assert on_record() == "parent1a@example.com"
    assert told(queued_mail()) == []


def test_an_address_that_the_guardian_chose_stays(
    office: Office, queued_mail: Callable[[], list[dict[str, Any]]]
) -> None:
    new_account()
    queued_mail()
    office.dynamodb.update_item(
        TableName="parent-portal-local-accounts",
        Key={"username_key": {"S": "parent1"}},
        UpdateExpression="SET email_source = :g, email = :e",
        ExpressionAttributeValues={":g": {"S": "guardian"}, ":e": {"S": "own@example.com"}},
    )
    office.upload(with_address("roster@example.com"))
    assert on_record() == "own@example.com"
    assert told(queued_mail()) == []


def test_a_guardian_who_leaves_and_returns_has_the_roster_address_again(office: Office) -> None:
    new_account()
    gone = district().row("users.csv", "g1a") | {"status": "tobedeleted"}
    office.upload(delta(users=[gone]))
    assert on_record() is None
    assert roster.guardian_partition(G1A.guardian_id) is None
    back = district().row("users.csv", "g1a") | {"dateLastModified": "2026-03-02T00:00:00Z"}
    office.upload(delta(users=[back]))
    assert on_record() == "parent1a@example.com"


def test_nobody_without_an_account_is_told(
    office: Office, queued_mail: Callable[[], list[dict[str, Any]]]
) -> None:
    office.upload(with_address("other@example.com"))
    assert queued_mail() == []


def test_a_bounce_of_the_old_address_is_forgotten(office: Office) -> None:
    roster.set_mail_state(G1A.guardian_id, "bounced", datetime.now(UTC))
    office.upload(with_address("other@example.com"))
    record = roster.guardian_partition(G1A.guardian_id)
    assert record is not None
    assert (record.mail_state, record.mail_at) == (None, None)


# --- when AWS is in the way ---------------------------------------------------------------------------


@pytest.fixture
def fail_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, BaseException, bool], None]:
    """Give a function that has an operation fail once, before or after its effect."""

    def arrange(operation: str, error: BaseException, after: bool) -> None:
        make = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]
        left = [error]

        def call(client: Any, name: str, parameters: Any) -> Any:
            if name != operation or not left:
                return make(client, name, parameters)
            failure = left.pop()
            if after:
                make(client, name, parameters)
            raise failure

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)

    return arrange


class Killed(BaseException):
    """The function's process is gone."""


def conflict() -> ClientError:
    """Return what AWS says where two transactions meet on one item."""
    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
    response: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
        "CancellationReasons": reasons,
    }
    return ClientError(response, "TransactWriteItems")


def test_a_conflict_with_another_transaction_is_tried_again(
    office: Office, fail_once: Callable[[str, BaseException, bool], None]
) -> None:
    new_account()
    fail_once("TransactWriteItems", conflict(), False)
    assert office.upload(with_address("new@example.com"))["status"] == "applied"
    assert on_record() == "new@example.com"


@pytest.mark.parametrize("operation", ["TransactWriteItems", "SendMessage"])
def test_killed_between_the_change_and_its_mail_it_still_tells_once(
    office: Office,
    fail_once: Callable[[str, BaseException, bool], None],
    mailbox: Callable[[], list[SentMail]],
    operation: str,
) -> None:
    new_account()
    mailbox()
    office.announce(office.put(with_address("new@example.com")))
    (body,) = office.messages()
    fail_once(operation, Killed(), True)
    with pytest.raises(Killed):
        office.deliver(body)
    with time_machine.travel("2026-03-02T18:00:00+00:00"):
        office.deliver(body)
        assert on_record() == "new@example.com"
        assert [mail.recipient for mail in mailbox()] == ["parent1a@example.com"]
