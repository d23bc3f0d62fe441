"""A student's grades as an action: classes with posted grades, and assignments page by page."""

from chalicelib.domain import grades
from chalicelib.domain.grades import ClassGrades, Grades
from chalicelib.storage.school_records import Assignment, PostedGrade
from chalicelib.web import charts, students
from chalicelib.web.call import Call
from chalicelib.web.http import Answer
from chalicelib.web.links import same_page

_MONTHS_MOST = 12
_WHOLE = 100


def student_grades(call: Call) -> Answer:
    """Posted grades of every class and the newest assignments; older ones by `before`."""
    class_id, before = call.query.get("class"), call.query.get("before")
    seen = grades.grades(
        call.cookie("session"),
        call.path_parameters["id"],
        class_id=class_id,
        before=before,
        now=call.now,
    )
    body = {
        "student_id": seen.child.summary.student_id,
        "classes": [_class(one) for one in seen.classes],
        "next": seen.following,
    }
    return students.page_of(
        call,
        seen.child,
        body,
        page="student-grades",
        data=_shown(seen, class_id, before),
        section="grades",
    )


def _class(one: ClassGrades) -> dict[str, object]:
    return {
        "id": one.id,
        "title": one.title,
        "term": one.term,
        "posted": [_posted(posted) for posted in one.posted],
        "assignments": [_assignment(work) for work in one.assignments],
        "category_averages": [
            {"category": of.category, "weight": of.weight, "average": of.average}
            for of in one.category_averages
        ],
    }


def _posted(one: PostedGrade) -> dict[str, object]:
    return {
        "grading_period": one.grading_period,
        "type": one.type,
        "grade": one.grade,
        "score": one.score,
    }


def _assignment(one: Assignment) -> dict[str, object]:
    return {
        "id": one.id,
        "title": one.title,
        "category": one.category,
        "assigned": one.assigned,
        "due": one.due,
        "score": one.score,
        "max_score": one.max_score,
        "flags": list(one.flags),
        "comment": one.comment,
    }


# --- for a browser ------------------------------------------------------------


def _shown(seen: Grades, class_id: str | None, before: str | None) -> dict[str, object]:
    """Return what the page shows: classes of now in full, those of earlier years as ways to them."""
    full = [one for one in seen.classes if one.enrolled or one.assignments or class_id]
    months = grades.months(full, most=_MONTHS_MOST)
    return {
        "classes": [_shown_class(one) for one in full],
        "others": [
            {"title": one.title, "term": one.term, "href": same_page("grades", class_=one.id)}
            for one in seen.classes
            if one not in full
        ],
        "filtered": class_id is not None,
        "chart": charts.line([(one.month, one.average) for one in months]),
        "months": [
            {"month": one.month, "average": one.average, "count": one.count}
            for one in reversed(months)
        ],
        "older": same_page("grades", class_=class_id, before=seen.following)
        if seen.following
        else None,
        "newest": same_page("grades", class_=class_id) if before else None,
        "all_href": same_page("grades"),
    }


def _shown_class(one: ClassGrades) -> dict[str, object]:
    return {
        **_class(one),
        "href": same_page("grades", class_=one.id),
        "posted": [_shown_posted(posted) for posted in one.posted],
        "assignments": [_shown_assignment(work) for work in one.assignments],
    }


def _shown_posted(one: PostedGrade) -> dict[str, object]:
    said = one.grading_period is not None and one.type == "gradingPeriod"
    return {**_posted(one), "kind": None if said else one.type}


def _shown_assignment(one: Assignment) -> dict[str, object]:
    percent = None
    if one.score is not None and one.max_score is not None and one.max_score > 0:
        percent = round(_WHOLE * one.score / one.max_score, 1)
    # A letter alone is no score, and yet what the school gave.
    return {**_assignment(one), "grade": one.grade, "percent": percent}
