"""One function per action, named like its URL: fields in, one domain call, an answer out."""

import re
from collections.abc import Mapping
from dataclasses import asdict

from chalicelib import errors, texts
from chalicelib.domain import accounts, activation, enrollment, family, recovery, repeats, who
from chalicelib.errors import FieldError
from chalicelib.web import students as pages
from chalicelib.web.call import Call
from chalicelib.web.forms import (
    arrival,
    arrival_cookies,
    arrived,
    fields_page,
    password_rules,
    read_arrival,
    required,
    session_shown,
    session_times,
    signed_in_body,
)
from chalicelib.web.http import Answer, form, iso, set_cookie
from chalicelib.web.links import after_sign_in, own_path

_NUMBER, _LAST4 = re.compile(r"[0-9]{1,20}\Z"), re.compile(r"[0-9]{4}\Z")
_NOTES = ("account-created", "signed-out", "session-ended")


# --- asking for an activation key ---------------------------------------------


@form("activation-key")
def activation_key(call: Call) -> Answer:
    """Request a Parent Portal Activation Key (guide, part 1)."""
    if call.method == "GET":
        page = "activation-key-done" if "done" in call.query else "activation-key"
        return fields_page(page, "student_number", "ssn_last4")
    number, last4 = _number_and_last4(call)
    shown = repeats.once(
        "activation-key",
        call.form_id,
        {"student_number": number, "ssn_last4": last4},
        first=lambda: activation.request_keys(number, last4, ip=call.ip, now=call.now),
        again=lambda: activation.repeat_request(number, last4, now=call.now),
        now=call.now,
    )
    if shown is None:
        detail = texts.say(call.language, "activation-key-done.detail")
        body = {"status": "accepted", "detail": detail}
        return Answer(body, status=202, location="activation-key?done")
    keys = [asdict(key) for key in shown]
    return Answer(
        {"status": "shown", "keys": keys}, page="activation-key-shown", data={"keys": keys}
    )


def _number_and_last4(call: Call) -> tuple[str, str]:
    # Pasted from a report card there may be any kind of space.
    number, last4 = ("".join(x.split()) for x in call.texts("student_number", "ssn_last4"))
    fits = {"student_number": _NUMBER.match(number), "ssn_last4": _LAST4.match(last4)}
    typed = {"student_number": number, "ssn_last4": last4}
    faults = [
        FieldError(name, "format" if typed[name] else "required")
        for name, fit in fits.items()
        if not fit
    ]
    if faults:
        raise errors.Invalid(errors=faults)
    return number, last4


# --- using it -----------------------------------------------------------------


@form("activate")
def activate(call: Call) -> Answer:
    """New User?: enter the activation key (guide, part 2); consumes nothing."""
    if call.method == "GET":
        return fields_page("activate", "activation_key")
    key = required(call, "activation_key")["activation_key"]

    def check() -> list[str]:
        return activation.check_key(key, ip=call.ip, now=call.now)

    students = repeats.once(
        "activate", call.form_id, {"activation_key": key}, first=check, again=check, now=call.now
    )
    return Answer(
        {"status": "valid", "students": students},
        page="create-account",
        data={"activation_key": key, "students": students, "rules": password_rules()},
    )


def _create_account_again(call: Call, refusal: errors.Refusal) -> tuple[str, Mapping[str, object]]:
    """Show the form again; with a key that opens nothing only the page that asks for one."""
    key = call.fields.get("activation_key")
    named = any(fault.field == "activation_key" for fault in refusal.errors)
    if not isinstance(key, str) or named or refusal.code == errors.ActivationKeyInvalid.code:
        return "activate", {}
    return "create-account", {"activation_key": key, "students": [], "rules": password_rules()}


@form(_create_account_again)
def create_account(call: Call) -> Answer:
    """Create username and password with a good key, which is used up by it."""
    # The key first: while it is at fault the page asks for it, and has no other field to name.
    fields = {"activation_key": call.text("activation_key")}
    names = ("username", "password", "verify_password")
    try:
        fields |= zip(names, call.texts(*names), strict=True)
    except errors.Invalid:
        # A bad key is said first here too, and counts.
        activation.check_key(fields["activation_key"], ip=call.ip, now=call.now)
        raise

    def create() -> str:
        return activation.create_account(
            fields["activation_key"],
            fields["username"],
            fields["password"],
            fields["verify_password"],
            ip=call.ip,
            now=call.now,
        )

    username = repeats.once(
        "create-account", call.form_id, fields, first=create, again=create, now=call.now
    )
    return Answer({"username": username}, status=201, location="sign-in?note=account-created")


# --- signing in and out -------------------------------------------------------


def _sign_in_again(call: Call, _: errors.Refusal) -> tuple[str, Mapping[str, object]]:
    return "sign-in", {"next": own_path(call.fields.get("next")), "note": None}


