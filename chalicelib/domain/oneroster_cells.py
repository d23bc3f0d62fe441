"""From a cell's text to a value: one function for each kind of column, chosen once a file.

A reader takes a cell that isn't blank, without blanks at its ends, and returns its value; it raises
`Odd` for everything else.
"""

import functools
import re
from collections.abc import Callable
from datetime import UTC, date, datetime

from chalicelib.domain.oneroster_tables import Column

CellReader = Callable[[str], object]

GUID = re.compile(r"[0-9A-Za-z._/@-]{1,255}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# 0001-01-01 is what .NET exports for no date; nothing of a school is older than this.
_FIRST_DATE = "1900-01-01"
_DATETIME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})", re.ASCII
)
# A double has up to 17 digits, and databases export a half as .5.
_FLOAT = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{0,20})?|\.\d{1,20})", re.ASCII)
_INTEGER = re.compile(r"\d{1,9}", re.ASCII)
_YEAR = re.compile(r"(?:19|20|21)\d{2}", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?", re.ASCII)
_EXTENSION = re.compile(r"ext:[0-9A-Za-z._-]{1,80}", re.ASCII)
# One address and no list of them; whether it exists, only a mail can tell.
_EMAIL = re.compile(
    r"[^\s@,;:<>()\[\]\\\"]{1,64}@[^\s@,;:<>()\[\]\\\"_.][^\s@,;:<>()\[\]\\\"_]*"
    r"\.[^\s@,;:<>()\[\]\\\"_.]+"
)
_EMAIL_MOST = 254
# Georgia Board of Education rule 160-5-1-.07: ten digits, none three times running, no zero at
# either end.
_GTID = re.compile(r"\d{10}", re.ASCII)
_GTID_PATTERN = re.compile(r"(?!.*(\d)\1\1)[1-9]\d{8}[1-9]", re.ASCII)
_STUDENT_NUMBER = re.compile(r"\d{1,20}", re.ASCII)
_LAST4 = re.compile(r"\d{4}", re.ASCII)
_STATE = re.compile(r"[A-Za-z]{2}", re.ASCII)
_POST_CODE = re.compile(r"\d{5}(?:[- ]?\d{4})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
_DAYS = frozenset("MTWRFSU")


class Odd(Exception):
    """A cell that isn't what its column wants.

    Attributes:
        code: the fault's code.
        value: what it is taken for where that is possible.
        usable: whether `value` counts; then the fault is a warning.
        missing: of a reference, the id that wasn't found.
    """

    def __init__(
        self, code: str, value: object = None, *, usable: bool = False, missing: str = ""
    ) -> None:
        super().__init__(code)
        self.missing = missing
        self.code = code
        self.value = value
        self.usable = usable


def reader_for(column: Column, *, extensible: bool, ref: CellReader | None = None) -> CellReader:
    """Return the function that reads a column's cells.

    Takes whether `ext:` tokens count (since 1.2), and for columns that refer to another file the
    function that judges one reference.
    """
    if column.kind == "enum":
        return _enum(column, extensible=extensible and column.extensible)
    if column.kind == "text":
        return functools.partial(_text, column.most)
    if column.kind == "ref":
        assert ref is not None
        return ref
    if column.kind == "refs":
        assert ref is not None
        return _refs(ref, required=column.required)
    return _BY_KIND[column.kind]


def canonical_time(cell: str) -> str:
    """Return a dateLastModified in UTC as YYYY-MM-DDTHH:MM:SS.sssZ, so that texts compare as times.

    Raises:
        Odd: it isn't one; a bare date counts as its midnight.
    """
    if _DATETIME.fullmatch(cell):
        try:
            moment = datetime.fromisoformat(cell).astimezone(UTC)
        except (ValueError, OverflowError):
            raise Odd("cell.datetime") from None
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    if _DATE.fullmatch(cell):
        raise Odd("cell.datetime", f"{_date(cell)}T00:00:00.000Z", usable=True)
    raise Odd("cell.datetime")


def is_student_number(text: str) -> bool:
    """Whether it is 1 to 20 digits."""
    return _STUDENT_NUMBER.fullmatch(text) is not None


def _text(most: int, cell: str) -> str:
    if len(cell) > most:
        raise Odd("cell.too-long", cell[:most].rstrip(), usable=True)
    return cell


def _items(cell: str) -> list[str]:
    return [item for part in cell.split(",") if (item := part.strip())]


def _refs(ref: CellReader, *, required: bool) -> CellReader:
    """Read references; in a required column each must hold, else those that do are kept."""

    def read(cell: str) -> object:
        items = _items(cell)
        kept = []
        odd: Odd | None = None
        for item in items:
            try:
                kept.append(ref(item))
            except Odd as found:
                odd = odd or found
        if odd is not None:
            raise Odd(odd.code, kept, usable=not required, missing=odd.missing)
        return kept

    return read


def _enum(column: Column, *, extensible: bool) -> CellReader:
    values = {value: value for value in column.values}

    def read(cell: str) -> object:
        try:
            return values[cell]
        except KeyError:
            if extensible and _EXTENSION.fullmatch(cell):
                return cell
            # Where only the cell is lost, a word in the wrong case is better than none.
            same = cell.lower() if column.cost == "cell" and cell.lower() in values else None
            raise Odd("cell.enum", same, usable=same is not None) from None

    return read


def _boolean(cell: str) -> object:
    try:
        return _BOOLEANS[cell]
    except KeyError:
        value = _BOOLEANS.get(cell.lower())
        if value is None:
            raise Odd("cell.boolean") from None
        raise Odd("cell.boolean-case", value, usable=True) from None


@functools.lru_cache(maxsize=8192)
def _date(cell: str) -> str:
    if not _DATE.fullmatch(cell) or cell < _FIRST_DATE:
        raise Odd("cell.date")
    try:
        date.fromisoformat(cell)
    except ValueError:
        raise Odd("cell.date") from None
    return cell


def _year(cell: str) -> str:
    if not _YEAR.fullmatch(cell):
        raise Odd("cell.year")
    return cell


def _float(cell: str) -> float:
    if not _FLOAT.fullmatch(cell):
        raise Odd("cell.number")
    return float(cell)


def _integer(cell: str) -> int:
    if not _INTEGER.fullmatch(cell):
        raise Odd("cell.number")
    return int(cell)


def _time(cell: str) -> str:
    found = _TIME.fullmatch(cell)
    if not found or int(found[1]) > 23 or int(found[2]) > 59:  # noqa: PLR2004 - hours, minutes
        raise Odd("cell.time")
    return f"{int(found[1]):02d}:{found[2]}"


def _days(cell: str) -> list[str]:
    days = [item for item in _items(cell) if item in _DAYS]
    if len(days) != len(_items(cell)):
        raise Odd("cell.days", days, usable=True)
    return days


def _email(cell: str) -> str:
    fits = _EMAIL.fullmatch(cell) and ".." not in cell and cell.isprintable()
    if len(cell) > _EMAIL_MOST or not fits:
        raise Odd("user.email.format")
    return cell


def _last4(cell: str) -> str:
    if not _LAST4.fullmatch(cell):
        raise Odd("user.ssnLast4.format")
    if cell == "0000":
        raise Odd("user.ssnLast4.zeros", cell, usable=True)
    return cell


def _gtid(cell: str) -> str:
    if not _GTID.fullmatch(cell):
        raise Odd("user.gtid.format")
    if not _GTID_PATTERN.fullmatch(cell):
        raise Odd("user.gtid.pattern", cell, usable=True)
    return cell


def _guid(cell: str) -> str:
    if not GUID.fullmatch(cell):
        raise Odd("cell.guid")
    return cell


def _state(cell: str) -> str:
    if not _STATE.fullmatch(cell):
        raise Odd("user.state.format")
    return cell.upper()


def _post_code(cell: str) -> str:
    if not _POST_CODE.fullmatch(cell):
        raise Odd("user.postCode.format")
    return cell


_BY_KIND: dict[str, CellReader] = {
    "list": _items,
    "date": _date,
    "year": _year,
    "boolean": _boolean,
    "float": _float,
    "integer": _integer,
    "email": _email,
    "digits4": _last4,
    "gtid": _gtid,
    "guid": _guid,
    "state": _state,
    "post-code": _post_code,
    "days": _days,
    "time": _time,
}
