"""What time it is: asked once at each face and handed down.

On stage `local`, and on no other, the seconds in `.local/clock` are added, so that a tester can live
through another hour or day (contract section 8).
"""

from datetime import UTC, datetime, timedelta

from chalicelib import settings


def now() -> datetime:
    """Return the instant, in UTC, to the second: finer than any rule is."""
    return (datetime.now(UTC) + timedelta(seconds=_ahead())).replace(microsecond=0)


def _ahead() -> float:
    path = settings.clock_file()
    if path is None:
        return 0
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return 0
