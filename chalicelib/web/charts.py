"""Where a chart's bars, points and lines lie; the templates draw them as inline SVG.

Lengths are in the units of the drawing's view box, rounded, since each stands in the page. What a
chart shows is in the table beside it too, so that nothing depends on seeing it.
"""

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 360, 150
# What is kept free for the labels: of the scale at the start, above, and of the months below.
_SIDE, _TOP, _FOOT = 30, 10, 22
_BAR_MOST = 26
# Bars of a table of many months have a gap of a third.
_FILLED = 0.66
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_LINES = 4
# A scale of percents begins at a multiple of ten, and has at least twenty.
_TEN, _LEAST, _WHOLE = 10, 20, 100


def bars(columns: Sequence[tuple[str, Mapping[str, int]]]) -> dict[str, object] | None:
    """Return stacked bars of counts: a column a month (`YYYY-MM`), a part a kind; None for no count."""
    most = max((sum(counts.values()) for _, counts in columns), default=0)
    if not most:
        return None
    step = next((step for step in _STEPS if most <= step * _LINES), most)
    top = -(-most // step) * step
    place = (WIDTH - _SIDE) / len(columns)
    thick = min(_BAR_MOST, place * _FILLED)
    shown = []
    for number, (month, counts) in enumerate(columns):
        middle = _SIDE + place * (number + 0.5)
        parts, below = [], 0
        for kind, count in counts.items():
            if count:
                upper, lower = _height(below + count, 0, top), _height(below, 0, top)
                parts.append({"kind": kind, "y": upper, "height": round(lower - upper, 1)})
                below += count
        left = round(middle - thick / 2, 1)
        shown.append({"month": month, "x": round(middle, 1), "left": left, "parts": parts})
    return {
        **_frame([(str(value), _height(value, 0, top)) for value in range(0, top + 1, step)]),
        "thick": round(thick, 1),
        "columns": shown,
    }


def line(points: Sequence[tuple[str, float]]) -> dict[str, object] | None:
    """Return a line of percents, a point a month (`YYYY-MM`); None for no point."""
    if not points:
        return None
    values = [value for _, value in points]
    bottom = max(0, int(min(values) // _TEN) * _TEN)
    top = max(_WHOLE, -int(-max(values) // _TEN) * _TEN)
    bottom = min(bottom, top - _LEAST)
    step = next(step for step in (5, 10, 20, 50, 100, 200, 500, top) if top - bottom <= step * 5)
    place = (WIDTH - _SIDE) / len(points)
    shown = [
        {
            "month": month,
            "x": round(_SIDE + place * (number + 0.5), 1),
            "y": _height(max(value, bottom), bottom, top),
        }
        for number, (month, value) in enumerate(points)
    ]
    ticks = [(str(value), _height(value, bottom, top)) for value in range(bottom, top + 1, step)]
    return {
        **_frame(ticks),
        "points": shown,
        "path": " ".join(f"{one['x']},{one['y']}" for one in shown),
    }


def _frame(ticks: Sequence[tuple[str, float]]) -> dict[str, object]:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "side": _SIDE,
        "foot": HEIGHT - 6,
        "ticks": [{"label": label, "y": y} for label, y in ticks],
    }


def _height(value: float, bottom: float, top: float) -> float:
    """Return how far from the drawing's upper edge a value lies."""
    free = HEIGHT - _TOP - _FOOT
    return round(_TOP + free * (1 - (value - bottom) / (top - bottom)), 1)
