"""The console's face: a test event in, JSON out; checked to the last field, audited, then done.

Contract section 4. The one place where a refusal becomes `{"error": …}`. The audit entry is written
before anything happens: without it nothing is changed (security row S82).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib import clock, crypto, errors, logs, policy, settings, texts
from chalicelib.domain import (
    accounts,
    activation,
    change_requests,
    enrollment_report,
    guardians,
    recovery,
    roster_import,
)
from chalicelib.domain.enrollment import ANSWERS
from chalicelib.errors import FieldError
from chalicelib.storage import district
from chalicelib.storage.change_requests import ChangeRequest
from chalicelib.storage.values import Account

_LONGEST = 300


@dataclass(frozen=True)
class Event:
    """An event that fits its function."""

    fields: Mapping[str, Any]
    now: datetime

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


@dataclass(frozen=True)
class Function:
    """One admin function: its fields, whom it is about in the audit, and what it does."""

    name: str
    check: Callable[[Mapping[str, object]], list[FieldError]]
    subject: Callable[[Mapping[str, object]], str]
    act: Callable[[Event], Mapping[str, object]]


def run(name: str, event: object, context: Any) -> dict[str, object]:
    """Answer one console event; refused ones are audited too."""
    function, now = FUNCTIONS[name], clock.now()
    request_id = str(getattr(context, "aws_request_id", "") or crypto.new_id())
    logs.begin(request_id)
    # Pasted from a list or a mail: what stands around a value is none of it.
    fields: dict[str, Any] = {
        name: value.strip() if isinstance(value, str) else value
        for name, value in (event.items() if isinstance(event, dict) else ())
    }
    operator = fields.pop("operator", None)
    faults = _form_faults(event, operator) or function.check(fields)

    def audit(outcome: str) -> None:
        district.audit(
            function.subject(fields) if not faults else f"function#{name}",
            name,
            outcome,
            operator=operator if _is_text(operator) else None,
            request_id=request_id,
            details=fields if not faults else {},
            now=now,
        )

    try:
        _refuse_misfit(faults)
        audit("begun")
        answer = dict(function.act(Event(fields, now)))
    except errors.Refusal as refusal:
        audit(refusal.code)
        logs.event("admin-refused", function=name, problem=refusal.code)
        return {"error": {"code": refusal.code, "detail": _detail(refusal)}}
    except Exception as error:
        # Nobody knows how far it came: the entry says so, and Lambda counts the error for its alarm.
        logs.event("admin-failed", level="error", function=name, error=type(error).__name__)
        audit("failed")
        raise
    audit("done")
    logs.event("admin-done", function=name)
    return answer


def _refuse_misfit(faults: list[FieldError]) -> None:
    if faults:
        raise errors.EventInvalid(errors=faults)


def _detail(refusal: errors.Refusal) -> str:
    said = [
        f"{e.field}: {texts.field_error('en', e.field, e.code, e.parameters)}"
        for e in refusal.errors
    ]
    return " ".join(said) or texts.problem("en", refusal.code)[1]


# --- what an event may hold ---------------------------------------------------


def _form_faults(event: object, operator: object) -> list[FieldError]:
    if not isinstance(event, dict) or not all(isinstance(key, str) for key in event):
        return [FieldError("event", "format")]
    if operator is not None and not _is_text(operator):
        return [FieldError("operator", "format")]
    return []


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= _LONGEST and value.isprintable()


def _exactly(*names: str) -> Callable[[Mapping[str, object]], list[FieldError]]:
    """All of these fields as text, and no other."""

    def check(fields: Mapping[str, object]) -> list[FieldError]:
        faults = [FieldError(n, "required") for n in names if n not in fields]
        faults += [FieldError(n[:60], "no-such-field") for n in fields if n not in names]
        faults += [
            FieldError(n, "format") for n in names if n in fields and not _is_text(fields[n])
        ]
        return faults

    return check


def _one_of(*names: str) -> Callable[[Mapping[str, object]], list[FieldError]]:
    """Exactly one of these fields, as text."""

    def check(fields: Mapping[str, object]) -> list[FieldError]:
        given = [name for name in names if name in fields]
        if len(given) != 1:
            return [FieldError("event", "one-of", (("names", ", ".join(names)),))]
        return _exactly(given[0])(fields)

    return check


def _perhaps(name: str) -> Callable[[Mapping[str, object]], list[FieldError]]:
    """This field as text, or nothing."""
    return lambda fields: _exactly(name)(fields) if fields else []


def _issue_fields(fields: Mapping[str, object]) -> list[FieldError]:
    faults = _exactly("guardian_id", "deliver")(fields)
    if not faults and fields["deliver"] not in ("mail", "return"):
        faults.append(FieldError("deliver", "out-of-bounds", (("bounds", "mail, return"),)))
    return faults


def _request_states(fields: Mapping[str, object]) -> list[FieldError]:
    if not fields:
        return []
    faults = _exactly("status")(fields)
    if not faults and fields["status"] not in change_requests.STATES:
        allowed = ", ".join(change_requests.STATES)
        faults.append(FieldError("status", "out-of-bounds", (("bounds", allowed),)))
    return faults


def _decision_fields(fields: Mapping[str, object]) -> list[FieldError]:
    faults = _exactly("request_id", "decision", "comment")(fields)
    if not faults and fields["decision"] not in change_requests.DECISIONS:
        allowed = ", ".join(change_requests.DECISIONS)
        faults.append(FieldError("decision", "out-of-bounds", (("bounds", allowed),)))
    return faults


def _since_when(fields: Mapping[str, object]) -> list[FieldError]:
    if not fields:
        return []
    faults = _exactly("since")(fields)
    if not faults and not change_requests.is_since(str(fields["since"])):
        faults.append(FieldError("since", "format"))
    return faults


def _whose_sessions(fields: Mapping[str, object]) -> list[FieldError]:
    if "all" in fields and "username" not in fields:
        faults = [FieldError(n[:60], "no-such-field") for n in fields if n != "all"]
        if fields["all"] is not True:
            faults.append(FieldError("all", "out-of-bounds", (("bounds", "true"),)))
        return faults
    return _exactly("username")(fields)


def _preference_fields(fields: Mapping[str, object]) -> list[FieldError]:
    faults = [] if fields else [FieldError("event", "required")]
    table = policy.preference_table(local=settings.is_local())
    for name, value in fields.items():
        if name not in table:
            faults.append(FieldError(name[:60], "no-such-field"))
            continue
        if value is None:
            continue
        try:
            table[name].read(value)
        except (ValueError, OverflowError):
            faults.append(FieldError(name, "out-of-bounds", (("bounds", table[name].bounds),)))
    return faults


# --- what they do -------------------------------------------------------------


def _find_guardian(event: Event) -> Mapping[str, object]:
    ((name, value),) = event.fields.items()
    ways = {
        "email": guardians.by_email,
        "student_number": guardians.by_student_number,
        "username": guardians.by_username,
        "name": guardians.by_name,
    }
    found = ways[name](str(value), now=event.now)
    return {"guardians": [_guardian(one, event.now) for one in found]}


def _guardian(found: guardians.FoundGuardian, now: datetime) -> dict[str, object]:
    guardian, key = found.guardian, found.key
    return {
        "guardian_id": guardian.guardian_id,
        "name": f"{guardian.given_name} {guardian.family_name}".strip(),
        "email": guardian.email,
        "students": [
            {
                "student_number": student.student_number,
                "name": f"{student.given_name} {student.family_name}".strip(),
                "school": student.school,
            }
            for student in found.students
        ],
        "account": None if found.account is None else _account(found.account, now),
        "key": None
        if key is None
        else {
            "state": found.key_state,
            "issued_at": _iso(key.issued_at),
            "expires_at": _iso(key.expires_at),
        },
        "mail": None
        if guardian.mail_state is None
        else {"state": guardian.mail_state, "at": _iso(guardian.mail_at)},
    }


def _account(account: Account, now: datetime) -> dict[str, object]:
    """Return an account; a lockout whose time has come is none, whoever cleared it or didn't."""
    until = account.locked_until
    return {
        "username": account.username,
        "state": account.state,
        "locked_until": _iso(until) if until is not None and until > now.timestamp() else None,
        "created_at": _iso(account.created_at),
        "last_sign_in": _iso(account.last_sign_in),
    }


