"""The help page as an action: topics in the order of a parent's way, searched on the server too.

What a topic says stands in the catalogues under `help.<topic>…`; this table says what it is made of.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chalicelib import texts
from chalicelib.domain import who
from chalicelib.policy import Preferences
from chalicelib.storage import district
from chalicelib.web.call import Call
from chalicelib.web.forms import session_shown
from chalicelib.web.http import Answer

_LONGEST_QUESTION = 100


@dataclass(frozen=True)
class Topic:
    """One topic: its anchor, its paragraphs and steps as catalogue keys, and where it leads.

    `links` are (path below the portal's root, catalogue key).
    """

    id: str
    title: str
    text: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


TOPICS: tuple[Topic, ...] = (
    Topic(
        "new-user",
        "help.new-user.title",
        ("help.new-user.need",),
        (
            "help.new-user.request",
            "help.new-user.mail",
            "help.new-user.enter",
            "help.new-user.create",
            "help.new-user.sign-in",
        ),
        ("help.new-user.one",),
        (("activation-key", "activation-key.title"), ("activate", "activate.title")),
    ),
    Topic(
        "student-number",
        "help.student-number.title",
        ("help.student-number.where", "help.student-number.portal", "help.student-number.ask"),
    ),
    Topic(
        "gtid",
        "help.gtid.title",
        ("help.gtid.what",),
        ("help.gtid.sign-in", "help.gtid.students", "help.gtid.copy", "help.gtid.switch"),
        ("help.gtid.missing", "help.gtid.before"),
        (("students", "students.title"),),
    ),
    Topic(
        "last-four",
        "help.last-four.title",
        ("help.last-four.assigned", "help.last-four.none", "help.last-four.bring"),
    ),
    Topic(
        "no-address",
        "help.no-address.title",
        ("help.no-address.why", "help.no-address.junk", "help.no-address.ask"),
        after=("help.no-address.bring", "help.no-address.after"),
    ),
    Topic(
        "recovery",
        "help.recovery.title",
        ("help.recovery.password", "help.recovery.username", "help.recovery.both"),
        after=("help.recovery.not-you",),
        links=(
            ("forgot-password", "forgot-password.title"),
            ("forgot-username", "forgot-username.title"),
        ),
    ),
    Topic(
        "locked-out",
        "help.locked-out.title",
        ("help.locked-out.usernames", "help.locked-out.tries", "help.locked-out.wait"),
    ),
    Topic(
        "using",
        "help.using.title",
        (
            "help.using.home",
            "help.using.schedule",
            "help.using.attendance",
            "help.using.grades",
            "help.using.switch",
            "help.using.session",
            "help.using.language",
        ),
    ),
    Topic(
        "phone",
        "help.phone.title",
        ("help.phone.lead",),
        ("help.phone.open", "help.phone.android", "help.phone.iphone"),
        ("help.phone.computer", "help.phone.offline", "help.phone.lost"),
    ),
    Topic(
        "contacts",
        "help.contacts.title",
        (
            "help.contacts.household",
            "help.contacts.school",
            "help.contacts.preferences",
            "help.contacts.sign-in-address",
        ),
        links=(
            ("household", "help.contacts.link-household"),
            ("preferences", "help.contacts.link-preferences"),
            ("account", "account.title"),
        ),
    ),
    Topic(
        "enrollment",
        "help.enrollment.title",
        ("help.enrollment.what",),
        ("help.enrollment.open", "help.enrollment.answer", "help.enrollment.comment"),
        ("help.enrollment.change",),
        (("enrollment", "help.enrollment.link"),),
    ),
)


def help_page(call: Call) -> Answer:
    """The guide's help, all of it or what answers the question in `?q=`."""
    preferences = district.preferences()
    # Nothing is moved by reading help.
    here = who.anybody(call.cookie("session"), now=call.now)
    call = call.speaking(here.language if here else None)
    said = _said(call.language, preferences)
    asked = call.query.get("q", "")[:_LONGEST_QUESTION].strip()
    shown = [topic for topic in TOPICS if _answers(topic, said[topic.id], asked, call.language)]
    topics = [
        {
            "id": topic.id,
            "title": texts.say(call.language, topic.title),
            "text": "\n".join(said[topic.id]),
        }
        for topic in shown
    ]
    return Answer(
        {"topics": topics},
        page="help",
        data={
            "topics": shown,
            "words": words(preferences),
            "asked": asked or None,
            **_session(call, here),
        },
        language=here.language if here else None,
    )


def _said(language: str, preferences: Preferences) -> Mapping[str, Sequence[str]]:
    """Return each topic's sentences in a language, by its id."""
    filled = words(preferences)
    return {
        topic.id: [
            texts.say(language, key, **filled) for key in (*topic.text, *topic.steps, *topic.after)
        ]
        for topic in TOPICS
    }


def words(preferences: Preferences) -> dict[str, object]:
    """Return what the district set of what the help tells: never a number that isn't in force."""
    return {
        "limit": preferences.forgot_username_limit,
        "reset_minutes": preferences.reset_link_minutes,
        "idle_minutes": preferences.session_idle_minutes,
        "hours": preferences.session_hours,
        "key_days": preferences.key_lifetime_days,
        "least": preferences.password_min_length,
    }


def _answers(topic: Topic, said: Sequence[str], asked: str, language: str) -> bool:
    """Whether every word of a question stands in a topic; all topics answer no question."""
    text = _folded(" ".join((texts.say(language, topic.title), *said)))
    return all(word in text for word in _folded(asked).split())


def _folded(text: str) -> str:
    """Return text without case and accents, as the script folds what is typed into the search."""
    parts = unicodedata.normalize("NFD", text.casefold())
    return "".join(one for one in parts if not unicodedata.combining(one))


def _session(call: Call, here: who.SignedInAs | None) -> dict[str, object]:
    """Return what keeps a signed-in guardian's menu on the page."""
    return {"session": session_shown(call, here.session), "signed_in": True} if here else {}
