"""What happens at once in single sign-on: ways back, links, unlinking; on both stores."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from chalicelib.storage import account_changes, accounts, aws, links, sso
from chalicelib.storage.values import Account
from tests import factories
from tests.conftest import SentMail
from tests.storage.test_recovery_races import NOW, at_once, new_link, rows

pytestmark = pytest.mark.usefixtures("stage")

Mailbox = Callable[[], list[SentMail]]


def made(*usernames: str) -> list[Account]:
    for username in usernames:
        family = factories.family(email=f"{username}@example.com")
        factories.account(family, username=username, now=NOW - timedelta(seconds=60))
    return [stored(username) for username in usernames]


def stored(username: str) -> Account:
    account = accounts.read_account(username.lower())
    assert account is not None
    return account


def outcomes(*calls: Callable[[], object]) -> Counter[str]:
    """Run calls at once; count how each ended."""

    def run(call: Callable[[], object]) -> str:
        try:
            return "done" if call() is not None else "nothing"
        except (sso.SubjectTaken, accounts.AccountChanged) as error:
            return type(error).__name__

    return Counter(at_once([lambda call=call: run(call) for call in calls]))  # type: ignore[misc]


def linking(account: Account, subject: str = "u-1") -> Callable[[], bool]:
    def link() -> bool:
        sso.link(account, aws.keyring().hashes("sso-subject", subject), dead=None)
        return True

    return link


def test_a_way_back_used_twenty_times_at_once_is_used_once() -> None:
    sso.begin(sso.Attempt("state", "browser", None), expires_at=int(NOW.timestamp()) + 600)
    used = outcomes(*[lambda: sso.use(["state"], ["browser"], now=NOW)] * 20)
    assert used == {"done": 1, "nothing": 19}


def test_a_subject_that_many_link_at_once_is_one_accounts() -> None:
    everybody = made(*(f"Rosa{n}" for n in range(5)))
    ended = outcomes(*(linking(account) for account in everybody))
    assert ended == {"done": 1, "SubjectTaken": 4}
    holders = [name for name in (stored(a.username) for a in everybody) if name.sso_link]
    link = sso.read_link(aws.keyring().hashes("sso-subject", "u-1"))
    assert link is not None
    assert [one.account_id for one in holders] == [link.account_id]


def test_an_account_that_links_two_subjects_at_once_has_one() -> None:
    (rosa,) = made("Rosa1")
    assert outcomes(linking(rosa, "u-1"), linking(rosa, "u-2"))["done"] == 1
    items = [row for row in rows("accounts") if row["username_key"].startswith("sso#")]
    assert [item["username_key"] for item in items] == [f"sso#{stored('Rosa1').sso_link}"]


def test_a_thief_who_links_while_the_owner_says_not_me_opens_nothing() -> None:
    (rosa,) = made("Rosa1")
    token = new_link(links.NOT_ME)
    link = links.read(links.NOT_ME, aws.keyring().hashes("link", token))
    assert link is not None

    def take_back() -> bool:
        for _ in range(5):
            try:
                account_changes.take_back(
                    stored("Rosa1"), link, restored_hash=None, not_me_used=[], now=NOW
                )
            except accounts.AccountChanged:
                continue
            return True
        return False

    outcomes(linking(rosa), take_back)
    assert stored("Rosa1").sso_link is None
    assert not [row for row in rows("accounts") if row["username_key"].startswith("sso#")]