def _issue(event: Event) -> Mapping[str, object]:
    key = activation.issue_for_admin(event["guardian_id"], deliver=event["deliver"], now=event.now)
    answer: dict[str, object] = {
        "state": key.state,
        "expires_at": _iso(int(key.expires_at.timestamp())),
    }
    if key.activation_key is not None:
        answer["activation_key"] = key.activation_key
    return answer


def _unlock(event: Event) -> Mapping[str, object]:
    recovery.unlock(accounts.find(event["username"]), now=event.now)
    return _account(accounts.find(event["username"]), event.now)


def _send_reset(event: Event) -> Mapping[str, object]:
    account = accounts.find(event["username"])
    if not account.email:
        raise errors.NoAddress
    recovery.queue_reset_link(account.username_key)
    return _account(account, event.now)


def _clear_mail_state(event: Event) -> Mapping[str, object]:
    cleared = recovery.clear_mail_state(event["email"], now=event.now)
    return {"email": event["email"], "cleared": cleared}


def _end_sessions(event: Event) -> Mapping[str, object]:
    if "all" in event.fields:
        return {"ended": accounts.end_everybodys_sessions(now=event.now)}
    return {"ended": accounts.end_sessions(event["username"])}


def _list_changes(event: Event) -> Mapping[str, object]:
    found, total = change_requests.listed(event.fields.get("status"))
    return {"requests": [_request(one) for one in found], "total": total}


