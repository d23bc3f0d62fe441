"""What was done to a portal before a request fails: steps that a case of test_failures.py names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from chalicelib import crypto, settings
from chalicelib.storage import accounts, aws, district, sso
from tests import aws_stage, factories
from tests.conftest import SentMail
from tests.factories import NOW, PASSWORD
from tests.portal.test_reset_password import token_of
from tests.portal_client import Answer, PortalClient

# The fields of a form that would succeed, by what it is for.
SIGN_IN = {"username": "Rosa1", "password": PASSWORD}
WRONG = {"username": "Rosa1", "password": "wrong 1"}
LOOKUP = {"student_number": "0000001", "ssn_last4": "4321"}
EMAIL = {"email": "parent@example.com"}
NEW_PASSWORD = {"password": "a new one 42", "verify_password": "a new one 42"}
NEW_ACCOUNT = {"username": "Rosa1", "password": PASSWORD, "verify_password": PASSWORD}
CHANGE = NEW_PASSWORD | {"current_password": PASSWORD}
ADDRESS = {"email": "rosa.new@example.net", "current_password": PASSWORD}
PROOF = {"current_password": PASSWORD}


@dataclass
class World:
    """A portal, what a case did to it, and what the case's form therefore holds."""

    new_visitor: Callable[[], PortalClient]
    mailbox: Callable[[], list[SentMail]]
    invoke: Callable[[str, Any], Any]
    clock: Any
    fields: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    def post(self, path: str, fields: Mapping[str, str], **how: Any) -> Answer:
        """Post as somebody who only prepares the case."""
        visitor = self.new_visitor()
        visitor.cookies = dict(self.cookies)
        return visitor.post(path, fields, **how)

    def take_token(self, page: str) -> None:
        """Take the token of the newest mail that links to the page."""
        mails = [mail for mail in self.mailbox() if f"{page}?token=" in mail.html]
        self.fields["token"] = token_of(mails[-1], page)


Given = Callable[[World], None]


def an_account(_: World) -> None:
    factories.account(factories.family())


def a_student(_: World) -> None:
    factories.guardian(factories.student(number=LOOKUP["student_number"]))


def signed_in(world: World) -> None:
    factories.account(factories.family())
    visitor = world.new_visitor()
    assert visitor.post("/sign-in", SIGN_IN).status == 200
    world.cookies = dict(visitor.cookies)


def their_child(world: World) -> None:
    """Sign in, and take the id of a child of one's own."""
    signed_in(world)
    visitor = world.new_visitor()
    visitor.cookies = dict(world.cookies)
    world.fields["student_id"] = visitor.get("/students").json()[0]["id"]


def linked(_: World) -> None:
    """Link a subject of single sign-on to the account."""
    account = accounts.read_account("rosa1")
    assert account is not None
    sso.link(account, aws.keyring().hashes("sso-subject", "somebody"), dead=None)


def admin(function: str, **event: str) -> Given:
    """Let an admin do something to the account."""

    def given(world: World) -> None:
        assert "error" not in world.invoke(function, {"username": "Rosa1"} | event)

    return given


def preference(**values: object) -> Given:
    return lambda _: district.save_preferences(values)


def a_key(world: World) -> None:
    new = factories.family(email="new@example.com")
    world.fields["activation_key"] = factories.activation_key(new)


def a_used_key(world: World) -> None:
    a_key(world)
    fields = NEW_ACCOUNT | world.fields | {"username": "Other2"}
    assert world.post("/create-account", fields).status == 201


def a_mistyped_key(world: World) -> None:
    a_key(world)
    key = world.fields["activation_key"]
    world.fields["activation_key"] = key[:-1] + ("2" if key[-1] != "2" else "3")


def a_revoked_key(world: World) -> None:
    new = factories.family(email="new@example.com")
    world.fields["activation_key"] = factories.activation_key(new)
    world.invoke("revoke_activation_key", {"guardian_id": new.guardian_id})


def an_expired_key(world: World) -> None:
    new = factories.family(email="new@example.com")
    long_ago = NOW - timedelta(days=30)
    world.fields["activation_key"] = factories.activation_key(new, now=long_ago)


def an_unknown_key(world: World) -> None:
    world.fields["activation_key"] = crypto.new_activation_key()


def a_reset_link(world: World) -> None:
    world.post("/forgot-password", {"username": "Rosa1"})
    world.take_token("reset-password")


def a_used_reset_link(world: World) -> None:
    a_reset_link(world)
    assert world.post("/reset-password", NEW_PASSWORD | world.fields).status == 200
    world.clock.shift(601)


def a_confirm_link(world: World) -> None:
    fields = {"email": "rosa.new@example.net", "current_password": PASSWORD}
    assert world.post("/account/email", fields).status == 202
    world.take_token("confirm-email")


def a_not_me_link(world: World) -> None:
    fields = {"email": "rosa.new@example.net", "current_password": PASSWORD}
    assert world.post("/account/email", fields).status == 202
    world.take_token("not-me")


def later(**how: int) -> Given:
    return lambda world: world.clock.shift(timedelta(**how))


def tried(times: int, path: str, fields: Mapping[str, str], *, ips: int = 1) -> Given:
    """Post something so often, from so many addresses in turn; `{n}` in a value is the turn."""

    def given(world: World) -> None:
        for n in range(times):
            form = {k: v.replace("{n}", str(n)) for k, v in {**world.fields, **fields}.items()}
            ip = f"198.51.100.{n % ips}" if ips > 1 else "192.0.2.10"
            assert world.post(path, form, ip=ip).status != 429, n

    return given


def locked_out(world: World) -> None:
    tried(5, "/forgot-username", EMAIL)(world)
    assert world.post("/forgot-username", EMAIL).code == "locked-out"


def no_queue(_: World) -> None:
    sqs = aws_stage.client("sqs")
    url = sqs.get_queue_url(QueueName=settings.name("mail"))["QueueUrl"]
    sqs.delete_queue(QueueUrl=url)
