"""What a set says of itself: manifest.csv against the files that are there."""

import re
import zipfile
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from chalicelib.domain import zip_guard
from chalicelib.domain.oneroster_faults import Fault, SetRejected, Severity, fault
from chalicelib.domain.oneroster_lines import Lines, stop_at_full_ssn
from chalicelib.domain.oneroster_tables import (
    IGNORED,
    MANIFEST,
    ORDER,
    ROSTERING,
    SIDE_FILES,
    TABLES,
    Mode,
    Version,
)

FILE_NAME = re.compile(r"[A-Za-z0-9 ._-]{1,64}", re.ASCII)
_MANIFEST_ROWS_MOST = 200
_MODES: Mapping[str, Mode] = {"bulk": "bulk", "delta": "delta"}


@dataclass(frozen=True)
class Manifest:
    """The manifest: each file's mode as said, and the line that says it."""

    version: Version
    modes: Mapping[str, str]
    lines: Mapping[str, int]


def read_manifest(opened: zipfile.ZipFile, path: str, found: list[Fault]) -> Manifest:
    """Read manifest.csv; what is odd and can be lived with goes to `found`.

    Raises:
        SetRejected: it can't be read, or names no version of ours.
    """
    lines = Lines(opened, path, MANIFEST)
    properties: dict[str, str] = {}
    line_of: dict[str, int] = {}
    for line, cells in lines.rows():
        row = [cell.strip() for cell in cells or ()]
        stop_at_full_ssn(MANIFEST, line, row, ssn_columns=(), odd=lines.odd)
        if line == 1:
            if row[:2] != ["propertyName", "value"]:
                raise SetRejected(fault("error", "manifest.malformed", file=MANIFEST, line=1))
            continue
        if not any(row):
            continue
        if len(row) < 2 or any(row[2:]) or len(properties) >= _MANIFEST_ROWS_MOST:  # noqa: PLR2004
            raise SetRejected(fault("error", "manifest.malformed", file=MANIFEST, line=line))
        if row[0] in properties:
            raise SetRejected(fault("error", "manifest.duplicate", file=MANIFEST, line=line))
        properties[row[0]] = row[1]
        line_of[row[0]] = line
    version = properties.get("oneroster.version")
    if version not in ("1.1", "1.2"):
        line_or_none = line_of.get("oneroster.version")
        raise SetRejected(fault("error", "manifest.version", file=MANIFEST, line=line_or_none))
    if properties.get("manifest.version") != "1.0":
        said_at = line_of.get("manifest.version")
        found.append(fault("warning", "manifest.manifest-version", file=MANIFEST, line=said_at))
    modes = {f"{k.removeprefix('file.')}.csv": v for k, v in properties.items() if k[:5] == "file."}
    said = {f"{k.removeprefix('file.')}.csv": n for k, n in line_of.items() if k[:5] == "file."}
    return Manifest("1.1" if version == "1.1" else "1.2", modes, said)


def judge_manifest(
    manifest: Manifest, by_name: Mapping[str, zip_guard.Entry], found: list[Fault]
) -> tuple[dict[str, Mode], Mode]:
    """Say which files are read and how; what contradicts itself goes to `found` as an error."""
    tables = TABLES[manifest.version]
    modes: dict[str, Mode] = {}
    for name in (name for name in ORDER if name in tables and name not in SIDE_FILES):
        mode = _mode_of(name, manifest, present=name in by_name, found=found)
        if mode is not None:
            modes[name] = mode
    rostering = [modes[name] for name in ROSTERING[manifest.version] if name in modes]
    overall: Mode = "bulk" if "bulk" in rostering and "delta" not in rostering else "delta"
    for name in SIDE_FILES:
        mode = _side_mode(name, manifest, overall, present=name in by_name, found=found)
        if mode is not None:
            modes[name] = mode
    if overall == "bulk":
        found.extend(
            fault("error", "file.missing", file=name)
            for name in ROSTERING[manifest.version]
            if name not in modes and name not in by_name and not _said_missing(found, name)
        )
    known = {*tables, *IGNORED, MANIFEST}
    found.extend(wrong_case(by_name, known))
    for name in sorted(set(by_name) - set(modes) - set(tables) - {MANIFEST}):
        code = "file.ignored" if name in IGNORED else "file.unknown"
        if name.casefold() not in {each.casefold() for each in known} or name in IGNORED:
            shown = name if FILE_NAME.fullmatch(name) else ""
            found.append(fault("warning", code, file=shown))
    return {name: modes[name] for name in ORDER if name in modes}, overall


def _said_missing(found: Sequence[Fault], name: str) -> bool:
    return any(each.code == "file.missing" and each.file == name for each in found)


def _mode_of(name: str, manifest: Manifest, *, present: bool, found: list[Fault]) -> Mode | None:
    said, line = manifest.modes.get(name), manifest.lines.get(name)
    if said is None:
        severity: Severity = "error" if present else "warning"
        found.append(fault(severity, "manifest.row-missing", file=name))
        return None
    if said == "absent":
        if present:
            found.append(fault("error", "manifest.contradiction", file=name, line=None))
        return None
    mode = _MODES.get(said)
    if mode is not None and present:
        return mode
    if mode is not None:
        found.append(fault("error", "file.missing", file=name))
        return None
    found.append(fault("error", "manifest.mode", file=MANIFEST, line=line, column="value"))
    return None


def _side_mode(
    name: str, manifest: Manifest, overall: Mode, *, present: bool, found: list[Fault]
) -> Mode | None:
    """Return a side file's mode: the manifest need not name it, but what it says must hold."""
    if name in manifest.modes:
        return _mode_of(name, manifest, present=present, found=found)
    return overall if present else None


def wrong_case(names: Mapping[str, object], known: Container[str]) -> list[Fault]:
    """Warn of files whose names are wrong in nothing but case."""
    expected = {MANIFEST, *TABLES["1.1"], *TABLES["1.2"], *IGNORED}
    by_folded = {name.casefold(): name for name in expected if name in known}
    return [
        fault("warning", "file.case", file=name, hint=f"Call it {by_folded[name.casefold()]}.")
        for name in names
        if name.casefold() in by_folded and name not in expected
    ]
