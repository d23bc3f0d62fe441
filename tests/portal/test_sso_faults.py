"""When AWS or the provider fails on the way of single sign-on: nothing is half done (S77, S79, S89).

Every AWS call of every step is made to fail in turn (`tests/fault_trap.py`). What came back from the
provider is used up before anything else, so a way back that failed may open nothing any more; then the
parent begins again, the mail worker works its queue off, and all must be as if nothing had been.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import time_machine

from app import app
from chalicelib import settings
from chalicelib.domain import accounts as signing
from chalicelib.storage import accounts, aws
from chalicelib.storage.values import Account
from tests import aws_stage, factories
from tests.conftest import SentMail, forget_caches
from tests.fault_trap import EVERY_FAULT, SECRET, WAYS, Trap, Visitors, World, assert_apology
from tests.identity_provider import IdentityProvider, send
from tests.portal import test_faults, test_recovery_faults
from tests.portal.test_sso import DISCOVERY, PROOF, link, set_out, sign_in
from tests.portal_client import HTML, Answer, PortalClient

Mailbox = Callable[[], list[SentMail]]
References = Callable[[], set[str]]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


# --- what a parent does ---------------------------------------------------------


@dataclass
class Step:
    """One step of the way: what a browser sends, and what must be true.

    Attributes:
        path: of the route that is tried.
        send: sends it; where it is a way back, with a fresh code of the same attempt.
        begin_again: goes the whole way anew.
        granted: whether it gave what a refused one must not give.
        whole: after every answer; nothing is half done.
        done: after the one that succeeded, given the mails and which call failed before it.
    """

    path: str
    visitor: PortalClient
    send: Callable[..., Answer]
    begin_again: Callable[[], Answer]
    success: int
    granted: Callable[[], bool] = lambda: False
    whole: Callable[[], bool] = lambda: True
    done: Callable[[list[SentMail], str | None], bool] = lambda *_: True

    @property
    def is_way_back(self) -> bool:
        return self.path == "/sso/callback"


Tell = Callable[[Visitors, IdentityProvider], Step]


def parent() -> factories.SomeAccount:
    return factories.account(factories.family(), username="Parent1")


def stored() -> Account:
    account = accounts.read_account("parent1")
    assert account is not None
    return account


def one_link() -> bool:
    """Whether the account and the items of subjects say the same."""
    rows = aws_stage.client("dynamodb").scan(TableName=settings.name("accounts"))["Items"]
    items = [row["username_key"]["S"] for row in rows if "linked_to" in row]
    linked = stored().sso_link
    return items == ([] if linked is None else [f"sso#{linked}"])


def is_linked_to(provider: IdentityProvider, sub: str) -> bool:
    return stored().sso_link == aws.keyring().hash("sso-subject", f"{provider.issuer}\0{sub}")


def told(mails: list[SentMail]) -> int:
    """Count the mails that tell of linking or unlinking."""
    return sum("Single sign-on was" in mail.subject for mail in mails)


def setting_out(new_visitor: Visitors, _: IdentityProvider) -> Step:
    visitor = new_visitor()

    def go(**how: Any) -> Answer:
        return visitor.get("/sso?next=%2Faccount", **how)

    return Step("/sso", visitor, go, go, 303, granted=lambda: "sso" in visitor.cookies)


def signing_in(new_visitor: Visitors, provider: IdentityProvider) -> Step:
    link(factories.signed_in(new_visitor, parent()), provider)
    return way_back(new_visitor(), provider)


def signing_in_after_a_rotation(new_visitor: Visitors, provider: IdentityProvider) -> Step:
    """The link moves to the secret's new version on this way."""
    link(factories.signed_in(new_visitor, parent()), provider)
    aws_stage.client("secretsmanager").put_secret_value(
        SecretId=settings.hash_secret_id(), SecretString="rotated " * 8
    )
    forget_caches()
    return way_back(new_visitor(), provider)


def way_back(visitor: PortalClient, provider: IdentityProvider) -> Step:
    before = len(signing.open_sessions(stored(), now=factories.NOW))
    location = set_out(visitor)

    def done(mails: list[SentMail], failed: str | None) -> bool:
        # A session whose cookie never reached anybody opens nothing; it ends by itself.
        most = 1 if failed is None else 2
        made = len(signing.open_sessions(stored(), now=factories.NOW)) - before
        devices = sum("New sign-in" in mail.subject for mail in mails)
        return (
            visitor.get("/students").status == 200
            and 1 <= made <= most
            and 1 <= devices <= most
            and told(mails) == 0
            and is_linked_to(provider, "u-1")
        )

    return Step(
        "/sso/callback",
        visitor,
        lambda **how: visitor.get(provider.sign_in(location), **how),
        lambda: sign_in(visitor, provider),
        200,
        granted=lambda: "session" in visitor.cookies,
        whole=one_link,
        done=done,
    )


def asking_to_link(new_visitor: Visitors, _: IdentityProvider) -> Step:
    visitor = factories.signed_in(new_visitor, parent())

    def go(**how: Any) -> Answer:
        return visitor.post("/account/sso", PROOF, **how)

    return Step(
        "/account/sso",
        visitor,
        go,
        go,
        200,
        granted=lambda: "sso" in visitor.cookies,
        whole=lambda: stored().sso_link is None,
        done=lambda mails, _: mails == [],
    )


def linking(new_visitor: Visitors, provider: IdentityProvider) -> Step:
    return way_to_link(factories.signed_in(new_visitor, parent()), provider, "u-1")


