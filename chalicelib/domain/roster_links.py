"""Who is a student, who a guardian, who is linked to whom, with which rights, in which household.

The rules are the contract's section 3: `relationships.csv` where there is one, else agentSourcedIds
in both directions; a `false` anywhere wins; a set without relationships after one with them opens
nothing.
"""

import json
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from chalicelib import crypto
from chalicelib.domain.oneroster_people import made_pair_id

RELATIONSHIPS, AGENTS = "relationships", "agents"
STUDENT_ROLE = "student"
# These have portal access by their role; a relative has it only where the roster says so.
_ADMITTED = ("parent", "guardian")
# What SDS v2.1 may say in relationshipRole of an adult who is no parent and no guardian.
_NEVER_ADMITTED = ("relative", "doctor", "aide")
GUARDIAN_ROLES = (*_ADMITTED, "relative")
# The sourcedId of a relationship that was made of agentSourcedIds; no GUID holds a `#`.
_FROM_AGENTS = "agents#"

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Person:
    """What of a user decides links: roles, rights and where they live."""

    student: bool
    guardian: str | None
    enabled: bool
    portal_access: bool | None
    relationship: str | None
    agents: tuple[str, ...]
    household: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class Relation:
    """A link as the roster says it; `access` is the outcome of every rule."""

    relationship: str | None
    access: bool
    lives_with: bool | None = None
    primary_contact: bool | None = None
    emergency_contact: bool | None = None
    contact_order: int | None = None


# --- people -----------------------------------------------------------------------


def read_people(
    state: sqlite3.Connection, today: date, *, schema: str = "main"
) -> dict[str, Person]:
    """Return every user of a state by sourcedId."""
    roles = _roles(state, today, schema)
    found = state.execute(f"SELECT id, data FROM {schema}.users")  # noqa: S608
    return {
        sourced_id: _person(json.loads(data), roles.get(sourced_id)) for sourced_id, data in found
    }


def _roles(state: sqlite3.Connection, today: date, schema: str) -> dict[str, set[str]]:
    """Return the roles in force today by user, as OneRoster 1.2 has them (end dates exclusive)."""
    day, roles = today.isoformat(), dict[str, set[str]]()
    for user, data in state.execute(f"SELECT key, data FROM {schema}.roles"):  # noqa: S608
        row = json.loads(data)
        if row.get("beginDate", "") <= day and not ("endDate" in row and row["endDate"] <= day):
            roles.setdefault(user, set()).add(row["role"])
    return roles


def _person(user: Mapping[str, object], roles: set[str] | None) -> Person:
    # A row of 1.1 carries its role itself.
    held = {str(user["role"])} if user.get("role") else roles or set()
    agents = user.get("agentSourcedIds")
    household = user.get("metadata.householdId")
    relationship = user.get("metadata.relationship")
    return Person(
        student=STUDENT_ROLE in held,
        guardian=next((role for role in GUARDIAN_ROLES if role in held), None),
        enabled=flag(user.get("enabledUser")) is not False,
        portal_access=flag(user.get("metadata.portalAccess")),
        relationship=str(relationship) if relationship else None,
        agents=tuple(agents) if isinstance(agents, list) else (),
        household=str(household) if household else None,
        address=_address_key(user),
    )


def _address_key(user: Mapping[str, object]) -> str | None:
    """Return a postal address for comparing, None where there is no street."""
    if not user.get("metadata.address1"):
        return None
    parts = ("address1", "address2", "city", "state", "postCode")
    text = " ".join(str(user.get(f"metadata.{part}") or "") for part in parts)
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())


