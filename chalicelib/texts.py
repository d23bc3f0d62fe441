"""Words in every language: the catalogues, and the rendering of pages and mails from them.

A leaf: it knows neither the web nor the mail queue, so both share it. A language is one file in
`catalogues/`; what a file lacks is said in English.
"""

import functools
import json
import re
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from chalicelib import crypto, policy

_HERE = Path(__file__).parent
_FALLBACK = "en"
_HALF_A_DAY = 12
_PLACEHOLDER = re.compile(r"\{([a-z_0-9]+)\}")
_ASSET_TYPES: Mapping[str, str] = {
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}
_FILLED = re.compile(_PLACEHOLDER.pattern + r"(\.?)")

# English first, which is what a stranger gets; the others by code.
LANGUAGES: tuple[str, ...] = (
    _FALLBACK,
    *sorted({f.stem for f in (_HERE / "catalogues").glob("*.json")} - {_FALLBACK}),
)


# --- sentences ----------------------------------------------------------------


def language_names() -> Mapping[str, str]:
    """Return each language's own name by its code, in the order of `LANGUAGES`."""
    return {code: say(code, "language.name") for code in LANGUAGES}


def known_language(tag: str | None) -> str | None:
    """Return the one of `LANGUAGES` that a tag such as `es-MX` means, or None."""
    base = (tag or "").partition("-")[0].lower()
    return base if base in LANGUAGES else None


def direction(language: str) -> str:
    """Return the direction a language is written in, `ltr` or `rtl`."""
    return say(language, "language.direction")


def say(language: str, key: str, **values: object) -> str:
    """Return one sentence of the catalogue as plain text, its placeholders filled.

    A date or a moment among the values is said in the language, a moment in its own time zone.

    Raises:
        KeyError: no catalogue has the key, or a placeholder has no value.
    """
    words = {name: _in_words(language, value) for name, value in values.items()}
    return _fill(_sentence(language, key), words)


def problem(language: str, code: str, **values: object) -> tuple[str, str]:
    """Return the title and the detail of a problem code.

    A code that waits names the `time` where it is known: a text, or a moment in the district's
    zone.

    Raises:
        KeyError: no problem has that code.
    """
    detail = f"problem.{code}.detail"
    if values.get("time") is None and f"problem.{code}.detail-later" in _catalogue(_FALLBACK):
        detail = f"problem.{code}.detail-later"
    return say(language, f"problem.{code}.title"), say(language, detail, **values)


def problem_meaning(language: str, code: str) -> str | None:
    """Return what a problem code means, for people and for clients; None for a code nobody uses."""
    if f"problem.{code}.meaning" not in _catalogue(_FALLBACK):
        return None
    return say(language, f"problem.{code}.meaning")


def field_error(
    language: str,
    field: str,
    code: str,
    parameters: Mapping[str, object] | Iterable[tuple[str, object]] = (),
) -> str:
    """Return what is wrong with a field: the field's own words for the code, else the code's.

    A code without words, or words without their parameters, are said in general: a field at fault
    must never cost the parent the page.
    """
    values = dict(parameters)
    known = _catalogue(_FALLBACK)
    for key in (f"error.{field}.{code}", f"error.{code}"):
        if key in known and set(_PLACEHOLDER.findall(known[key])) <= values.keys():
            return say(language, key, **values)
    return say(language, "error.format")


def placeholders(sentence: str) -> frozenset[str]:
    """Return the names of a sentence's placeholders."""
    return frozenset(_PLACEHOLDER.findall(sentence))


def _sentence(language: str, key: str) -> str:
    own = _catalogue(language)
    return own[key] if key in own else _catalogue(_FALLBACK)[key]


@functools.cache
def _catalogue(language: str) -> Mapping[str, str]:
    # The name comes from the list of files that are there, so it can't lead out of the folder.
    code = language if language in LANGUAGES else _FALLBACK
    text = (_HERE / "catalogues" / f"{code}.json").read_text(encoding="utf-8")
    return {str(key): str(sentence) for key, sentence in json.loads(text).items()}


def _fill(sentence: str, values: Mapping[str, str]) -> str:
    # Not str.format: a value may hold braces, and a sentence must not reach attributes. A value
    # that ends in a stop (`a. m.`, `J. D.`) takes the sentence's own stop with it.
    def value(match: re.Match[str]) -> str:
        return values[match[1]] + ("" if values[match[1]].endswith(".") else match[2])

    return _FILLED.sub(value, sentence)