@form(_sign_in_again)
def sign_in(call: Call) -> Answer:
    """Sign in with username and password."""
    if call.method == "GET":
        note = call.query.get("note")
        data = {
            "next": own_path(call.query.get("next")),
            "note": note if note in _NOTES else None,
        }
        body = {"fields": ["username", "password"]}
        return Answer(body, page="sign-in", data=data)
    fields = required(call, "username", "password")

    def check(*, repeated: bool = False) -> accounts.SignedIn:
        return accounts.sign_in(
            fields["username"],
            fields["password"],
            ip=call.ip,
            device=accounts.Device(call.device, call.cookie),
            carried=call.cookie("session"),
            now=call.now,
            repeated=repeated,
        )

    signed_in = repeats.once(
        "sign-in",
        call.form_id,
        fields,
        first=check,
        again=lambda: check(repeated=True),
        keep=arrival,
        recall=arrived,
        now=call.now,
    )
    return Answer(
        signed_in_body(signed_in),
        location=after_sign_in(own_path(call.fields.get("next"))),
        cookies=(
            set_cookie("session", signed_in.token, seconds=signed_in.lasts_seconds),
            *arrival_cookies(signed_in),
        ),
    )


def sign_out(call: Call) -> Answer:
    """Sign out; without a session the answer is the same."""
    token = call.cookie("session")
    if token:
        accounts.sign_out(token)
    return Answer(
        status=204,
        location="sign-in?note=signed-out",
        headers={"Clear-Site-Data": '"cache", "storage"'},
        cookies=(set_cookie("session", "", seconds=0),),
    )


# --- signed in ----------------------------------------------------------------


def home(call: Call) -> Answer:
    """The student list and today; the first page of a signed-in guardian."""
    seen = family.home(call.cookie("session"), now=call.now)
    students = [pages.student_fields(child.summary) for child in seen.children]
    today = [pages.today_fields(child) for child in seen.children]
    return Answer(
        {"students": students, "today": today},
        page="home",
        data={
            "students": students,
            "today": [pages.shown_today(child) for child in seen.children],
            "switcher": pages.switcher([child.summary for child in seen.children]),
            "session": session_shown(call, seen.session),
            "email": seen.account.email,
            "mail_state": recovery.mail_state(seen.account),
            "enrollment": {
                "year": seen.coming_year.words,
                "unanswered": enrollment.unanswered(seen),
            },
            **_arrival(call),
        },
        cookies=(set_cookie("arrived", "", seconds=0),) if call.cookie("arrived") else (),
        language=seen.language,
        signed_in=True,
    )


def students(call: Call) -> Answer:
    """The guardian's students."""
    seen = family.home(call.cookie("session"), now=call.now)
    listed = [pages.student_fields(child.summary) for child in seen.children]
    return Answer(
        listed,
        page="students",
        data={
            "students": listed,
            "switcher": pages.switcher([child.summary for child in seen.children]),
            "session": session_shown(call, seen.session),
        },
        language=seen.language,
        signed_in=True,
    )


def session(call: Call) -> Answer:
    """When the session ends; POST moves its idle end, GET moves nothing."""
    token = call.cookie("session")
    if call.method == "POST":
        accounts.require_account(accounts.use_session(token, now=call.now))
        return Answer(status=204, location="session?done")
    here = who.look(token, now=call.now)
    times = session_times(here.session)
    return Answer(
        times,
        page="session",
        data={**times, "session": session_shown(call, here.session)},
        language=here.language,
        signed_in=True,
    )


def _arrival(call: Call) -> dict[str, object]:
    """Return what is told once after signing in; the cookie that carries it is the browser's own."""
    told = read_arrival(call.cookie("arrived") or "")
    if told is None:
        return {}
    last, failed = told
    return {"failed_since": failed, "last_sign_in": None if last is None else iso(last)}


# --- everything else ----------------------------------------------------------


def status(_: Call) -> Answer:
    """Whether the portal answers: no personal data, no database."""
    return Answer({"status": "ok"})


def static(call: Call) -> Answer:
    """A file named by its content's hash, cached for good."""
    found = texts.asset_body(call.path_parameters["name"])
    if found is None:
        raise errors.NotFound
    return Answer(text=found, headers={"Cache-Control": "public, max-age=31536000, immutable"})


def problem(call: Call) -> Answer:
    """What a problem code means, for people and clients."""
    code = call.path_parameters["code"]
    meaning = texts.problem_meaning(call.language, code)
    if meaning is None:
        raise errors.NotFound
    title, _ = texts.problem(call.language, code)
    told = {"code": code, "title": title, "meaning": meaning}
    return Answer({"type": f"/problems/{code}", **told}, page="problem-code", data=told)


def not_found(_: Call) -> Answer:
    """An unknown path, in the same form as every other refusal."""
    raise errors.NotFound
