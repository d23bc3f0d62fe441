"""The catalogues say the same in every language, and nothing that nobody asks for."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib import errors, texts

ROOT = Path(__file__).parents[2]
CODE = ROOT / "chalicelib"
ENGLISH = json.loads((CODE / "catalogues" / "en.json").read_text("utf-8"))
OTHERS = [code for code in texts.LANGUAGES if code != "en"]

# The same word in both languages, or no word at all.
SAME_ON_PURPOSE = {
    "es": {
        "language.direction",
        "page.error-prefix",
        "student.gtid",
        "attendance.mark.absent",
        "attendance.mark.tardy",
        "attendance.mark.partial",
    }
}
# A language may order a date's parts as it likes, and leave out a part it doesn't say.
FREE_TO_LEAVE_OUT = ("date.",)
# Keys that are put together from data; each family's members are what the data can be.
ERROR_CODES = [
    "required",
    "format",
    "taken",
    "too-short",
    "too-long",
    "not-alphanumeric",
    "not-strong",
    "too-common",
    "contains-username",
    "control-character",
    "mismatch",
    "wrong",
    "unknown",
    "out-of-bounds",
    "always-on",
    "no-such-field",
    "one-of",
]
FIELDS = [
    "student_number",
    "ssn_last4",
    "activation_key",
    "username",
    "password",
    "verify_password",
    "current_password",
    "answer",
    "comment",
    "email",
    *("address1", "address2", "city", "state", "post_code", "phone", "mobile"),
    *("effective_date", "comment", "action"),
    "quiet_from",
    "quiet_to",
]
PROBLEM_CODES = sorted(
    {
        value.code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.Refusal) and value.code
    }
    | {"internal-error"}
)


def catalogue(language: str) -> dict[str, str]:
    return json.loads((CODE / "catalogues" / f"{language}.json").read_text("utf-8"))


def families() -> Iterator[str]:
    for code in PROBLEM_CODES:
        yield from (f"problem.{code}.{part}" for part in ("title", "detail", "meaning"))
        yield f"problem.{code}.detail-later"
    for code in ERROR_CODES:
        yield f"error.{code}"
        yield from (f"error.{field}.{code}" for field in FIELDS)
    for path in (CODE / "templates" / "mail").glob("*.jinja"):
        yield f"mail.{path.stem}.subject"
    yield from (f"date.weekday.{number}" for number in range(1, 8))
    for number in range(1, 13):
        yield from (f"date.month.{number}", f"date.short.month.{number}")
    yield from (f"grade.{code}" for code in ("IT", "PR", "PK", "TK", "KG", "PS", "UG"))
    yield from (f"sign-in.note.{note}" for note in ("account-created", "signed-out"))
    yield "sign-in.note.session-ended"
    notes = ("password-changed", "email-sent", "sessions-ended", "sso-linked", "sso-unlinked")
    yield from (f"account.note.{note}" for note in notes)
    yield from (f"account.mail.{state}" for state in ("bounced", "complained"))
    for state in ("disabled", "active", "reset-required"):
        yield f"mail.account-state-changed.{state}"
    yield from of_signed_in_pages()


def of_signed_in_pages() -> Iterator[str]:
    for kind in ("attendance", "grades", "behavior", "messages", "emergency"):
        yield f"preferences.kind.{kind}"
    yield from (f"preferences.channel.{channel}" for channel in ("mail", "text", "voice"))
    yield from (f"preferences.{name}" for name in ("quiet_from", "quiet_to"))
    yield from (f"household.note.{note}" for note in ("confirmed", "requested"))
    yield from (f"household.status.{state}" for state in ("pending", "approved", "denied"))
    for status in ("present", "absent", "tardy", "earlyDeparture", "partial"):
        yield f"attendance.status.{status}"
        yield f"attendance.mark.{status}"
    counts = ("absent", "tardy", "early_departure", "excused", "unexcused")
    yield from (f"attendance.total.{count}" for count in counts)
    yield from (f"grades.type.{kind}" for kind in ("gradingPeriod", "semester", "final"))
    flags = ("late", "missing", "exempt", "not-submitted", "incomplete", "in-progress")
    yield from (f"grades.flag.{flag}" for flag in flags)
    for answer in ("returning", "not-returning", "corrections"):
        yield from (f"enrollment.said.{answer}", f"enrollment.answer.{answer}")
    yield from (f"attendance.excuse.{excuse}" for excuse in ("excused", "unexcused"))
    for section in ("today", "schedule", "attendance", "grades"):
        yield f"student.section.{section}"
    yield from (f"schedule.{part}" for part in ("later", "over"))
    for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"):
        yield f"schedule.day.{day}"


def spelled_out() -> set[str]:
    found = set()
    for path in CODE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        found |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    for path in (CODE / "templates").rglob("*.*"):
        found |= set(re.findall(r"""["']([\w.-]+)["']""", path.read_text("utf-8")))
    return found


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_no_key_stands_twice_in_a_file(language):
    def once(pairs):
        keys = [key for key, _ in pairs]
        assert len(set(keys)) == len(keys), sorted({k for k in keys if keys.count(k) > 1})
        return dict(pairs)

    text = (CODE / "catalogues" / f"{language}.json").read_text("utf-8")
    json.loads(text, object_pairs_hook=once)


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_keys(language):
    assert set(ENGLISH) == set(catalogue(language))


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_has_the_same_placeholders_in_every_language(language):
    differing = []
    for key, sentence in catalogue(language).items():
        theirs, ours = texts.placeholders(sentence), texts.placeholders(ENGLISH[key])
        fits = theirs <= ours if key.startswith(FREE_TO_LEAVE_OUT) else theirs == ours
        if not fits:
            differing.append(key)
    assert differing == []


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_brace_belongs_to_a_placeholder(language):
    rest = {key: re.sub(r"\{[a-z_0-9]+\}", "", text) for key, text in catalogue(language).items()}
    assert [key for key, text in rest.items() if "{" in text or "}" in text] == []


def test_every_sentence_is_used_somewhere():
    assert set() == set(ENGLISH) - spelled_out() - set(families())


def test_every_sentence_that_a_template_asks_for_is_there():
    asked = set()
    for path in (CODE / "templates").rglob("*.*"):
        text = path.read_text("utf-8")
        asked |= set(re.findall(r"""\bt\(["']([\w.-]+)["'][,)]""", text))
    assert asked
    assert set() == asked - set(ENGLISH)


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_left_untranslated(language):
    same = {key for key, sentence in catalogue(language).items() if sentence == ENGLISH[key]}
    assert SAME_ON_PURPOSE.get(language, set()) == same


@pytest.mark.parametrize("language", texts.LANGUAGES)
@pytest.mark.parametrize("code", PROBLEM_CODES)
def test_every_problem_code_has_words(language, code):
    title, detail = texts.problem(language, code, time="SOON")
    assert title
    assert detail
    assert "{" not in title + detail
    assert texts.problem_meaning(language, code)


@pytest.mark.parametrize("code", ["too-many-tries", "locked-out"])
@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_what_waits_says_until_when_if_that_is_known(language, code):
    assert "SOON" in texts.problem(language, code, time="SOON")[1]
    assert "{" not in texts.problem(language, code)[1]


@pytest.mark.parametrize("code", ["sign-in-failed", "sign-in-required"])
def test_who_may_not_in_reads_the_guides_words(code):
    expected = "No security authorization. Please log in."
    assert expected == texts.problem("en", code)[1]


def test_a_code_that_nobody_uses_means_nothing():
    assert texts.problem_meaning("en", "no-such-code") is None


@pytest.mark.parametrize("language", texts.LANGUAGES)
@pytest.mark.parametrize("field", [*FIELDS, "some_other_field"])
@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_field_at_fault_gets_a_whole_sentence(language, field, code):
    parameters = {"least": 6, "most": 128, "bounds": "1–180"}
    for given in (parameters, ()):
        said = texts.field_error(language, field, code, given)
        assert re.fullmatch(r"[^{}]+\.", said), said


def test_a_field_error_names_the_bound():
    assert "at least 9 characters" in texts.field_error(
        "en", "password", "too-short", (("least", 9),)
    )
