"""The sign-up journey as a JSON client walks it, and what an office sees of a stack."""

import contextlib
import csv
import http.client
import io
import itertools
import re
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import local
import package
from local import LocalStack
from tests.e2e.conftest import DeployedClient, free_port, wait_for_mail

PASSWORD = "blue42horses"
ROSTER_TABLE = "parent-portal-local-roster"
Key = tuple[str, str]

_KEY = re.compile(r"\b(?:[2-9A-HJKMNP-TV-Z]{4}-){3}[2-9A-HJKMNP-TV-Z]{4}\b")
_addresses = itertools.count(1)


@contextmanager
def fresh_stack(folder: Path) -> Iterator[LocalStack]:
    """Start a stage of one's own, empty, and end it afterwards."""
    made = package.build(package.LOCAL, out=folder / "package")
    with local.running(LocalStack(free_port(), folder), made=made) as started:
        yield started


def visitor(stack: LocalStack) -> DeployedClient:
    """Return a visitor from an address that nobody else has."""
    place = next(_addresses)
    return DeployedClient(stack, ip=f"10.{place >> 16 & 255}.{place >> 8 & 255}.{place & 255}")


# --- a guardian's way ---------------------------------------------------------------------


@dataclass(frozen=True)
class Seeker:
    """A guardian as they come: a child's number and last four, and all whom they should see."""

    number: str
    last4: str
    email: str | None
    family_name: str
    children: tuple[str, ...]


def ask_for_key(stack: LocalStack, seeker: Seeker) -> tuple[int, Any]:
    """Ask at /activation-key; return status and answer."""
    fields = {"student_number": seeker.number, "ssn_last4": seeker.last4}
    answer = visitor(stack).post("/activation-key", fields)
    return answer.status, answer.json()


def mailed_key(stack: LocalStack, seeker: Seeker) -> str:
    """Ask for a key and take it from the mail."""
    assert seeker.email is not None
    before = len(stack.mails())
    assert ask_for_key(stack, seeker)[0] == 202
    mail = wait_for_mail(stack, seeker.email, after=before)
    found = _KEY.search(mail["BodyText"])
    assert found, mail
    return found[0]


def mailed_keys(stack: LocalStack) -> list[str]:
    """Return every key that was mailed to anybody so far."""
    found = (_KEY.search(mail["BodyText"]) for mail in stack.mails())
    return [one[0] for one in found if one]


def get_in(stack: LocalStack, key: str, username: str) -> DeployedClient:
    """Activate, make an account, sign in; return the visitor with the session."""
    portal = visitor(stack)
    assert portal.post("/activate", {"activation_key": key}).json()["status"] == "valid"
    made = create(portal, key, username)
    assert (made.status, made.json()) == (201, {"username": username})
    answer = sign_in(portal, username)
    assert (answer.status, answer.json()["username"]) == (200, username)
    return portal


def create(portal: DeployedClient, key: str, username: str, **more: str) -> Any:
    """Post /create-account."""
    fields = {"activation_key": key, "username": username}
    passwords = {"password": PASSWORD, "verify_password": PASSWORD}
    return portal.post("/create-account", fields | passwords | more)


def sign_in(portal: DeployedClient, username: str) -> Any:
    """Post /sign-in with the right password."""
    return portal.post("/sign-in", {"username": username, "password": PASSWORD})


def sees(portal: DeployedClient) -> set[str]:
    """Return the numbers of the students whom a signed-in guardian sees."""
    numbers = {one["student_number"] for one in portal.get("/students").json()}
    assert {one["student_number"] for one in portal.get("/").json()["students"]} == numbers
    return numbers


def found(stack: LocalStack, seeker: Seeker, **event: str) -> dict[str, Any]:
    """Return the guardian whom an admin finds, who is the only one with these children."""
    guardians = stack.invoke("find_guardian", event)["guardians"]
    (one,) = [
        g
        for g in guardians
        if g["name"].endswith(seeker.family_name)
        and g["email"] == seeker.email
        and {s["student_number"] for s in g["students"]} == set(seeker.children)
    ]
    return dict(one)


