"""Enrollment verification: whether a child comes back in the coming school year, as a guardian says.

Every guardian of a child may answer and change the answer until the year begins; the last one counts
and each sees it. To a guardian of another household it shows neither who answered nor the comment
(security row S68): only that another guardian did, what, and when.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time

from chalicelib import errors
from chalicelib.domain.family import Home
from chalicelib.domain.household import key_of
from chalicelib.errors import FieldError
from chalicelib.storage import enrollment
from chalicelib.storage.enrollment import EnrollmentAnswer

RETURNING, NOT_RETURNING, CORRECTIONS = "returning", "not-returning", "corrections"
ANSWERS = (RETURNING, NOT_RETURNING, CORRECTIONS)
MOST_COMMENT = 1000
_LINES = "\n\t"


@dataclass(frozen=True)
class Shown:
    """An answer as one guardian sees it.

    Attributes:
        answered_by: the name of who answered; None for a guardian of another household.
        comment: None too for a guardian of another household.
    """

    answer: str
    answered_at: datetime
    answered_by: str | None
    own: bool
    comment: str | None


def shown(seen: Home) -> Mapping[str, Shown]:
    """Return the answers to the coming year's verification as this guardian sees them, by student."""
    return {student_id: _shown(seen, answer) for student_id, answer in seen.answers.items()}


def _shown(seen: Home, answer: EnrollmentAnswer) -> Shown:
    own = answer.guardian_id == seen.session.guardian_id
    known = own or (seen.guardian is not None and key_of(seen.guardian) == answer.household)
    return Shown(
        answer=answer.answer,
        answered_at=datetime.fromtimestamp(answer.answered_at, UTC),
        answered_by=answer.guardian if known else None,
        own=own,
        comment=answer.comment if known else None,
    )


def unanswered(seen: Home) -> list[str]:
    """Return the given names of the children for whom nobody has answered yet."""
    return [
        child.summary.given_name
        for child in seen.children
        if child.summary.student_id not in seen.answers
    ]


def refuse_others_students(seen: Home, student_id: str) -> None:
    """Refuse a student who isn't this guardian's, as one who isn't there (security row S66).

    Raises:
        NotFound: not a child of this guardian.
    """
    if student_id not in {child.summary.student_id for child in seen.children}:
        raise errors.NotFound


def answer(
    seen: Home, student_id: str, said: str, comment: str, *, request_id: str, now: datetime
) -> Home:
    """Store a guardian's answer for one of their children; return the home with what now stands.

    Args:
        seen: the guardian's home, read in this request.
        student_id: one of the home's children.
        said: one of `ANSWERS`.
        comment: plain text, empty where there is none; needed for `corrections`.
        request_id: the request's, for the audit.
        now: when the answer is given; the later of two stands.

    Raises:
        NotFound: the child isn't this guardian's (any more).
        Invalid: names the fields that don't fit.
    """
    refuse_others_students(seen, student_id)
    text = comment.replace("\r\n", "\n").replace("\r", "\n").strip()
    faults = _faults(said, text)
    if faults or seen.guardian is None:
        raise errors.Invalid(errors=faults)
    given = EnrollmentAnswer(
        student_id=student_id,
        school_year=seen.coming_year.name,
        answer=said,
        comment=text or None,
        guardian_id=seen.guardian.guardian_id,
        guardian=f"{seen.guardian.given_name} {seen.guardian.family_name}".strip(),
        household=key_of(seen.guardian),
        answered_at=int(now.timestamp()),
        purge_at=int(datetime.combine(seen.coming_year.ends, time(), UTC).timestamp()),
    )
    try:
        stands = enrollment.put(given, request_id=request_id, now=now)
    except enrollment.LinkGone as gone:
        raise errors.NotFound from gone
    if stands:
        return replace(seen, answers={**seen.answers, student_id: given})
    return again(seen, student_id)


def again(seen: Home, student_id: str) -> Home:
    """Return the home with the answer that stands now for a child: another guardian's may be newer."""
    stands = enrollment.read(seen.coming_year.name, student_id)
    return seen if stands is None else replace(seen, answers={**seen.answers, student_id: stands})


def _faults(said: str, text: str) -> list[FieldError]:
    faults = []
    if not said:
        faults.append(FieldError("answer", "required"))
    elif said not in ANSWERS:
        faults.append(FieldError("answer", "unknown"))
    if any(unicodedata.category(one) == "Cc" and one not in _LINES for one in text):
        faults.append(FieldError("comment", "control-character"))
    elif len(text) > MOST_COMMENT:
        faults.append(FieldError("comment", "too-long", (("most", MOST_COMMENT),)))
    elif said == CORRECTIONS and not text:
        faults.append(FieldError("comment", "required"))
    return faults
