"""The guardian's own preferences as an action: language, notifications, quiet hours."""

from collections.abc import Mapping

from chalicelib import errors, policy
from chalicelib.domain import notifications, repeats, who
from chalicelib.domain.who import SignedInAs
from chalicelib.storage.values import Account
from chalicelib.web.call import Call
from chalicelib.web.forms import session_shown
from chalicelib.web.http import YEAR, Answer, form, set_cookie

_TEXTS = ("language", "quiet_from", "quiet_to")
# A form that carries this shows every box: one that is absent was unchecked. Others send what changes.
_EVERY_BOX = "every_box"


def _body(account: Account, language: str | None) -> dict[str, object]:
    choices = account.choices
    return {
        "language": language,
        "quiet_from": choices.quiet_from,
        "quiet_to": choices.quiet_to,
        "notifications": {name: notifications.is_on(choices, name) for name in notifications.NAMES},
    }


def _shown(call: Call, here: SignedInAs) -> dict[str, object]:
    account = here.account
    hour = notifications.digest_hour(account.choices)
    return {
        "values": {
            "language": here.language,
            "quiet_from": account.choices.quiet_from,
            "quiet_to": account.choices.quiet_to,
            **dict.fromkeys(account.choices.on, "true"),
        },
        "kinds": notifications.KINDS,
        "channels": notifications.CHANNELS,
        "always_on": notifications.KINDS_ALWAYS_ON,
        "digest_time": f"{policy.DIGEST_HOUR if hour is None else hour:02d}:00",
        "email": account.email,
        "done": "done" in call.query,
        "session": session_shown(call, here.session),
        "signed_in": True,
    }


def _again(call: Call, _: errors.Refusal) -> tuple[str, Mapping[str, object]]:
    return "preferences", _shown(call, who.current(call.cookie("session"), now=call.now))


@form(_again)
def preferences(call: Call) -> Answer:
    """Show the guardian's choices; POST changes those that are given."""
    here = who.current(call.cookie("session"), now=call.now)
    if call.method == "POST":
        return _save(call, here.account, here.language)
    return Answer(
        _body(here.account, here.language),
        page="preferences",
        data=_shown(call, here),
        language=here.language,
        signed_in=True,
    )


def _save(call: Call, account: Account, language: str | None) -> Answer:
    given = _given(call)
    asked = {name: repr(value) for name, value in given.items()}
    saved = repeats.once(
        "preferences",
        call.form_id,
        {**asked, "account": account.account_id},
        first=lambda: notifications.save(account, given),
        again=lambda: account,
        now=call.now,
    )
    chosen = saved.choices.language
    # The browser may remember another language from a link, which would go before this choice.
    turned = chosen if chosen and chosen != account.choices.language else None
    return Answer(
        _body(saved, chosen or language),
        location="preferences?done",
        cookies=(set_cookie("lang", turned, seconds=YEAR),) if turned else (),
    )


def _given(call: Call) -> dict[str, object]:
    names = (*_TEXTS, *notifications.NAMES)
    given = {name: call.fields[name] for name in names if name in call.fields}
    if call.fields.get(_EVERY_BOX):
        # Boxes that can't be unchecked are never sent.
        unchecked = (name for name in notifications.NAMES if name not in notifications.ALWAYS_ON)
        given |= {name: False for name in unchecked if name not in given}
    return given
