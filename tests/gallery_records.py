"""What the gallery shows of attendance and grades: made by the code that makes the pages."""

from typing import Any

from chalicelib.web import charts

STATUSES = ("absent", "tardy", "earlyDeparture", "partial")
_COUNTS = (
    ("2026-08", (1, 0, 0, 0)),
    ("2026-09", (2, 3, 1, 0)),
    ("2026-10", (0, 0, 0, 0)),
    ("2026-11", (3, 2, 0, 1)),
)


def attendance(text: str = "Doctor’s appointment", title: str = "Mathematics 5") -> dict[str, Any]:
    """Return the page of a year with events; `text` and `title` are the roster's."""
    days: dict[int, list[str]] = {3: ["tardy"], 9: ["absent"], 16: ["absent", "partial"]}
    listed = [range(start, start + 7) for start in (1, 8, 15, 22, 29)]
    return {
        "totals": {"absent": 6, "tardy": 5, "early_departure": 1, "excused": 7, "unexcused": 5},
        "year": "2026–2027",
        "years": [
            {"title": "2026–2027", "href": "attendance?school_year=2027", "current": True},
            {"title": "2025–2026", "href": "attendance?school_year=2026", "current": False},
        ],
        "filtered": False,
        "class_title": None,
        "all_href": "attendance?school_year=2027",
        "classes": [
            {"title": title, "href": "attendance?school_year=2027&class=m5", "current": False},
            {"title": "Science", "href": "attendance?school_year=2027&class=sc", "current": False},
        ],
        "kinds": list(STATUSES),
        "chart": charts.bars(
            [(month, dict(zip(STATUSES, counts, strict=True))) for month, counts in _COUNTS]
        ),
        "months": [
            {
                "month": month,
                "counts": list(counts),
                "href": f"attendance?month={month}#month" if any(counts) else None,
                "current": month == "2026-11",
            }
            for month, counts in reversed(_COUNTS)
        ],
        "month": {
            "month": "2026-11",
            "weeks": [
                [{"day": day if day <= 30 else 0, "kinds": days.get(day, ())} for day in week]
                for week in listed
            ],
            "noted": [
                {
                    "date": "2026-11-16",
                    "status": "absent",
                    "excuse": "unexcused",
                    "reason": None,
                    "minutes": None,
                    "places": [
                        {"class": title, "period": "1"},
                        {"class": "Science", "period": "4"},
                        {"class": None, "period": "6"},
                    ],
                },
                {
                    "date": "2026-11-16",
                    "status": "partial",
                    "excuse": None,
                    "reason": text,
                    "minutes": 95,
                    "places": [],
                },
                {
                    "date": "2026-11-09",
                    "status": "absent",
                    "excuse": "excused",
                    "reason": text,
                    "minutes": None,
                    "places": [],
                },
                {
                    "date": "2026-11-03",
                    "status": "tardy",
                    "excuse": "unknown",
                    "reason": None,
                    "minutes": 12,
                    "places": [{"class": title, "period": None}],
                },
            ],
        },
    }


NO_ATTENDANCE: dict[str, Any] = {
    **attendance(),
    "totals": dict.fromkeys(("absent", "tardy", "early_departure", "excused", "unexcused"), 0),
    "years": attendance()["years"][:1],
    "classes": [],
    "chart": None,
    "months": [],
    "month": None,
}


def work(title: str, score: float | None, most: float | None, **more: Any) -> dict[str, Any]:
    """Return an assignment."""
    plain = {
        "id": title,
        "title": title,
        "category": "Quizzes",
        "assigned": "2026-11-12",
        "due": "2026-11-19",
        "score": score,
        "max_score": most,
        "flags": [],
        "comment": None,
        "grade": None,
        "percent": round(100 * score / most, 1) if score is not None and most else None,
    }
    return {**plain, **more}


def grades(text: str = "Well explained.", title: str = "Mathematics 5") -> dict[str, Any]:
    """Return the page of grades; `text` and `title` are the roster's."""
    months = (
        ("2026-08", 78.5, 4),
        ("2026-09", 84.0, 9),
        ("2026-10", 81.2, 11),
        ("2026-11", 92.7, 6),
    )
    return {
        "classes": [
            {
                "id": "m5",
                "title": title,
                "term": "Fall 2026",
                "href": "grades?class=m5",
                "posted": [
                    {"grading_period": "Q1", "kind": None, "grade": "B+", "score": 88.0},
                    {"grading_period": "Fall", "kind": "semester", "grade": None, "score": 91.0},
                    {"grading_period": None, "kind": "final", "grade": "A", "score": None},
                ],
                "category_averages": [
                    {"category": "Quizzes", "weight": 40.0, "average": 91.5},
                    {"category": "Projects", "weight": 60.0, "average": None},
                ],
                "assignments": [
                    work("Fractions quiz", 18.0, 20.0, comment=text),
                    work("Decimals: extra credit", 22.0, 20.0),
                    work("Problem set 9", None, 20.0, flags=["missing", "late"]),
                    work("Problem set 8", None, 20.0, flags=["exempt"]),
                    work("Project plan", None, None, grade="B+", category=None, due=None),
                    work("Group work", 87.5, None, flags=["in-progress"]),
                ],
            },
            {
                "id": "mu",
                "title": "Music",
                "term": None,
                "href": "grades?class=mu",
                "posted": [],
                "category_averages": [],
                "assignments": [],
            },
        ],
        "others": [{"title": "Mathematics 4", "term": "Spring 2026", "href": "grades?class=m4"}],
        "filtered": False,
        "chart": charts.line([(month, average) for month, average, _ in months]),
        "months": [
            {"month": month, "average": average, "count": count}
            for month, average, count in reversed(months)
        ],
        "older": None,
        "newest": None,
        "all_href": "grades",
    }


NO_GRADES: dict[str, Any] = {**grades(), "classes": [], "others": [], "chart": None, "months": []}
