"""Recovery as actions: forgotten username and password, and the pages that mailed links lead to.

A link's token moves out of the address at once (303 and an HttpOnly cookie); GET consumes nothing,
since mail scanners open links (security row S45).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from chalicelib import errors, texts
from chalicelib.domain import addresses, recovery, repeats
from chalicelib.errors import FieldError
from chalicelib.storage import district
from chalicelib.web.call import Call
from chalicelib.web.forms import fields_page, password_rules, required
from chalicelib.web.http import Answer, form, set_cookie

_TOKEN_SECONDS = 1800
_TOKEN_LONGEST = 200


# --- forgotten ----------------------------------------------------------------------------


def _forgot_username_again(_: Call, __: errors.Refusal) -> tuple[str, Mapping[str, object]]:
    return "forgot-username", _limit()


def _limit() -> dict[str, object]:
    preferences = district.preferences()
    return {
        "limit": preferences.forgot_username_limit,
        "lockout_scope": preferences.lockout_scope,
    }


@form(_forgot_username_again)
def forgot_username(call: Call) -> Answer:
    """Forgot Your Username?: all usernames of an address by mail, five times a day."""
    if call.method == "GET":
        if "done" in call.query:
            return fields_page("forgot-username-done", "email")
        return replace(fields_page("forgot-username", "email"), data=_limit())
    address = addresses.normalised(required(call, "email")["email"])
    if address is None:
        raise errors.Invalid(errors=[FieldError("email", "format")])
    repeats.once(
        "forgot-username",
        call.form_id,
        {"email": address},
        first=lambda: recovery.forgot_username(address, ip=call.ip, now=call.now),
        again=lambda: None,
        now=call.now,
    )
    return _accepted(call, "forgot-username")


@form("forgot-password")
def forgot_password(call: Call) -> Answer:
    """Forgot Your Password?: a mailed link, the same answer for every name."""
    if call.method == "GET":
        if "done" not in call.query:
            return fields_page("forgot-password", "username")
        minutes = district.preferences().reset_link_minutes
        answer = fields_page("forgot-password-done", "username")
        return replace(answer, data={"minutes": minutes})
    username = required(call, "username")["username"]
    repeats.once(
        "forgot-password",
        call.form_id,
        {"username": username},
        first=lambda: recovery.forgot_password(username, ip=call.ip, now=call.now),
        again=lambda: None,
        now=call.now,
    )
    return _accepted(call, "forgot-password")


def _accepted(call: Call, action: str) -> Answer:
    detail = texts.say(call.language, f"{action}-done.detail")
    body = {"status": "accepted", "detail": detail}
    return Answer(body, status=202, location=f"{action}?done")


# --- mailed links ---------------------------------------------------------------------------


def _reset_again(call: Call, _: errors.Refusal) -> tuple[str, Mapping[str, object]]:
    return "reset-password", _reset_page(call)


def _reset_page(call: Call) -> dict[str, object]:
    token = _token(call, "reset")
    username = recovery.look_at_reset_link(token, now=call.now) if token else None
    return {"rules": password_rules(), "username": username}


def _opened(call: Call) -> dict[str, object]:
    """Return what the opened link's page shows: a spent one says so before anything is typed."""
    shown = _reset_page(call)
    if shown["username"] is None:
        title, detail = texts.problem(call.language, errors.ResetLinkInvalid.code)
        code = errors.ResetLinkInvalid.code
        shown["problem"] = {"code": code, "title": title, "detail": detail}
    return shown


@form(_reset_again)
def reset_password(call: Call) -> Answer:
    """Set a new password by a mailed link."""
    if call.method == "GET":
        if "done" in call.query:
            return Answer({"status": "ok"}, page="reset-password-done")
        fields = ("token", "password", "verify_password")
        moved = _token_moved(call, "reset-password", "reset")
        return moved or replace(fields_page("reset-password", *fields), data=_opened(call))
    token = _token(call, "reset")
    password, verify = call.texts("password", "verify_password")
    fields_of_it = {"token": token, "password": password, "verify_password": verify}

    def reset() -> None:
        recovery.reset_password(token, password, verify, now=call.now)

    repeats.once(
        "reset-password", call.form_id, fields_of_it, first=reset, again=reset, now=call.now
    )
    return _done("reset-password", "reset")


@form("confirm-email")
def confirm_email(call: Call) -> Answer:
    """Confirm an address of one's own by the link mailed to it."""
    return _linked(
        call,
        "confirm-email",
        "confirm",
        lambda token: recovery.confirm_address(token, now=call.now),
    )


@form("not-me")
def not_me(call: Call) -> Answer:
    """This wasn't me: undo what can be undone."""
    return _linked(
        call,
        "not-me",
        "not-me",
        lambda token: recovery.not_me(token, request_id=call.request_id, now=call.now),
    )


def _linked(call: Call, page: str, cookie: str, act: Callable[[str], None]) -> Answer:
    """Answer a page with one button that does what a mailed link is for."""
    if call.method == "GET":
        if "done" in call.query:
            return Answer({"status": "ok"}, page=f"{page}-done")
        return _token_moved(call, page, cookie) or fields_page(page, "token")
    token = _token(call, cookie)

    def do() -> None:
        act(token)

    repeats.once(page, call.form_id, {"token": token}, first=do, again=lambda: None, now=call.now)
    return _done(page, cookie)


def _token_moved(call: Call, page: str, cookie: str) -> Answer | None:
    """Move a token from the address into a cookie; None where there is none to move."""
    token = call.query.get("token", "")
    if not _is_token(token) or call.wants_json:
        return None
    kept = f"?lang={call.language_asked}" if call.language_asked else ""
    moved = set_cookie(cookie, token, seconds=_TOKEN_SECONDS)
    return Answer(location=f"{page}{kept}", cookies=(moved,))


def _token(call: Call, cookie: str) -> str:
    """Return the link's token, empty for what can't be one: no page has a field to name for it."""
    typed = call.fields.get("token") or call.query.get("token") or call.cookie(cookie)
    return typed if isinstance(typed, str) and _is_token(typed) else ""


def _is_token(text: str) -> bool:
    return (
        0 < len(text) <= _TOKEN_LONGEST
        and text.isascii()
        and all(c.isalnum() or c in "-_" for c in text)
    )


def _done(page: str, cookie: str) -> Answer:
    spent = set_cookie(cookie, "", seconds=0)
    return Answer({"status": "ok"}, location=f"{page}?done", cookies=(spent,))
