"""The guardian's own account as actions: password, address on record, open sessions."""

from collections.abc import Callable, Mapping

from chalicelib import errors
from chalicelib.domain import accounts, recovery, repeats, who
from chalicelib.storage.values import Account, Session
from chalicelib.web.call import Call
from chalicelib.web.forms import password_rules, required, session_shown
from chalicelib.web.http import Answer, form, iso

_NOTES = ("password-changed", "email-sent", "sessions-ended", "sso-linked", "sso-unlinked")


def account(call: Call) -> Answer:
    """Username, address on record and open sessions."""
    here = who.current(call.cookie("session"), now=call.now)
    body = _body(here.session, here.account, call)
    return Answer(
        body,
        page="account",
        data=_shown(body, here.session, here.account, call),
        signed_in=True,
        language=here.language,
    )


def _body(session: Session, own: Account, call: Call) -> dict[str, object]:
    return {
        "username": own.username,
        "email": own.email,
        "sessions": [
            {
                "current": one.session_hash == session.session_hash,
                "created_at": iso(accounts.instant(one.created_at)),
                "last_seen": iso(accounts.instant(one.last_seen)),
                "device": one.device or None,
            }
            for one in accounts.open_sessions(own, now=call.now)
        ],
    }


def _shown(
    body: Mapping[str, object], session: Session, own: Account, call: Call
) -> dict[str, object]:
    note = call.query.get("note")
    return {
        **body,
        "mail_state": recovery.mail_state(own),
        "sso_linked": own.sso_link is not None,
        "rules": password_rules(),
        "note": note if note in _NOTES else None,
        "session": session_shown(call, session),
        "signed_in": True,
    }


def account_again(call: Call, _: errors.Refusal) -> tuple[str, Mapping[str, object]]:
    """Show the account page again, where one of its forms was refused."""
    here = who.current(call.cookie("session"), now=call.now)
    body = _body(here.session, here.account, call)
    return "account", _shown(body, here.session, here.account, call)


@form(account_again)
def account_password(call: Call) -> Answer:
    """Change the password; other sessions end."""
    here = who.current(call.cookie("session"), now=call.now)
    fields = required(call, "current_password", "password", "verify_password")

    def change() -> None:
        accounts.change_password(
            here.session,
            here.account,
            fields["current_password"],
            fields["password"],
            fields["verify_password"],
            ip=call.ip,
            device=accounts.Device(call.device, call.cookie),
            now=call.now,
        )

    once(call, here.account, "account/password", fields, change)
    return Answer({"status": "ok"}, location="account?note=password-changed")


@form(account_again)
def account_email(call: Call) -> Answer:
    """Ask for another address on record; it counts once its link is opened."""
    own = who.current(call.cookie("session"), now=call.now).account
    fields = required(call, "current_password", "email")

    def ask() -> None:
        prove(call, own, fields["current_password"])
        recovery.ask_for_address(own, fields["email"], now=call.now)

    once(call, own, "account/email", fields, ask)
    return Answer({"status": "accepted"}, status=202, location="account?note=email-sent")


@form(account_again)
def account_sessions_end(call: Call) -> Answer:
    """End every other session."""
    here = who.current(call.cookie("session"), now=call.now)
    fields = required(call, "current_password")

    def end() -> None:
        prove(call, here.account, fields["current_password"])
        accounts.end_other_sessions(here.session, here.account)

    once(call, here.account, "account/sessions/end", fields, end)
    return Answer(status=204, location="account?note=sessions-ended")


def prove(call: Call, own: Account, current_password: str) -> None:
    """Check the password again before something about the account changes (`accounts.prove`)."""
    device = accounts.Device(call.device, call.cookie)
    accounts.prove(own, current_password, ip=call.ip, device=device, now=call.now)


def once(
    call: Call, own: Account, route: str, fields: Mapping[str, str], act: Callable[[], None]
) -> None:
    """Do what a form asks for once, however often it is posted, for this account."""
    asked = {**fields, "account": own.account_id}
    repeats.once(route, call.form_id, asked, first=act, again=lambda: None, now=call.now)
