"""The one way to write a log line: JSON, one line an event, in UTC, never with a person in it.

Callers name an event code from the list in docs/security.md and give values that are ids, codes or
counts. A secret, a digit of an SSN, an address or a name never comes here (security rows S87, S88).
"""

import json
import sys
from datetime import UTC, datetime

_context: dict[str, str] = {}


def begin(request_id: str) -> None:
    """Remember the id of the request or event that is being handled; every line carries it."""
    _context["request_id"] = request_id


def event(code: str, *, level: str = "info", **values: str | float | bool | None) -> None:
    """Write one line to stderr, which Lambda keeps in the function's log group."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "event": code,
        **_context,
        **values,
    }
    # json.dumps escapes line breaks and control characters: one event stays one line.
    print(json.dumps(line), file=sys.stderr, flush=True)