def linking_another(new_visitor: Visitors, provider: IdentityProvider) -> Step:
    visitor = factories.signed_in(new_visitor, parent())
    link(visitor, provider)
    return way_to_link(visitor, provider, "u-2")


def way_to_link(visitor: PortalClient, provider: IdentityProvider, sub: str) -> Step:
    location = visitor.post("/account/sso", PROOF).json()["location"]
    return Step(
        "/sso/callback",
        visitor,
        lambda **how: visitor.get(provider.sign_in(location, sub=sub), **how),
        lambda: link(visitor, provider, sub=sub),
        200,
        whole=one_link,
        done=lambda mails, _: told(mails) == 1 and is_linked_to(provider, sub),
    )


def unlinking(new_visitor: Visitors, provider: IdentityProvider) -> Step:
    visitor = factories.signed_in(new_visitor, parent())
    link(visitor, provider)

    def go(**how: Any) -> Answer:
        return visitor.post("/account/sso/unlink", PROOF, **how)

    return Step(
        "/account/sso/unlink",
        visitor,
        go,
        go,
        200,
        whole=one_link,
        done=lambda mails, _: told(mails) == 1 and stored().sso_link is None,
    )


STEPS: Mapping[str, Tell] = {
    tell.__name__: tell
    for tell in (
        *(setting_out, signing_in, signing_in_after_a_rotation),
        *(asking_to_link, linking, linking_another, unlinking),
    )
}
WAYS_BACK = ("signing_in", "linking_another")


# --- what must hold -------------------------------------------------------------


def try_again(step: Step) -> None:
    """Send the same once more; where its attempt is used up that is said, and one begins again."""
    answer = step.send()
    if step.is_way_back and answer.status != step.success:
        assert answer.code == "sso-not-linked", answer.text
        assert not step.granted()
        assert step.whole()
        answer = step.begin_again()
    assert answer.status == step.success, answer.text
    assert step.whole()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STEPS)
def test_each_call_of_a_step_may_fail_and_whoever_begins_again_gets_through(
    world: World,
    trap: Trap,
    provider: IdentityProvider,
    mailbox: Mailbox,
    reference_in_log: References,
    *,
    name: str,
    way: str,
) -> None:
    step = STEPS[name](world.new_visitor, provider)
    mailbox()
    for place in world.each_call(trap, way):
        reference_in_log()
        answer = step.send()
        failed = trap.disarm()
        assert step.whole(), (failed, place)
        if answer.status != step.success:
            assert answer.status == 503, answer.text
            assert answer.json()["reference"] in reference_in_log()
            assert SECRET not in answer.text + str(answer.headers)
            assert "set-cookie" not in answer.headers
            assert not step.granted()
            try_again(step)
        assert step.done(mailbox(), failed), (failed, place)
        if failed is None:
            break
    assert answer.status == step.success
    # Nothing was left out: secret twice, preferences, and at least the one write of the act.
    assert place >= (3 if way == "refused" else 1)


@pytest.mark.parametrize("name", WAYS_BACK)
def test_an_attempt_that_succeeded_opens_nothing_more(
    new_visitor: Visitors, provider: IdentityProvider, mailbox: Mailbox, name: str
) -> None:
    step = STEPS[name](new_visitor, provider)
    before = dict(step.visitor.cookies)
    assert step.send().status == step.success
    mailbox()
    items = one_link(), stored()
    step.visitor.cookies = before
    assert step.send().code == "sso-not-linked"
    assert "session" not in before or step.visitor.cookies["session"] == before["session"]
    assert (one_link(), stored()) == items
    assert mailbox() == []


@pytest.mark.parametrize("name", STEPS if EVERY_FAULT else WAYS_BACK)
def test_a_browser_gets_a_page_of_ours_whatever_fails(
    world: World,
    trap: Trap,
    provider: IdentityProvider,
    reference_in_log: References,
    *,
    name: str,
) -> None:
    step = STEPS[name](world.new_visitor, provider)
    for _ in world.each_call(trap, "broken"):
        reference_in_log()
        answer = step.send(accept=HTML)
        if trap.disarm() is None:
            break
        assert_apology(answer, reference_in_log())


@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/jwks"])
@pytest.mark.parametrize("name", WAYS_BACK)
def test_a_provider_that_fails_on_the_way_back_costs_the_attempt_and_nothing_else(
    new_visitor: Visitors,
    provider: IdentityProvider,
    mailbox: Mailbox,
    *,
    name: str,
    path: str,
) -> None:
    step = STEPS[name](new_visitor, provider)
    mailbox()
    forget_caches()
    provider.respond[path] = lambda request: send(request, 500, {})
    answer = step.send()
    assert (answer.status, answer.code) == (502, "sso-unavailable")
    assert not step.granted()
    assert step.whole()
    assert mailbox() == []
    provider.respond.clear()
    try_again(step)
    assert step.done(mailbox(), None)


def test_no_route_that_writes_lacks_a_story(world: World, provider: IdentityProvider) -> None:
    """Each is here, in `test_faults.py` or in `test_recovery_faults.py`."""
    tried = set()
    world.keep()
    for tell in (*test_faults.STORIES.values(), *test_recovery_faults.STORIES.values()):
        world.put_back()
        tried.add(tell(world.new_visitor).path)
    for step in STEPS.values():
        world.put_back()
        tried.add(step(world.new_visitor, provider).path)
    posted = {path for path, methods in app.routes.items() if "POST" in methods}
    # The one that takes every method is of no path of ours.
    assert tried == posted - {"/{proxy+}"} | {"/sso", "/sso/callback"}
