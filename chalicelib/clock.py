"""What time it is: asked once at each face and handed down.

On stage `local`, and on no other, the seconds in `.local/clock` are added, so that a tester can live
through another hour or day (contract section 8).
"""

from datetime import UTC, datetime, timedelta

from chalicelib import settings


def now() -> datetime:
    """Return the instant, in UTC, to the second: finer than any rule is."""
    return (datetime.now(UTC) + _ahead()).replace(microsecond=0)


def _ahead() -> timedelta:
    path = settings.clock_file()
    if path is None:
        return timedelta()
    try:
        return timedelta(seconds=float(path.read_text()))
    except (OSError, ValueError, OverflowError):
        return timedelta()
