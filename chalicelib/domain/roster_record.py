"""A student's `record`: one item with what pages of attendance and grades show whatever part is open.

Posted grades and averages of every class, how scores went by month, and the school years to choose
from. Made by the import, so that a page reads one item for what would take every grade there is.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.domain import school_years
from chalicelib.domain.school_years import SchoolYear

Data = dict[str, Any]
# What of an assignment is an item of its own.
ASSIGNMENT = (
    *("id", "class_id", "class", "title", "category", "assigned", "due", "score", "max_score"),
    *("grade", "flags", "comment", "date"),
)
_POSTED_ORDER = ("gradingPeriod", "semester", "final")
_NOT_COUNTED = {"exempt", "not-submitted"}


def assignments(grades: Iterable[Data]) -> list[Data]:
    """Return the results that are no posted grade, as their items hold them."""
    return [{name: one[name] for name in ASSIGNMENT} for one in grades if not one["grade_type"]]


def record(
    grades: Sequence[Data], days: Iterable[str], years: Sequence[SchoolYear], today: str
) -> Data:
    """Return the record of a student.

    Args:
        grades: all results of the student, the oldest first.
        days: the days of the student's attendance events.
        years: the school years known, the oldest first.
        today: the district's day, whose school year can be chosen in any case.
    """
    by_class: dict[str, list[Data]] = {}
    for one in grades:
        by_class.setdefault(one["class_id"], []).append(one)
    with_events = {school_years.year_of(years, day) for day in set(days)}
    shown = with_events | {school_years.year_of(years, today)}
    return {
        "school_years": [
            {
                "name": year.name,
                "start": year.start,
                "end": year.end,
                "events": year in with_events,
            }
            for year in sorted(shown, key=lambda year: year.start, reverse=True)
        ],
        "classes": [
            _class(class_id, by_class[class_id])
            for class_id in sorted(by_class, key=lambda one: (by_class[one][0]["class"], one))
        ],
    }


def _class(class_id: str, grades: Sequence[Data]) -> Data:
    work = [one for one in grades if not one["grade_type"]]
    return {
        "id": class_id,
        "title": grades[0]["class"],
        "term": grades[0]["term"],
        "posted": [
            {
                "grading_period": one["grading_period"],
                "type": one["grade_type"],
                "grade": one["grade"],
                "score": one["score"],
            }
            for one in sorted((g for g in grades if g["grade_type"]), key=_posted_place)
        ],
        "category_averages": _averages(work),
        "months": _months(work),
    }


def _posted_place(one: Data) -> tuple[str, int]:
    return one["date"], _POSTED_ORDER.index(one["grade_type"])


def _averages(work: Sequence[Data]) -> list[Data]:
    """Return the average of each category that has a weight, in percent: points got of points possible.

    What has no score, is exempt or wasn't handed in counts neither way; extra credit counts, so an
    average may be over 100. A category without a weight has no average: how much it counts is not
    ours to say.
    """
    weights = {one["category"]: one["category_weight"] for one in work}
    found = []
    for category, weight in sorted(weights.items(), key=lambda pair: str(pair[0])):
        if category is None or weight is None:
            continue
        counted = [one for one in work if one["category"] == category and _counts(one)]
        possible = sum(one["max_score"] for one in counted)
        got = sum(one["score"] for one in counted)
        average = round(100 * got / possible, 1) if possible else None
        found.append({"category": category, "weight": weight, "average": average})
    return found


def _months(work: Sequence[Data]) -> list[Data]:
    """Return for each month with scores the mean of their percents, and how many there were."""
    percents: dict[str, list[float]] = {}
    for one in work:
        if _counts(one):
            percent = 100 * one["score"] / one["max_score"]
            percents.setdefault(one["date"][:7], []).append(percent)
    return [
        {"month": month, "average": round(sum(all_) / len(all_), 1), "count": len(all_)}
        for month, all_ in sorted(percents.items())
    ]


def _counts(one: Data) -> bool:
    scored = one["score"] is not None and bool(one["max_score"]) and one["max_score"] > 0
    return scored and not _NOT_COUNTED.intersection(one["flags"])
