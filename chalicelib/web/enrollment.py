"""Enrollment verification as an action: who answered for each child, and a form for each."""

from collections.abc import Mapping

from chalicelib import errors, texts
from chalicelib.domain import enrollment, family, repeats
from chalicelib.domain.family import Home
from chalicelib.web.call import Call
from chalicelib.web.forms import required, session_shown
from chalicelib.web.http import Answer, form, iso


def _again(call: Call, _: errors.Refusal) -> tuple[str, Mapping[str, object]]:
    """Show the page again, with what was typed in the form of the child it was about."""
    seen = family.home(call.cookie("session"), now=call.now)
    student_id = call.fields.get("student_id")
    refused = student_id if isinstance(student_id, str) else None
    return "enrollment", {**_data(call, seen), "refused_form": refused}


@form(_again)
def enrollment_page(call: Call) -> Answer:
    """Say for each child whether they come back in the coming school year."""
    seen = family.home(call.cookie("session"), now=call.now)
    call = call.speaking(seen.language)
    if call.method == "POST":
        seen = _answered(call, seen)
    return Answer(
        _body(call, seen),
        page=None if call.method == "POST" else "enrollment",
        data=_data(call, seen),
        location="enrollment?done" if call.method == "POST" else None,
        language=seen.language,
        signed_in=True,
    )


def _answered(call: Call, seen: Home) -> Home:
    """Store one answer, once however often it is posted; whose child it is comes before all else."""
    student_id = required(call, "student_id")["student_id"]
    enrollment.refuse_others_students(seen, student_id)
    said, comment = call.texts("answer", "comment")
    asked = {"student_id": student_id, "answer": said, "comment": comment}
    return repeats.once(
        "enrollment",
        call.form_id,
        {**asked, "account": seen.account.account_id},
        first=lambda: enrollment.answer(
            seen, student_id, said, comment, request_id=call.request_id, now=call.now
        ),
        again=lambda: enrollment.again(seen, student_id),
        now=call.now,
    )


def _body(call: Call, seen: Home) -> dict[str, object]:
    answers = enrollment.shown(seen)
    return {
        "school_year": seen.coming_year.name,
        "students": [
            _entry(call, child.summary.student_id, answers.get(child.summary.student_id))
            for child in seen.children
        ],
    }


def _entry(call: Call, student_id: str, shown: enrollment.Shown | None) -> dict[str, object]:
    """Return a child's entry; who answered isn't named to the other household."""
    another = texts.say(call.language, "enrollment.another")
    return {
        "student_id": student_id,
        "answer": shown.answer if shown else None,
        "answered_at": iso(shown.answered_at) if shown else None,
        "answered_by": (shown.answered_by or another) if shown else None,
    }


def _data(call: Call, seen: Home) -> dict[str, object]:
    answers = enrollment.shown(seen)
    return {
        "year": seen.coming_year.words,
        "begins": seen.coming_year.begins,
        "most": enrollment.MOST_COMMENT,
        "done": "done" in call.query,
        "students": [
            {
                "id": child.summary.student_id,
                "given_name": child.summary.given_name,
                "family_name": child.summary.family_name,
                "grade": child.summary.grade,
                "school": child.summary.school,
                "answered": _answer_data(answers.get(child.summary.student_id)),
            }
            for child in seen.children
        ],
        "session": session_shown(call, seen.session),
        "signed_in": True,
    }


def _answer_data(shown: enrollment.Shown | None) -> dict[str, object] | None:
    if shown is None:
        return None
    return {
        "answer": shown.answer,
        "at": iso(shown.answered_at),
        "by": shown.answered_by,
        "own": shown.own,
        "comment": shown.comment,
    }
