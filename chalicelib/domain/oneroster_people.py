"""What only several rows together tell: ids and numbers used twice, who is whose, made-up ids."""

import zipfile
from array import array
from collections.abc import Iterator, Mapping, Sequence

from chalicelib import crypto
from chalicelib.domain.oneroster_cells import is_student_number
from chalicelib.domain.oneroster_faults import BadRow, Fault, fault
from chalicelib.domain.oneroster_headers import Layout
from chalicelib.domain.oneroster_lines import Lines
from chalicelib.domain.oneroster_tables import DELETED, RELATIONSHIPS, ROLES, USERS

_GUARDIAN_ROLES = frozenset(("guardian", "parent", "relative"))


def made_id(layout: Layout, cells: Sequence[str], *names: str) -> str:
    """Return an id made of the named cells, the same whenever they are; nothing of blank ones."""
    parts = []
    for name in names:
        at = layout.index(name)
        parts.append(cells[at].strip() if at is not None else "")
    return _id_of(layout.table.file, *parts) if any(parts) else ""


def made_pair_id(student: str, guardian: str) -> str:
    """Return the id that a relationship without one is given."""
    return _id_of(RELATIONSHIPS, student, guardian)


def _id_of(file: str, *parts: str) -> str:
    return crypto.opaque_id(file, "\0".join(parts))


class Hashes:
    """Finds equal hashes among millions, at eight bytes each, share by share."""

    _SHARES = 256

    def __init__(self) -> None:
        self._shares = [array("q") for _ in range(self._SHARES)]

    def add(self, hashed: int) -> None:
        """Take one hash."""
        self._shares[hashed % self._SHARES].append(hashed)

    def twice(self) -> frozenset[int]:
        """Return the hashes that were added more than once."""
        found = set()
        for share in self._shares:
            seen: set[int] = set()
            if len(set(share)) == len(share):
                continue
            for hashed in share:
                if hashed in seen:
                    found.add(hashed)
                seen.add(hashed)
        return frozenset(found)


class People:
    """Who is a student and who a guardian, whose numbers are used twice, who is linked to whom."""

    def __init__(self, layouts: Mapping[str, Layout], *, bulk: bool) -> None:
        self._layouts = layouts
        self._bulk = bulk
        self._by_agents = RELATIONSHIPS not in layouts
        # In 1.2 roles stand in a file that is read after users.csv.
        self._student_ids: set[str] = set()
        self._guardian_ids: set[str] = set()
        self._others: set[str] = set()
        self._seen: dict[str, set[int]] = {"identifier": set(), "metadata.gtid": set()}
        self._twice: dict[str, set[int]] = {"identifier": set(), "metadata.gtid": set()}
        self._emails: set[int] = set()
        self._lines: dict[str, int] = {}
        self._linked: set[str] = set()
        self._one_sided: set[int] = set()

    def survey_roles(self, opened: zipfile.ZipFile) -> None:
        """Learn from roles.csv (1.2) who is what."""
        layout = self._layouts.get(ROLES)
        if layout is None:
            return
        user, role, status = (layout.index(n) for n in ("userSourcedId", "role", "status"))
        rows = Lines(opened, layout.path, ROLES).rows()
        next(rows)
        for _, cells in rows:
            if cells is None or len(cells) != layout.width:
                continue
            if status is None or cells[status].strip() not in DELETED:
                self._assign(cells[user or 0].strip(), cells[role or 0].strip())

    def survey_user(self, layout: Layout, sourced_id: str, cells: Sequence[str]) -> None:
        """Note a user's role (1.1) and numbers before the rows are judged."""
        role, status = layout.index("role"), layout.index("status")
        if status is not None and cells[status].strip() in DELETED:
            return
        if role is not None:
            self._assign(sourced_id, cells[role].strip())
        for name, seen in self._seen.items():
            at = layout.index(name)
            number = cells[at].strip() if at is not None else ""
            if not number or (name == "identifier" and sourced_id not in self._student_ids):
                continue
            hashed = hash(number)
            if hashed in seen:
                self._twice[name].add(hashed)
            seen.add(hashed)

    def _assign(self, sourced_id: str, role: str) -> None:
        if role == "student":
            self._student_ids.add(sourced_id)
        elif role in _GUARDIAN_ROLES:
            self._guardian_ids.add(sourced_id)
        else:
            self._others.add(sourced_id)

    def judge_user(
        self, sourced_id: str, values: Mapping[str, object]
    ) -> Iterator[tuple[str, str, bool]]:
        """Yield code, column and whether it costs the row, for what is wrong with a user."""
        student = self._is_student(sourced_id, values)
        for name, code in (("identifier", "user.identifier"), ("metadata.gtid", "user.gtid")):
            number = values[name]
            twice = isinstance(number, str) and hash(number) in self._twice[name]
            if twice and (student or name != "identifier"):
                yield f"{code}.duplicate", name, True
        if student:
            number = values["identifier"]
            if number is None:
                yield "user.identifier.missing", "identifier", False
            elif not is_student_number(str(number)):
                yield "user.identifier.format", "identifier", True
        if sourced_id in self._guardian_ids:
            yield from self._judge_contact(values)

    def _is_student(self, sourced_id: str, values: Mapping[str, object]) -> bool:
        """Whether a user is a student; a 1.2 delta may bring users without their roles."""
        if sourced_id in self._student_ids:
            return True
        told = sourced_id in self._guardian_ids or sourced_id in self._others
        return not told and bool(values["metadata.gtid"] or values["metadata.ssnLast4"])

    def _judge_contact(self, values: Mapping[str, object]) -> Iterator[tuple[str, str, bool]]:
        email = values["email"]
        if isinstance(email, str):
            hashed = hash(email.casefold())
            if hashed in self._emails:
                yield "user.email.shared", "email", False
            self._emails.add(hashed)
        elif not values["phone"] and not values["sms"]:
            yield "user.no-contact", "email", False

    def add_user(self, line: int, sourced_id: str, values: Mapping[str, object]) -> None:
        """Note a good user's links."""
        if not self._bulk:
            return
        student = sourced_id in self._student_ids
        if student:
            self._lines[sourced_id] = line
        agents = values["agentSourcedIds"]
        if not self._by_agents or not isinstance(agents, list):
            return
        for agent in agents:
            pair = hash(tuple(sorted((sourced_id, str(agent)))))
            self._one_sided.symmetric_difference_update((pair,))
            self._linked.add(sourced_id if student else str(agent))

    def judge_relationship(self, values: Mapping[str, object]) -> None:
        """Refuse a link whose ends are mixed up: the wrong way round it opens another's record.

        Raises:
            BadRow: the student's end is known to be no student, or both ends are one.
        """
        student, guardian = str(values["studentSourcedId"]), str(values["guardianSourcedId"])
        if student == guardian:
            raise BadRow("relationship.self", "guardianSourcedId")
        if student not in self._student_ids and (
            student in self._guardian_ids or student in self._others
        ):
            raise BadRow("relationship.student", "studentSourcedId")
        self._linked.add(student)

    def unlinked(self) -> Iterator[Fault]:
        """Yield a warning for each student of a bulk set whom nobody is linked to."""
        for sourced_id, line in self._lines.items():
            if sourced_id not in self._linked:
                yield fault(
                    "warning", "link.no-guardian", file=USERS, line=line, sourced_id=sourced_id
                )
        if self._one_sided:
            found = fault("warning", "link.one-sided", file=USERS, column="agentSourcedIds")
            yield Fault(
                found.severity, found.code, found.file, None, found.column,
                message=found.message, count=len(self._one_sided),
            )  # fmt: skip