def _decide_change(event: Event) -> Mapping[str, object]:
    decided = change_requests.decide(
        event["request_id"], event["decision"], event["comment"], now=event.now
    )
    return _request(decided)


def _request(one: ChangeRequest) -> dict[str, object]:
    return {
        "id": one.request_id,
        "status": one.status,
        "guardian_id": one.guardian_id,
        "guardian": one.guardian,
        "changes": one.changes,
        "effective_date": one.effective_date,
        "comment": one.comment,
        "decision_comment": one.decision_comment,
        "created_at": _iso(one.created_at),
        "decided_at": _iso(one.decided_at),
    }


def _export_changes(event: Event) -> Mapping[str, object]:
    made = change_requests.export(event.fields.get("since"), now=event.now)
    return {
        "url": made.url,
        "expires_at": _iso(int(made.expires_at.timestamp())),
        "count": made.count,
    }


def _set_preferences(event: Event) -> Mapping[str, object]:
    local = settings.is_local()
    district.save_preferences(
        {
            name: None if value is None else policy.read_preference(name, value, local=local)
            for name, value in event.fields.items()
        }
    )
    return _preferences()


def _preferences() -> dict[str, object]:
    district.forget_preferences()
    current = district.preferences()
    return {name: getattr(current, name) for name in policy.DEFAULTS}


def _enrollment_report(event: Event) -> Mapping[str, object]:
    school_id = event.fields.get("school_id")
    report = enrollment_report.make(school_id, now=event.now)
    return {
        "school_year": report.school_year,
        "schools": [
            {
                "school_id": one.school.school_id if one.school else None,
                "name": one.school.name if one.school else None,
                "students": one.students,
                **{answer: one.answers[answer] for answer in ANSWERS},
                "unanswered": one.unanswered,
            }
            for one in report.schools
        ],
        "url": report.url,
        "expires_at": _iso(int(report.expires_at.timestamp())),
    }


def _approve_import(event: Event) -> Mapping[str, object]:
    roster_import.approve(event["name"], now=event.now)
    return {"status": "approved", "name": event["name"]}


def _iso(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _of_username(fields: Mapping[str, object]) -> str:
    return f"account#{str(fields['username']).lower()}"


def _of_guardian(fields: Mapping[str, object]) -> str:
    return f"guardian#{fields['guardian_id']}"


FUNCTIONS: Mapping[str, Function] = {
    function.name: function
    for function in (
        Function(
            "find_guardian",
            _one_of("email", "student_number", "username", "name"),
            lambda _: "search",
            _find_guardian,
        ),
        Function("issue_activation_key", _issue_fields, _of_guardian, _issue),
        Function(
            "revoke_activation_key",
            _exactly("guardian_id"),
            _of_guardian,
            lambda event: {"revoked": activation.revoke(event["guardian_id"])},
        ),
        Function(
            "disable_account",
            _exactly("username"),
            _of_username,
            lambda event: _account(accounts.disable(event["username"], now=event.now), event.now),
        ),
        Function(
            "enable_account",
            _exactly("username"),
            _of_username,
            lambda event: _account(accounts.enable(event["username"], now=event.now), event.now),
        ),
        Function("unlock_account", _exactly("username"), _of_username, _unlock),
        Function("send_password_reset", _exactly("username"), _of_username, _send_reset),
        Function(
            "require_password_reset",
            _exactly("username", "reason"),
            _of_username,
            lambda event: _account(
                accounts.require_reset(event["username"], now=event.now), event.now
            ),
        ),
        Function("clear_mail_state", _exactly("email"), lambda _: "mail", _clear_mail_state),
        Function(
            "delete_account",
            _exactly("username"),
            _of_username,
            lambda event: {
                "username": accounts.delete(event["username"]).username,
                "state": "none",
            },
        ),
        Function(
            "end_sessions",
            _whose_sessions,
            lambda fields: "sessions" if "all" in fields else _of_username(fields),
            _end_sessions,
        ),
        Function(
            "approve_import",
            _exactly("name"),
            lambda fields: f"import#{fields['name']}",
            _approve_import,
        ),
        Function("list_change_requests", _request_states, lambda _: "requests", _list_changes),
        Function(
            "decide_change_request",
            _decision_fields,
            lambda fields: f"request#{fields['request_id']}",
            _decide_change,
        ),
        Function("export_changes", _since_when, lambda _: "requests", _export_changes),
        Function(
            "enrollment_report",
            _perhaps("school_id"),
            lambda _: "enrollment",
            _enrollment_report,
        ),
        Function("show_preferences", _exactly(), lambda _: "preferences", lambda _: _preferences()),
        Function("set_preferences", _preference_fields, lambda _: "preferences", _set_preferences),
    )
}
