"""The household as an action: what the school has, confirmed or asked to be changed."""

from collections.abc import Mapping
from functools import partial

from chalicelib import errors
from chalicelib.domain import contact_details, household, mail, repeats
from chalicelib.domain.household import Household
from chalicelib.errors import FieldError
from chalicelib.storage.change_requests import ShownRequest
from chalicelib.web.call import Call
from chalicelib.web.forms import session_shown
from chalicelib.web.http import Answer, form, iso

_NOTES: Mapping[str, str] = {"confirm": "confirmed", "change": "requested"}


def _again(call: Call, _: errors.Refusal) -> tuple[str, Mapping[str, object]]:
    return "household", _shown(call, household.look(call.cookie("session"), now=call.now))


@form(_again)
def household_page(call: Call) -> Answer:
    """What the school has of the household; `confirm` finds it right, `change` asks for a change."""
    seen = household.look(call.cookie("session"), now=call.now)
    if call.method == "GET":
        return _answer(call, seen)
    names = (*contact_details.FIELDS, "effective_date", "comment", "action")
    sent = [name for name in names if name in call.fields]
    typed = dict(zip(sent, call.texts(*sent), strict=True))
    action = typed.pop("action", "")
    if action not in _NOTES:
        raise errors.Invalid(errors=[FieldError("action", "unknown")])
    act = {
        "confirm": partial(household.confirm, seen, now=call.now),
        "change": partial(household.ask, seen, typed, form_id=call.form_id, now=call.now),
    }[action]
    asked = {**typed, "action": action, "account": seen.account.account_id}
    repeats.once("household", call.form_id, asked, first=act, again=lambda: None, now=call.now)
    location = f"household?done={_NOTES[action]}"
    if not call.wants_json:
        return Answer(location=location)
    return _answer(call, household.look(call.cookie("session"), now=call.now))


def _answer(call: Call, seen: Household) -> Answer:
    languages = mail.languages_of(seen.guardian, seen.account)
    return Answer(
        _body(seen),
        page="household",
        data=_shown(call, seen),
        language=languages[0] if len(languages) == 1 else None,
        signed_in=True,
    )


def _body(seen: Household) -> dict[str, object]:
    return {
        **seen.known,
        "verified_on": seen.verified_on,
        "requests": [_request(one) for one in seen.requests],
    }


def _request(one: ShownRequest) -> dict[str, object]:
    return {
        "id": one.request_id,
        "status": one.status,
        "changes": one.changes,
        "effective_date": one.effective_date,
        "comment": one.comment,
        "decision_comment": one.decision_comment,
        "created_at": iso(household.instant(one.created_at)),
    }


def _shown(call: Call, seen: Household) -> dict[str, object]:
    note = call.query.get("done")
    known = {name: value or "" for name, value in seen.known.items()}
    return {
        **_body(seen),
        "has": seen.known,
        "values": {**known, "effective_date": seen.first_day.isoformat()},
        "may_ask": seen.may_ask,
        "first_day": seen.first_day,
        "last_day": seen.last_day,
        "note": note if note in _NOTES.values() else None,
        "session": session_shown(call, seen.session),
        "signed_in": True,
    }
