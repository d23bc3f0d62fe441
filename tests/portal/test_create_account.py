"""Activating: one key makes one account, and only a good key learns anything."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import time_machine

from chalicelib import crypto
from chalicelib.domain import activation
from chalicelib.storage import accounts, activation_keys, aws, district, roster
from tests import factories
from tests.conftest import SentMail
from tests.portal_client import Answer, PortalClient

PASSWORD = factories.PASSWORD
Mailbox = Callable[[], list[SentMail]]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def rosa(stage: object) -> factories.SomeGuardian:
    return factories.family()


def create(
    visitor: PortalClient,
    key: str,
    username: str = "Rosa1",
    password: str = PASSWORD,
    verify: str | None = None,
    **how: Any,
) -> Answer:
    fields = {
        "activation_key": key,
        "username": username,
        "password": password,
        "verify_password": password if verify is None else verify,
    }
    return visitor.post("/create-account", {**fields, **how.pop("more", {})}, **how)


def codes(answer: Answer) -> list[tuple[str, str]]:
    return [(e["field"], e["code"]) for e in answer.json().get("errors", [])]


# --- the key ------------------------------------------------------------------


def test_a_key_shows_whose_it_is_and_is_not_used_up(
    portal: PortalClient, rosa: factories.SomeGuardian
) -> None:
    key = factories.activation_key(rosa)
    for typed in (key, key.lower(), key.replace("-", " "), f" {key.replace('-', '')} \n"):
        answer = portal.post("/activate", {"activation_key": typed})
        assert answer.status == 200
        assert answer.json() == {"status": "valid", "students": ["Ana", "Ben"]}


def test_the_account_signs_in_and_the_guardian_is_told(
    portal: PortalClient, rosa: factories.SomeGuardian, mailbox: Mailbox
) -> None:
    answer = create(portal, factories.activation_key(rosa))
    assert (answer.status, answer.json()) == (201, {"username": "Rosa1"})
    (mail,) = mailbox()
    assert mail.recipient == "parent@example.com"
    assert "Rosa1" in mail.html
    assert portal.post("/sign-in", {"username": "ROSA1", "password": PASSWORD}).status == 200


def test_a_browser_goes_on_to_sign_in(portal: PortalClient, rosa: factories.SomeGuardian) -> None:
    portal.accept = "text/html"
    key = factories.activation_key(rosa)
    page = portal.post("/activate", {"activation_key": key}, form=True)
    assert page.status == 200
    assert key in page.text
    assert "Ana" in page.text
    done = create(portal, key, form=True)
    assert (done.status, done.header("location")) == (303, "./sign-in?note=account-created")


@pytest.mark.parametrize("face", ["application/json", "text/html"])
def test_unknown_mistyped_used_revoked_expired_and_outdated_keys_are_answered_alike(
    new_visitor: Callable[[], PortalClient], monday: Any, face: str
) -> None:
    used, revoked = (factories.activation_key(factories.family()) for _ in range(2))
    create(new_visitor(), used, "Used1")
    monday.shift(700)
    key = activation_keys.read_key(_hashes(revoked))
    assert key is not None
    activation.revoke(key.guardian_id)
    outdated_guardian = factories.family()
    outdated = factories.activation_key(outdated_guardian)
    activation_keys.end_unused_keys(outdated_guardian.guardian_id)
    unknown = crypto.new_activation_key()
    mistyped = unknown[:-1] + ("2" if unknown[-1] != "2" else "3")
    last_week = factories.family()
    old = factories.activation_key(last_week)

    answers = []
    for place, bad in enumerate((used, revoked, outdated, unknown, mistyped, "", "x" * 3000)):
        visitor = new_visitor()
        visitor.accept = face
        ip = f"198.51.100.{place}"
        answers.append(create(visitor, bad, "Used1", "1", ip=ip, form=face == "text/html"))
    monday.shift(30 * 86_400)
    visitor = new_visitor()
    visitor.accept = face
    answers.append(create(visitor, old, "Used1", "1", form=face == "text/html"))

    assert {a.status for a in answers} == {422}
    if face == "application/json":
        assert {a.text for a in answers} == {answers[0].text}
        assert answers[0].code == "activation-key-invalid"
        assert "errors" not in answers[0].json()


def _hashes(key: str) -> list[str]:
    symbols = crypto.read_activation_key(key)
    assert symbols
    return aws.keyring().hashes("activation-key", symbols)


def test_a_key_is_dead_from_its_expiry_on_whatever_is_still_stored(
    portal: PortalClient, rosa: factories.SomeGuardian, monday: Any
) -> None:
    key = factories.activation_key(rosa)
    monday.shift(30 * 86_400 - 1)
    assert portal.post("/activate", {"activation_key": key}).status == 200
    monday.shift(1)
    assert portal.post("/activate", {"activation_key": key}).status == 422
    assert create(portal, key).code == "activation-key-invalid"


def test_every_other_key_of_the_guardian_ends_with_the_account(
    portal: PortalClient, rosa: factories.SomeGuardian
) -> None:
    first, second = factories.activation_key(rosa), factories.activation_key(rosa)
    assert create(portal, first).status == 201
    assert create(portal, second, "Other2").code == "activation-key-invalid"


def test_old_keys_stay_dead_when_the_account_is_deleted(
    portal: PortalClient, rosa: factories.SomeGuardian, invoke: Callable[[str, Any], Any]
) -> None:
    first, second = factories.activation_key(rosa), factories.activation_key(rosa)
    create(portal, first)
    assert invoke("delete_account", {"username": "rosa1"})["state"] == "none"
    assert create(portal, second, "Other2").code == "activation-key-invalid"
    assert create(portal, factories.activation_key(rosa), "Rosa1").status == 201


def test_a_key_revoked_between_the_two_pages_makes_no_account(
    portal: PortalClient, rosa: factories.SomeGuardian, invoke: Callable[[str, Any], Any]
) -> None:
    key = factories.activation_key(rosa)
    assert portal.post("/activate", {"activation_key": key}).status == 200
    assert invoke("revoke_activation_key", {"guardian_id": rosa.guardian_id}) == {"revoked": 1}
    assert create(portal, key).code == "activation-key-invalid"


def test_ten_bad_keys_an_hour_shut_the_ip_out_but_not_the_others(
    portal: PortalClient, rosa: factories.SomeGuardian, monday: Any
) -> None:
    key = factories.activation_key(rosa)
    for _ in range(5):
        assert (
            portal.post("/activate", {"activation_key": crypto.new_activation_key()}).status == 422
        )
        assert portal.post("/activate", {"activation_key": key}).status == 200
        assert create(portal, crypto.new_activation_key()).status == 422
    refused = portal.post("/activate", {"activation_key": key})
    assert (refused.status, refused.code) == (429, "too-many-tries")
    assert create(portal, key).status == 429
    assert portal.post("/activate", {"activation_key": key}, ip="198.51.100.1").status == 200
    monday.shift(3600)
    assert create(portal, key).status == 201


def test_the_thirty_first_try_with_one_good_key_is_refused(
    portal: PortalClient, rosa: factories.SomeGuardian
) -> None:
    key = factories.activation_key(rosa)
    tries = [create(portal, key, password="short", ip=f"192.0.2.{i}").status for i in range(31)]
    assert tries == [422] * 30 + [429]


# --- username and password ----------------------------------------------------


@pytest.mark.parametrize(
    "username",
    [
        "ab",
        "anna",
        "123",
        "a b1",
        "anna_1",
        "Ann\u01311",
        "\u212aim1",
        "\uff21nna1",
        "\u0430nna1",
        "anna1\n",
        "a1" * 16,
        "anna1 ",
    ],
)
def test_a_username_is_letters_and_digits_only(
    portal: PortalClient, rosa: factories.SomeGuardian, username: str
) -> None:
    answer = create(portal, factories.activation_key(rosa), username)
    assert answer.status == 422
    assert ("username", "format") in codes(answer)


@pytest.mark.parametrize("wrong", [{"username": 7}, {"password": ["a"]}, {"verify_password": {}}])
def test_a_bad_key_is_said_before_what_else_is_wrong(
    portal: PortalClient, rosa: factories.SomeGuardian, wrong: dict[str, Any]
) -> None:
    answers = [create(portal, crypto.new_activation_key(), more=wrong) for _ in range(11)]
    assert [a.code for a in answers] == ["activation-key-invalid"] * 10 + ["too-many-tries"]
    assert "errors" not in answers[0].json()
    good = create(portal, factories.activation_key(rosa), more=wrong, ip="198.51.100.1")
    assert codes(good) == [(next(iter(wrong)), "format")]


def test_a_username_is_taken_in_any_case(portal: PortalClient) -> None:
    factories.account(factories.family(), username="Anna1")
    key = factories.activation_key(factories.family())
    answer = create(portal, key, "ANNA1")
    assert (answer.status, answer.code, codes(answer)) == (422, "invalid", [("username", "taken")])
    assert create(portal, key, "Anna2").status == 201


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("ab1", "too-short"),
        ("a1" * 65, "too-long"),
        ("abcdefgh", "not-alphanumeric"),
        ("12345678", "not-alphanumeric"),
        ("abc\x07d123", "control-character"),
        ("xxROSA1xx", "contains-username"),
        ("QWER1234", "too-common"),
        ("Parentportal1", "too-common"),
    ],
)
def test_what_a_password_lacks_is_said(
    portal: PortalClient, rosa: factories.SomeGuardian, password: str, code: str
) -> None:
    answer = create(portal, factories.activation_key(rosa), password=password)
    assert answer.status == 422
    assert ("password", code) in codes(answer)


def test_the_districts_name_is_no_password(
    portal: PortalClient, rosa: factories.SomeGuardian
) -> None:
    district.save_preferences({"district_name": "Elm 42"})
    answer = create(portal, factories.activation_key(rosa), password="elm 42")
    assert codes(answer) == [("password", "too-common")]


def test_a_strong_password_has_three_of_four_kinds(
    portal: PortalClient, rosa: factories.SomeGuardian
) -> None:
    district.save_preferences({"strong_password": True})
    key = factories.activation_key(rosa)
    assert codes(create(portal, key, password="abkdefgh91")) == [("password", "not-strong")]
    assert create(portal, key, password="abkdefgh9!").status == 201


def test_a_taken_name_is_said_with_what_the_password_lacks(
    portal: PortalClient, rosa: factories.SomeGuardian
) -> None:
    factories.account(factories.family(), username="Anna1")
    answer = create(portal, factories.activation_key(rosa), "ANNA1", "a1", "a2")
    assert codes(answer) == [
        ("username", "taken"),
        ("password", "too-short"),
        ("verify_password", "mismatch"),
    ]


def test_every_fault_is_named_at_once(portal: PortalClient, rosa: factories.SomeGuardian) -> None:
    answer = create(portal, factories.activation_key(rosa), "x", "a", "b")
    assert codes(answer) == [
        ("username", "format"),
        ("password", "too-short"),
        ("password", "not-alphanumeric"),
        ("verify_password", "mismatch"),
    ]


def test_passwords_are_not_cut_folded_or_trimmed(portal: PortalClient) -> None:
    emoji = "\U0001f600" * 126 + "a1"
    long_a, long_b = "a1" * 36 + "x", "a1" * 36 + "y"
    for username, password, wrong in (
        ("Emoji1", emoji, emoji[1:]),
        ("Long1", long_a, long_b),
        ("Space1", " outer space 9 ", "outer space 9"),
        ("Case1", "MixedCase77", "mixedcase77"),
    ):
        made = create(portal, factories.activation_key(factories.family()), username, password)
        assert made.status == 201
        assert portal.post("/sign-in", {"username": username, "password": wrong}).status == 401
        for form in (True, False):
            right = portal.post("/sign-in", {"username": username, "password": password}, form=form)
            assert right.status == 200


@pytest.mark.costly_hashes
def test_a_password_is_stored_as_argon2id_of_owasps_cost(
    portal: PortalClient, rosa: factories.SomeGuardian
) -> None:
    create(portal, factories.activation_key(rosa))
    stored = accounts.read_account("rosa1")
    assert stored is not None
    assert stored.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


# --- at once and twice --------------------------------------------------------


def test_one_key_used_thirty_times_at_once_makes_one_account(
    new_visitor: Callable[[], PortalClient], rosa: factories.SomeGuardian
) -> None:
    key = factories.activation_key(rosa)

    def use(place: int) -> Answer:
        return create(new_visitor(), key, f"Rosa{place}", ip=f"192.0.2.{place}")

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(use, range(30)))
    assert sorted(a.status for a in answers) == [201] + [422] * 29
    assert {a.code for a in answers if a.status == 422} == {"activation-key-invalid"}
    made = [i for i in range(30) if accounts.read_account(f"rosa{i}")]
    assert len(made) == 1


def test_twenty_keys_on_one_username_at_once_make_one_account(
    new_visitor: Callable[[], PortalClient],
) -> None:
    keys = [factories.activation_key(factories.family()) for _ in range(20)]
    names = ["SAMENAME1", "samename1", "SameName1", "sAMEnAME1"] * 5

    def use(place: int) -> Answer:
        return create(new_visitor(), keys[place], names[place], ip=f"192.0.2.{place}")

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(use, range(20)))
    assert sorted(a.status for a in answers) == [201] + [422] * 19
    assert {tuple(codes(a)) for a in answers if a.status == 422} == {(("username", "taken"),)}


@pytest.mark.parametrize("form_id", ["", "f1"])
def test_the_same_form_posted_twice_at_once_is_one_account_and_one_mail(
    new_visitor: Callable[[], PortalClient],
    rosa: factories.SomeGuardian,
    mailbox: Mailbox,
    form_id: str,
) -> None:
    key = factories.activation_key(rosa)
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(lambda _: create(new_visitor(), key, more={"form_id": form_id}), range(2))
        )
    assert {(a.status, a.text) for a in answers} == {(201, answers[0].text)}
    assert len(mailbox()) == 1


def test_the_same_form_that_overtakes_between_two_reads_is_answered_alike(
    new_visitor: Callable[[], PortalClient],
    rosa: factories.SomeGuardian,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = factories.activation_key(rosa)
    read, overtaken = roster.guardian_partition, []

    def overtake(guardian_id: str) -> object:
        if not overtaken:
            overtaken.append(None)
            overtaken.append(create(new_visitor(), key))
        return read(guardian_id)

    monkeypatch.setattr(roster, "guardian_partition", overtake)
    last = create(new_visitor(), key)
    first = overtaken[1]
    assert (last.status, last.text) == (first.status, first.text) == (201, first.text)
    assert len(mailbox()) == 1


def test_a_reload_within_ten_minutes_is_answered_as_the_first_time(
    portal: PortalClient, rosa: factories.SomeGuardian, mailbox: Mailbox, monday: Any
) -> None:
    key = factories.activation_key(rosa)
    create(portal, key)
    monday.shift(599)
    assert create(portal, key).json() == {"username": "Rosa1"}
    monday.shift(1)
    assert create(portal, key).code == "activation-key-invalid"
    assert len(mailbox()) == 1


def test_a_used_key_is_no_way_to_guess_the_password(
    portal: PortalClient, rosa: factories.SomeGuardian
) -> None:
    key = factories.activation_key(rosa)
    create(portal, key)
    guesses = [
        create(portal, key, password=f"guess {i}", ip=f"198.51.100.{i}").status for i in range(30)
    ]
    assert guesses == [422] * 29 + [429]