def _in_words(language: str, value: object) -> str:
    if isinstance(value, datetime):
        return moment(language, value)
    if isinstance(value, date):
        return day(language, value)
    return str(value)


# --- dates, times, numbers ----------------------------------------------------


def day(language: str, value: date | str) -> str:
    """Return a day in words, as `Tuesday, November 24, 2026`; what is no ISO date stays."""
    when = _as_date(value)
    if when is None:
        return str(value)
    return say(
        language,
        "date.day",
        weekday=say(language, f"date.weekday.{when.isoweekday()}"),
        day=when.day,
        month=say(language, f"date.month.{when.month}"),
        year=when.year,
    )


def short_day(language: str, value: date | str) -> str:
    """Return a day in few words, as `Nov 24, 2026`; text that is no ISO date stays as it is."""
    when = _as_date(value)
    if when is None:
        return str(value)
    month = say(language, f"date.short.month.{when.month}")
    return say(language, "date.short", day=when.day, month=month, year=when.year)


def month(language: str, value: str) -> str:
    """Return a month (`2026-11`) in words, as `November 2026`; what is none stays as it is."""
    when = _as_date(f"{value}-01")
    if when is None:
        return value
    name = say(language, f"date.month.{when.month}")
    return say(language, "date.month-year", month=name, year=when.year)


def short_month(language: str, value: str) -> str:
    """Return a month (`2026-11`) in few letters and without its year, as `Nov`; see `month`."""
    when = _as_date(f"{value}-01")
    return value if when is None else say(language, f"date.short.month.{when.month}")


def moment(language: str, value: datetime | str, zone: str | None = None) -> str:
    """Return a day and time in words; `zone` (an IANA name) moves an aware moment there first.

    Text that is no ISO moment stays as it is.
    """
    when = _as_moment(value, zone)
    if when is None:
        return str(value)
    time = clock(language, f"{when:%H:%M}")
    return say(language, "date.moment", day=day(language, when.date()), time=time)


def time_of_day(language: str, value: datetime | str, zone: str | None = None) -> str:
    """Return the time of a moment in words, without its day; see `moment`."""
    when = _as_moment(value, zone)
    return str(value) if when is None else clock(language, f"{when:%H:%M}")