def flag(value: object) -> bool | None:
    """Return a boolean cell, None where it is blank."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


# --- links ------------------------------------------------------------------------


def begin_relationships(state: sqlite3.Connection, today: date) -> None:
    """Turn the applied links into relationships, before a delta brings the first ones.

    Rows that a delta doesn't send are unchanged, so the pairs that came from agentSourcedIds stay,
    and a later row of the same pair takes the place of the one made here (`end_made_pairs`).
    """
    people = read_people(state, today, schema="base")
    for student, guardian in _agent_pairs(people):
        row = {"studentSourcedId": student, "guardianSourcedId": guardian}
        state.execute(
            "INSERT OR REPLACE INTO base.relationships VALUES (?, ?, NULL, ?)",
            (f"{_FROM_AGENTS}{student}#{guardian}", student, json.dumps(row)),
        )


def end_made_pairs(state: sqlite3.Connection) -> None:
    """Drop relationships made of agentSourcedIds where the set's own file speaks of the pair.

    Works on the base before the set is merged into it.
    """
    for (data,) in state.execute("SELECT data FROM spool.relationships").fetchall():
        row = json.loads(data)
        made = f"{_FROM_AGENTS}{row.get('studentSourcedId')}#{row.get('guardianSourcedId')}"
        state.execute("DELETE FROM base.relationships WHERE id = ?", (made,))


def end_pairs(state: sqlite3.Connection) -> None:
    """Have a deletion reach the rows of its pair where only one of the two has a sourcedId.

    A line without one is known by its two people: who takes a relationship away by naming them must
    not leave it standing under the id that it came with, nor the other way round.
    """
    pairs = state.execute(
        "SELECT n.id, b.id, b.key, json_extract(b.data, '$.guardianSourcedId') "
        "FROM spool.relationships n JOIN base.relationships b "
        "ON b.key = json_extract(n.data, '$.studentSourcedId') "
        "AND json_extract(b.data, '$.guardianSourcedId') "
        "= json_extract(n.data, '$.guardianSourcedId') "
        "WHERE NOT n.active AND b.id NOT IN (SELECT id FROM spool.relationships)"
    ).fetchall()
    for ending, stored, student, guardian in pairs:
        if made_pair_id(student, guardian) in (ending, stored):
            state.execute(
                "INSERT INTO spool.relationships SELECT ?, key, modified, active, data "
                "FROM spool.relationships WHERE id = ?",
                (stored, ending),
            )
            state.execute(
                "DELETE FROM spool.relationships WHERE id = ? "
                "AND id NOT IN (SELECT id FROM base.relationships)",
                (ending,),
            )


def links(
    state: sqlite3.Connection, people: Mapping[str, Person], *, source: str, frozen: bool
) -> dict[Pair, Relation]:
    """Return every link as (student, guardian) with what it allows.

    Args:
        state: the new state, its base attached.
        people: the new state's users.
        source: `relationships` or `agents`.
        frozen: a delta without relationships after a set with them: no link is made and none gains
            access; what a user's own row takes away is taken all the same.
    """
    if source == RELATIONSHIPS:
        found = _by_relationships(state, people)
    else:
        found = {pair: _by_role(pair, people) for pair in _agent_pairs(people)}
    return _frozen(state, found) if frozen else found


def _agent_pairs(people: Mapping[str, Person]) -> Iterator[Pair]:
    """Yield (student, guardian) of agentSourcedIds on either side, each pair once or twice.

    Which of the two carries the other differs between systems (roster-format section 1.4).
    """
    for sourced_id, person in people.items():
        for agent in person.agents:
            other = people.get(agent)
            if other is None or agent == sourced_id:
                continue
            if person.student and other.guardian:
                yield sourced_id, agent
            if person.guardian and other.student:
                yield agent, sourced_id


def _by_role(pair: Pair, people: Mapping[str, Person]) -> Relation:
    student, guardian = people[pair[0]], people[pair[1]]
    return Relation(
        relationship=guardian.relationship or guardian.guardian,
        access=_access(student, guardian, said=None, legal=None),
    )


def _by_relationships(
    state: sqlite3.Connection, people: Mapping[str, Person]
) -> dict[Pair, Relation]:
    found: dict[Pair, Relation] = {}
    denied: set[Pair] = set()
    for (data,) in state.execute("SELECT data FROM main.relationships ORDER BY id"):
        row = json.loads(data)
        pair = (row["studentSourcedId"], row["guardianSourcedId"])
        student, guardian = people.get(pair[0]), people.get(pair[1])
        if student is None or guardian is None or not student.student:
            continue
        said, legal = flag(row.get("portalAccess")), _legal(row)
        if said is False:
            denied.add(pair)
        before = found.get(pair)
        access = _access(student, guardian, said=said, legal=legal)
        order = row.get("contactOrder")
        found[pair] = Relation(
            relationship=row.get("relationship") or guardian.relationship or guardian.guardian,
            # Two rows of one pair: a `false` of either wins, else one that admits is enough.
            access=pair not in denied and (access or (before is not None and before.access)),
            lives_with=flag(row.get("livesWith")),
            primary_contact=flag(row.get("primaryContact")),
            emergency_contact=flag(row.get("emergencyContact")),
            contact_order=int(str(order)) if str(order or "").isdigit() else None,
        )
    return found


def _legal(row: Mapping[str, object]) -> bool | None:
    """Whether a relationship's row says that this adult is the child's guardian."""
    if row.get("relationship") in _NEVER_ADMITTED:
        return False
    return flag(row.get("guardian"))


def _access(student: Person, guardian: Person, *, said: bool | None, legal: bool | None) -> bool:
    """Whether a relationship has portal access.

    A disabled user, student or guardian, is in the roster without access. `said` is the
    relationship's own `portalAccess`, `legal` its `guardian`, which speaks for an adult whose one
    role in OneRoster 1.1 is another (a teacher who is a parent too).
    """
    if not (student.enabled and guardian.enabled):
        return False
    if False in (said, student.portal_access, guardian.portal_access):
        return False
    if said is True or guardian.portal_access is True:
        return True
    if guardian.guardian is None:
        return legal is True
    return guardian.guardian in _ADMITTED and legal is not False


def _frozen(state: sqlite3.Connection, found: Mapping[Pair, Relation]) -> dict[Pair, Relation]:
    kept: dict[Pair, Relation] = {}
    for (student, guardian), derived in found.items():
        relation = derived
        ids = (crypto.opaque_id("guardian", guardian), crypto.opaque_id("student", student))
        before = state.execute(
            "SELECT access FROM base.links WHERE guardian = ? AND student = ?", ids
        ).fetchone()
        if before is None:
            continue
        if relation.access and not before[0]:
            relation = _without_access(relation)
        kept[student, guardian] = relation
    return kept


def _without_access(relation: Relation) -> Relation:
    return Relation(
        relation.relationship,
        access=False,
        lives_with=relation.lives_with,
        primary_contact=relation.primary_contact,
        emergency_contact=relation.emergency_contact,
        contact_order=relation.contact_order,
    )


# --- households -------------------------------------------------------------------


def households(
    people: Mapping[str, Person], pairs: Mapping[Pair, Relation]
) -> dict[str, str | None]:
    """Return the opaque household id of every student and guardian by sourcedId.

    Where the roster names none: people who share an address and a child. A guardian without address
    is a household of their own, so that nobody else's key is shown to them; a student without one
    has none.
    """
    roots: dict[str, str] = {}

    def root(one: str) -> str:
        while (parent := roots.get(one, one)) != one:
            one = parent
        return one

    def join(one: str, other: str) -> None:
        low, high = sorted((root(one), root(other)))
        roots[high] = low

    at_home: dict[tuple[str, str], str] = {}
    for student, guardian in pairs:
        for one in (student, guardian):
            if (address := people[one].address) and not people[one].household:
                join(one, at_home.setdefault((student, address), one))
    return {
        sourced_id: _household(sourced_id, person, root) for sourced_id, person in people.items()
    }


def _household(sourced_id: str, person: Person, root: Callable[[str], str]) -> str | None:
    if person.household:
        return crypto.opaque_id("household", person.household)
    if person.address:
        return crypto.opaque_id("household-of", root(sourced_id))
    return None if person.student else crypto.opaque_id("household-of", sourced_id)