def returned_key(stack: LocalStack, guardian: Mapping[str, Any]) -> str:
    """Have an admin issue a key and read it from the answer."""
    event = {"guardian_id": guardian["guardian_id"], "deliver": "return"}
    return str(stack.invoke("issue_activation_key", event)["activation_key"])


def wait_until_mail_is_worked_off(
    stack: LocalStack, *, put_off: bool = False, seconds: float = 60
) -> None:
    """Wait until the mail queue holds nothing, delayed and taken messages included.

    With `put_off` what was taken and put off may stay: a mail for an account that lost its race is
    looked at again after the queue's visibility timeout, and dropped then.
    """
    sqs = stack.client("sqs")
    names = [f"ApproximateNumberOfMessages{which}" for which in ("", "Delayed", "NotVisible")]
    names = names[:2] if put_off else names
    url = sqs.get_queue_url(QueueName="parent-portal-local-mail")["QueueUrl"]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        if not any(int(count) for count in counts.values()):
            return
        time.sleep(0.1)
    raise AssertionError("the mail queue isn't worked off")


# --- what lies on the stack ---------------------------------------------------------------


def items(stack: LocalStack) -> dict[Key, dict[str, Any]]:
    """Return the families' items of the table `roster`, without what the import notes for itself."""
    pages = stack.client("dynamodb").get_paginator("scan")
    return {
        (item["pk"]["S"], item["sk"]["S"]): item
        for page in pages.paginate(TableName=ROSTER_TABLE)
        for item in page["Items"]
        if not item["pk"]["S"].startswith("import")
    }


def of_the_roster(all_items: Mapping[Key, Any]) -> dict[Key, Any]:
    """Return the items that come from the roster alone, without accounts and key generations."""
    return {key: item for key, item in all_items.items() if key[1] != "access"}


def differing(before: Mapping[Key, Any], after: Mapping[Key, Any]) -> set[Key]:
    """Return the keys that came, went or changed."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def faults(stack: LocalStack, name: str) -> list[dict[str, str]]:
    """Return the rows of an import's `errors.csv`."""
    key = f"reports/{name}.errors.csv"
    body = stack.client("s3").get_object(Bucket=stack.bucket, Key=key)["Body"].read()
    return list(csv.DictReader(io.StringIO(body.decode())))


def wait_for_status(stack: LocalStack, name: str, *, not_: str = "held") -> dict[str, Any]:
    """Return a report once its status is another."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        report = local.read_report(stack, name)
        if report is not None and report["status"] != not_:
            return report
        time.sleep(0.1)
    raise AssertionError(f"{name} is still {not_}")


def approved(stack: LocalStack, name: str) -> dict[str, Any]:
    """Approve a held import and return its report when it is through."""
    assert stack.invoke("approve_import", {"name": name})["status"] == "approved"
    return wait_for_status(stack, name)


def seekers(zip_path: Path) -> list[Seeker]:
    """Return the guardians whom a OneRoster zip makes findable, each alone with the first child.

    Only for sets that link by `agentSourcedIds` in both directions.
    """
    with zipfile.ZipFile(zip_path) as opened:
        text = opened.read("users.csv").decode("utf-8-sig")
    users = {row["sourcedId"]: row for row in csv.DictReader(io.StringIO(text))}

    def related(row: Mapping[str, str]) -> list[dict[str, str]]:
        return [users[one] for one in row["agentSourcedIds"].split(",") if one]

    return [
        Seeker(
            number=children[0]["identifier"],
            last4=children[0]["metadata.ssnLast4"],
            email=row["email"] or None,
            family_name=row["familyName"],
            children=tuple(child["identifier"] for child in children),
        )
        for row in users.values()
        if row["metadata.relationship"] and (children := related(row))
        if children[0]["metadata.ssnLast4"] and len(related(children[0])) == 1
    ]


def rows_at(url: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file that the office was given an address of."""
    there = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", there.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", f"{there.path}?{there.query}", headers={"Host": there.netloc})
        answer = connection.getresponse()
        told = answer.read().decode("utf-8-sig")
    assert answer.status == 200, told
    assert "attachment" in str(answer.getheader("Content-Disposition"))
    return list(csv.DictReader(io.StringIO(told)))