def clock(language: str, value: str) -> str:
    """Return a time of day in words, as `8:05 AM`; text that is no `HH:MM` stays as it is."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)(?::\d{2})?", value)
    if match is None:
        return value
    half, hour = divmod(int(match[1]), _HALF_A_DAY)
    return say(
        language,
        "date.clock.afternoon" if half else "date.clock.morning",
        hour=hour or _HALF_A_DAY,
        minute=match[2],
    )


def grade_level(language: str, value: str | None) -> str:
    """Return a grade level in words; CEDS codes as in OneRoster (`PK`, `KG`, `01` … `12`)."""
    if not value:
        return ""
    if value.isdigit():
        return say(language, "grade.number", number=int(value))
    key = f"grade.{value.upper()}"
    return say(language, key) if key in _catalogue(_FALLBACK) else value


def number(value: float | str | None) -> str:
    """Return a score without needless zeros: `18`, `17.5`; nothing for None."""
    if isinstance(value, (int, float)):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return value or ""


def _as_date(value: date | str) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def _as_moment(value: datetime | str, zone: str | None = None) -> datetime | None:
    if isinstance(value, str):
        try:
            # Reads the `Z` of our answers too, from Python 3.11 on.
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if zone is None or value.tzinfo is None:
        return value
    return value.astimezone(zoneinfo.ZoneInfo(zone))


def _as_utc(value: datetime | str | None) -> str:
    """Return a moment as ISO 8601 UTC, which the script reads; nothing for what is none."""
    when = None if value is None else _as_moment(value, "UTC")
    if when is None or when.tzinfo is None:
        return ""
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


# --- pages --------------------------------------------------------------------

# Where the words of a problem that is about one field stand beside the summary (ux: the sign-in's
# at the username, which says nothing of which of the two was wrong).
_FIELD_OF: Mapping[tuple[str, str], str] = {
    ("sign-in", "sign-in-failed"): "username",
    ("activate", "activation-key-invalid"): "activation_key",
    ("activation-key", "no-match"): "student_number",
}

# Which of a page's forms was refused, where it has several, by the path it was posted to; the ids of
# its fields begin with the form's name.
_FORM_AT: Mapping[str, str] = {
    "account/email": "email",
    "account/password": "password",
    "account/sessions/end": "sessions",
    "account/sso": "sso",
    "account/sso/unlink": "sso",
}

# What every page is given; a face that has nothing to say about one of them may leave it out.
_COMMON: Mapping[str, object] = {
    "district_name": "Parent Portal",
    "notice": None,
    "support_url": None,
    "languages": (),
    "signed_in": False,
    "path": "",
    "form_id": "",
    "errors": (),
    "problem": None,
    "values": {},
    "session": None,
    "switcher": (),
    "time_zone": "UTC",
    "sso": False,
    "confirm_link_hours": policy.CONFIRM_LINK_HOURS,
    "not_me_link_days": policy.NOT_ME_LINK_DAYS,
}


# Pages for everybody that look like those for who is signed in.
_INSIDE = frozenset({"help"})


def _district(language: str, name: object) -> object:
    """Return the district's name, or the portal's in the language where the district gave none."""
    return say(language, "page.portal") if name == _COMMON["district_name"] else name


def page(name: str, *, language: str, root: str, data: Mapping[str, object]) -> str:
    """Return the HTML of `templates/pages/<name>.html`.

    Args:
        name: the page, named like its action.
        language: one of `LANGUAGES`; anything else is English.
        root: the relative way from the page to the portal's root, `""` or `"../"`, so that links
            work under any stage prefix.
        data: what the page shows, all of it escaped; each template's head lists its names.
    """
    language = language if language in LANGUAGES else _FALLBACK
    told = {**_COMMON, **data}
    told["district_name"] = _district(language, told["district_name"])
    # A page with a form for each of several children says itself whose was refused.
    told.setdefault("refused_form", _FORM_AT.get(str(told["path"]).strip("/")))
    told["errors"] = told["errors"] or _problem_as_errors(name, told["problem"])
    zone = str(told["time_zone"])
    words: dict[str, object] = {
        "language": language,
        "direction": direction(language),
        "root": root,
        "home": root or "./",
        "page_name": name,
        "style": Markup(style(whole=bool(told["signed_in"]) or name in _INSIDE)),  # noqa: S704 - our own
        "asset": asset,
        "t": functools.partial(_say_markup, language),
        "known": _catalogue(_FALLBACK).__contains__,
        "bdi": _bdi,
        "day": functools.partial(day, language),
        "short_day": functools.partial(short_day, language),
        "month_of": functools.partial(month, language),
        "short_month": functools.partial(short_month, language),
        "moment": functools.partial(moment, language, zone=zone),
        "time_of_day": functools.partial(time_of_day, language, zone=zone),
        "utc": _as_utc,
        "clock": functools.partial(clock, language),
        "grade_level": functools.partial(grade_level, language),
        "number": number,
    }
    return _environment(html=True).get_template(f"pages/{name}.html").render({**told, **words})


def _problem_as_errors(name: str, wrong: object) -> list[dict[str, object]]:
    """Return a page's problem as the one line of its summary; nothing where there is none."""
    # The page of a problem says it itself.
    if not isinstance(wrong, Mapping) or name == "problem":
        return []
    return [{**wrong, "field": _FIELD_OF.get((name, str(wrong.get("code"))))}]


def _say_markup(language: str, key: str, **values: object) -> Markup:
    """Return a sentence as HTML: it and its values escaped, but for values that are Markup."""
    words = {
        name: str(escape(value if isinstance(value, Markup) else _in_words(language, value)))
        for name, value in values.items()
    }
    sentence = _fill(str(escape(_sentence(language, key))), words)
    return Markup(sentence)  # noqa: S704 - the sentence and each value are escaped above


def _bdi(text: object) -> Markup:
    """Return text isolated from the direction of the words around it (names, addresses)."""
    return Markup("<bdi>{}</bdi>").format(text)


