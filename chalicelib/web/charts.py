"""Where a chart's bars, points and lines lie; the templates draw them as inline SVG.

Lengths are in the units of the drawing's view box, rounded, since each stands in the page. The drawing
holds no text: the labels are the page's, so that they keep their size on a phone. What a chart shows
is in the table beside it too, so that nothing depends on seeing it.
"""

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 260, 120
_BAR_MOST = 26
# A bar fills two thirds of its month's place.
_FILLED = 0.66
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_LINES = 4
# Of more months than that every second is named: their names have no place side by side.
_NAMED_MOST = 6
# A scale of percents ends at a hundred at least, and has at least twenty.
_LEAST, _WHOLE = 20, 100


def bars(columns: Sequence[tuple[str, Mapping[str, int]]]) -> dict[str, object] | None:
    """Return stacked bars of counts: a column a month (`YYYY-MM`), a part a kind; None for no count."""
    most = max((sum(counts.values()) for _, counts in columns), default=0)
    if not most:
        return None
    step = _step(most)
    top = -(-most // step) * step
    place = WIDTH / len(columns)
    thick = min(_BAR_MOST, place * _FILLED)
    parts = []
    for number, (_, counts) in enumerate(columns):
        left, below = round(place * (number + 0.5) - thick / 2, 1), 0
        for kind, count in counts.items():
            if count:
                upper, lower = _height(below + count, 0, top), _height(below, 0, top)
                height = round(lower - upper, 1)
                parts.append({"kind": kind, "x": left, "y": upper, "height": height})
                below += count
    months = [month for month, _ in columns]
    return {**_frame(months, range(0, top + 1, step)), "thick": round(thick, 1), "parts": parts}


def line(points: Sequence[tuple[str, float]]) -> dict[str, object] | None:
    """Return a line of percents, a point a month (`YYYY-MM`); None for no point."""
    if not points:
        return None
    values = [value for _, value in points]
    highest = max(_WHOLE, *values)
    lowest = max(0.0, min(*values, highest - _LEAST))
    step = max(_LEAST // 2, _step(highest - lowest))
    bottom, top = int(lowest // step) * step, -int(-highest // step) * step
    place = WIDTH / len(points)
    shown = [
        {"x": round(place * (number + 0.5), 1), "y": _height(max(value, bottom), bottom, top)}
        for number, value in enumerate(values)
    ]
    return {
        **_frame([month for month, _ in points], range(bottom, top + 1, step)),
        "points": shown,
        "path": " ".join(f"{one['x']},{one['y']}" for one in shown),
    }


def _step(span: float) -> int:
    """Return how far lines lie apart so that there are few of them."""
    return next((step for step in _STEPS if span <= step * _LINES), int(span))


def _frame(months: Sequence[str], scale: range) -> dict[str, object]:
    """Return what both kinds have: labels, the highest first, their lines, and months with names."""
    last = len(months) - 1
    named = 1 if len(months) <= _NAMED_MOST else 2
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "labels": [str(value) for value in reversed(scale)],
        "lines": [_height(value, scale[0], scale[-1]) for value in scale],
        "months": [
            month if (last - number) % named == 0 else None for number, month in enumerate(months)
        ],
    }


def _height(value: float, bottom: float, top: float) -> float:
    """Return how far from the drawing's upper edge a value lies."""
    return round(HEIGHT * (1 - (value - bottom) / (top - bottom)), 1)
