"""When an import waits for an admin's yes: the limits of contract section 3, each with its reason.

A bad export must not empty the portal, move everybody's mail or let barred parents in; whoever
looks at the report approves with `approve_import`.
"""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MOST_DROPPED = 0.10
MOST_BAD_ROWS = 0.05
MOST_ADDRESSES_CHANGED = 0.10
# Up to this, changed addresses, one shared address, access given or taken are everyday work.
EVERYDAY = 20


@dataclass(frozen=True)
class Hold:
    """Why an import waits: the code that is the report's `reason`, and a sentence for the clerk."""

    code: str
    message: str


@dataclass(frozen=True)
class Looked:
    """What the limits look at beside the states.

    Attributes:
        bulk: of users, their roles or their links the set has a file that is the whole truth.
        relationships_missing: links came from relationships.csv, this bulk set has none.
        bad: (rows, bad rows) by file.
        newest: the newest dateLastModified of the set, and of the applied one.
    """

    bulk: bool
    relationships_missing: bool
    bad: Mapping[str, tuple[int, int]]
    newest: tuple[str | None, str | None]


def holds(state: sqlite3.Connection, looked: Looked) -> list[Hold]:
    """Return every reason to hold the import, the weightiest first; none means go on.

    Args:
        state: the new state with its items derived, the applied one attached as `base`.
        looked: what was seen of the set.
    """
    found = [rule(state, looked) for rule in _RULES]
    return [hold for hold in found if hold is not None]


def _relationships_missing(state: sqlite3.Connection, looked: Looked) -> Hold | None:
    del state
    if not looked.relationships_missing:
        return None
    return Hold(
        "relationships-missing",
        "The links applied so far came from relationships.csv, and this set has none. Once "
        "approved, its agentSourcedIds make the links.",
    )


def _students_dropped(state: sqlite3.Connection, looked: Looked) -> Hold | None:
    return _dropped(state, looked, "student")


def _guardians_dropped(state: sqlite3.Connection, looked: Looked) -> Hold | None:
    """Judge guardians who are gone, and, where they are many, those who lose their last student.

    A relationships.csv that was cut off leaves everybody in users.csv and lets nobody in.
    """
    gone = _dropped(state, looked, "guardian")
    if gone is not None or not looked.bulk:
        return gone
    before = _count(state, "SELECT COUNT(*) FROM base.guardians")
    shut_out = _count(
        state,
        "SELECT COUNT(DISTINCT guardian) FROM base.links WHERE access AND guardian NOT IN "
        "(SELECT guardian FROM main.links WHERE access)",
    )
    if shut_out <= EVERYDAY or shut_out <= before * MOST_DROPPED:
        return None
    return Hold(
        "guardians-dropped", f"{shut_out} of {before} guardians would lose access to every student."
    )


def _dropped(state: sqlite3.Connection, looked: Looked, kind: str) -> Hold | None:
    if not looked.bulk:
        return None
    before = _count(state, f"SELECT COUNT(*) FROM base.{kind}s")  # noqa: S608
    dropped = _count(
        state,
        f"SELECT COUNT(*) FROM base.{kind}s WHERE id NOT IN (SELECT id FROM main.{kind}s)",  # noqa: S608
    )
    if dropped <= before * MOST_DROPPED:
        return None
    return Hold(f"{kind}s-dropped", f"{dropped} of {before} {kind}s are not in this set any more.")


def _bad_rows(state: sqlite3.Connection, looked: Looked) -> Hold | None:
    del state
    over = [f for f, (rows, bad) in looked.bad.items() if bad > rows * MOST_BAD_ROWS]
    if not over:
        return None
    return Hold(
        "bad-rows", f"More than 5 % of the rows can't be used in {', '.join(sorted(over))}."
    )


def _addresses_changed(state: sqlite3.Connection, looked: Looked) -> Hold | None:
    del looked
    before = _count(state, "SELECT COUNT(*) FROM base.guardians")
    changed = _count(
        state,
        "SELECT COUNT(*) FROM base.guardians b JOIN main.guardians n USING (id) "
        "WHERE b.address <> n.address",
    )
    if changed <= EVERYDAY or changed <= before * MOST_ADDRESSES_CHANGED:
        return None
    return Hold(
        "addresses-changed", f"{changed} of {before} guardians have another e-mail address."
    )


def _address_shared(state: sqlite3.Connection, looked: Looked) -> Hold | None:
    """Judge one address of many guardians, unless it was so already and an admin has seen it."""
    del looked
    shared = state.execute(
        "SELECT COUNT(*) AS many FROM main.guardians n WHERE address <> '' GROUP BY address "
        "HAVING many > ? AND many > "
        "(SELECT COUNT(*) FROM base.guardians b WHERE b.address = n.address)",
        (EVERYDAY,),
    ).fetchall()
    if not shared:
        return None
    most = max(many for (many,) in shared)
    return Hold("address-shared", f"One e-mail address is given to {most} guardians.")


def _older(state: sqlite3.Connection, looked: Looked) -> Hold | None:
    del state
    newest, applied = looked.newest
    if newest is None or applied is None or newest >= applied:
        return None
    return Hold(
        "older-than-applied", "Its newest dateLastModified is older than the applied set's."
    )


def _access_granted(state: sqlite3.Connection, looked: Looked) -> Hold | None:
    del looked
    gained = _count(
        state,
        "SELECT COUNT(DISTINCT n.guardian) FROM base.links b JOIN main.links n "
        "USING (guardian, student) WHERE NOT b.access AND n.access",
    )
    if gained <= EVERYDAY:
        return None
    return Hold("access-granted", f"{gained} guardians would get portal access that was denied.")


_RULES: tuple[Callable[[sqlite3.Connection, Looked], Hold | None], ...] = (
    _relationships_missing,
    _students_dropped,
    _guardians_dropped,
    _access_granted,
    _addresses_changed,
    _address_shared,
    _bad_rows,
    _older,
)


def _count(state: sqlite3.Connection, query: str) -> int:
    return int(state.execute(query).fetchone()[0])