@functools.cache
def _environment(*, html: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        # Without it only for text/plain, which has no markup to break out of.
        autoescape=html,  # noqa: S701
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


# --- the style sheet and the script -------------------------------------------


@functools.cache
def style(*, whole: bool = True) -> str:
    """Return the style sheet that every page holds inline; the CSP names it by its hash.

    Who isn't signed in gets it without the part between its marks `inside` and `everywhere`: a first
    page stays light.
    """
    text = (_HERE / "static" / "portal.css").read_text(encoding="utf-8")
    if not whole:
        text = re.sub(r"/\* inside:.*?/\* everywhere:", "/*", text, flags=re.DOTALL)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\n\s*", "", text).strip()


def asset(name: str) -> str:
    """Return a static file's name with the hash of its content, as `portal.<hash>.js`.

    Raises:
        KeyError: there is no such file.
    """
    return next(hashed for hashed, (plain, _, _) in _assets().items() if plain == name)


def asset_body(name: str) -> tuple[str, str] | None:
    """Return the content type and the text of a file named by `asset`, None for any other name."""
    found = _assets().get(name)
    return None if found is None else found[1:]


@functools.cache
def _assets() -> Mapping[str, tuple[str, str, str]]:
    """Return plain name, content type and text by hashed name."""
    bodies = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted((_HERE / "static").iterdir())
        if path.suffix in _ASSET_TYPES
    }
    bodies["offline.html"] = _offline_page()
    files = {}
    for name, body in bodies.items():
        stem, _, suffix = name.rpartition(".")
        hashed = f"{stem}.{crypto.digest(body)[:12]}.{suffix}"
        files[hashed] = (name, _ASSET_TYPES[f".{suffix}"], body)
    return files


def _offline_page() -> str:
    """Return the page that is shown without a connection: one for everybody, in every language."""
    told = {
        "style": Markup(style(whole=False)),  # noqa: S704 - our own file
        "said": [
            {
                "language": language,
                "direction": direction(language),
                "t": functools.partial(_say_markup, language),
            }
            for language in LANGUAGES
        ],
    }
    return _environment(html=True).get_template("offline.html").render(told)


@functools.cache
def service_worker() -> str:
    """Return the service worker's script: the files that it keeps, and a name that tells them apart.

    What it keeps is the same for everybody (security row S62): assets named by their content.
    """
    names = sorted(_assets())
    template = _environment(html=False).get_template("service-worker.js")
    return template.render(
        kept=json.dumps([f"static/{name}" for name in names]),
        offline=json.dumps(f"static/{asset('offline.html')}"),
        version=json.dumps(f"parent-portal-{crypto.digest(' '.join(names))[:12]}"),
    )


# --- mails --------------------------------------------------------------------


@dataclass(frozen=True)
class RenderedMail:
    """A mail as it goes out: both parts say the same."""

    subject: str
    text: str
    html: str


# What every mail is given; a mail without `not_me` (a link) names the school instead.
_MAIL_COMMON: Mapping[str, object] = {
    "district_name": "Parent Portal",
    "support_url": None,
    "time_zone": None,
    "name": None,
    "not_me": None,
    "not_me_link_days": policy.NOT_ME_LINK_DAYS,
}


def mail(name: str, *, languages: Sequence[str], data: Mapping[str, object]) -> RenderedMail:
    """Return `templates/mail/<name>.jinja` in each of the languages, one after the other.

    The template is written once, against blocks that know how to be HTML and how to be text.

    Args:
        name: the mail.
        languages: the guardian's, or all of them where nobody knows it.
        data: what the template's head lists; beside it `district_name`, `portal_url` (ending in a
            slash), `support_url` (or None), `time_zone` (for moments) and, where they are known,
            `name` (the guardian's given name) and `not_me` (a link).
    """
    subject = " / ".join(
        dict.fromkeys(say(one, f"mail.{name}.subject", **data) for one in languages)
    )
    return RenderedMail(
        subject=" ".join(subject.split()),
        text=_mail_part(name, languages, data, html=False),
        html=_mail_part(name, languages, data, html=True),
    )


def _mail_part(
    name: str, languages: Sequence[str], data: Mapping[str, object], *, html: bool
) -> str:
    environment = _environment(html=html)
    suffix = "html" if html else "txt"
    body = environment.get_template(f"mail/{name}.jinja")
    blocks = environment.get_template(f"mail/blocks.{suffix}").module
    told = {**_MAIL_COMMON, **data}
    parts = []
    for language in languages:
        words = {
            "m": blocks,
            "t": functools.partial(_say_markup if html else say, language),
            "known": _catalogue(_FALLBACK).__contains__,
            "number": number,
            "short_day": functools.partial(short_day, language),
            "day": functools.partial(day, language),
            "moment": functools.partial(moment, language),
        }
        district = _district(language, told["district_name"])
        said = body.render({**told, "district_name": district, **words})
        parts.append(
            {
                "language": language,
                "direction": direction(language),
                "below": say(language, "mail.below"),
                # Rendered, and so escaped, one line above.
                "body": Markup(said) if html else said,  # noqa: S704
            }
        )
    told["district_name"] = _district(languages[0], told["district_name"])
    whole = environment.get_template(f"mail/layout.{suffix}").render({**told, "parts": parts})
    return re.sub(r"\n{3,}", "\n\n", whole)
