"""A district of 50,000 students on the local stack: whole, again, and a delta of ten rows.

`make scale` runs it (10 to 20 minutes on two cores); it isn't part of `make test`. What it measures
is printed, and kept in docs/scale.md.
"""

import json
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import local
import sample_district
from chalicelib import crypto
from local import LocalStack
from tests.aws_stage import ROOT
from tests.e2e import journeys

pytestmark = [pytest.mark.e2e, pytest.mark.scale]

STUDENTS, SEED = 50_000, 1
# Two assignments a class and no posted grades: 300,000 results. The embedded AWS holds every item
# in memory, about 2 KB each.
HOW: dict[str, Any] = {
    "assignments_per_class": 2,
    "attendance_per_student": 2,
    "posted_grades": False,
}
# Families all over the district are looked at: scanning the embedded AWS's table takes for ever.
SAMPLES = range(0, 28_000, 700)


@dataclass
class Watch:
    """Looks at the memory of the stack's processes; keeps the most that each kind took."""

    stack: LocalStack
    most: dict[str, int] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.wait(0.5):
            listed = subprocess.run(
                ["ps", "-eww", "-o", "pid=,ppid=,rss=,args="],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()
            assert self.stack.process is not None
            mine = self.stack.process.pid
            for pid, parent, kilobytes, command in (line.split(None, 3) for line in listed):
                if int(pid) == mine:
                    self._note("embedded AWS", int(kilobytes))
                elif int(parent) == mine and "continue_import" in command:
                    self._note("continue_import", int(kilobytes))

    def _note(self, name: str, kilobytes: int) -> None:
        self.most[name] = max(self.most.get(name, 0), kilobytes // 1024)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalStack, Watch]]:
    """A stage of this module's own, watched."""
    with journeys.fresh_stack(tmp_path_factory.mktemp("scale")) as started:
        watch = Watch(started)
        thread = threading.Thread(target=watch.run)
        thread.start()
        try:
            yield started, watch
        finally:
            watch.ended.set()
            thread.join()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """The district as a zip, and the rows of each file."""
    path = tmp_path_factory.mktemp("sets") / "whole.zip"
    began = time.monotonic()
    today = datetime.now(UTC).date()
    rows = sample_district.write_district(path, students=STUDENTS, seed=SEED, today=today, **HOW)
    say(f"written: {sum(rows.values()):,} rows, {path.stat().st_size >> 20} MB zipped", began)
    return path, rows


@pytest.fixture(scope="module")
def imported(stage: Any, whole: Any) -> dict[str, Any]:
    """The report of the first import."""
    return timed(stage, whole[0], "whole")


def timed(stage: Any, path: Path, name: str) -> dict[str, Any]:
    stack, watch = stage
    watch.most.clear()
    began = time.monotonic()
    report = local.load_roster(stack, path, name)
    memory = ", ".join(f"{who} {most:,} MB" for who, most in sorted(watch.most.items()))
    say(f"import {name}: {report['status']}; at most {memory}", began)
    assert watch.most["continue_import"] < memory_on_aws()
    return report


def memory_on_aws() -> int:
    """Return the megabytes that `continue_import` has where memory is enforced."""
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    return int(config["lambda_functions"]["continue_import"]["lambda_memory_size"])


def say(what: str, began: float) -> None:
    """Print a measurement; `make scale` has pytest show it."""
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(  # noqa: T201 - a person waits for it
        f"\n[scale] {what}; {time.monotonic() - began:.0f} s (test {mine} MB)",
        flush=True,
    )


def chunks_of_last(stack: LocalStack) -> int:
    """Return in how many chunks the import applied last was written; 0 means nothing was."""
    dynamodb = stack.client("dynamodb")
    key = {"pk": {"S": "imports"}, "sk": {"S": "applied"}}
    applied = dynamodb.get_item(TableName=journeys.ROSTER_TABLE, Key=key)["Item"]
    key = {"pk": {"S": f"import#{applied['import_id']['S']}"}, "sk": {"S": "state"}}
    return int(dynamodb.get_item(TableName=journeys.ROSTER_TABLE, Key=key)["Item"]["chunks"]["N"])


def partition(stack: LocalStack, kind: str, sourced_id: str) -> dict[str, Any]:
    """Return a student's or guardian's items by sort key."""
    found = stack.client("dynamodb").query(
        TableName=journeys.ROSTER_TABLE,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"{kind}#{crypto.opaque_id(kind, sourced_id)}"}},
    )
    return {item["sk"]["S"]: item for item in found["Items"]}


def sampled(stack: LocalStack) -> list[dict[str, Any]]:
    """Return the partitions of the sampled families' first child and first guardian."""
    kinds = (("student", "S"), ("guardian", "G"))
    return [partition(stack, kind, f"{c}{n:06}-1") for kind, c in kinds for n in SAMPLES]


def test_the_whole_district_is_imported(stage, whole, imported):
    assert imported["status"] == "applied", imported
    rows = whole[1]
    for file, counts in imported["files"].items():
        known = rows[file]
        # Present is counted, not stored.
        stored = counts["added"] + (counts["unchanged"] if file == "attendance.csv" else 0)
        assert (stored, counts["bad"]) == (known, 0), file
    found = stage[0].client("dynamodb").describe_table(TableName=journeys.ROSTER_TABLE)["Table"]
    say(f"items in the table: {found['ItemCount']:,}", time.monotonic())
    for items in sampled(stage[0])[: len(SAMPLES)]:
        assert {"profile", "summary"} <= items.keys()
        assert len([sk for sk in items if sk.startswith("class#")]) >= 5


def test_the_same_zip_again_writes_nothing(stage, whole, imported):
    before = sampled(stage[0])
    report = timed(stage, whole[0], "again")
    assert report["status"] == "applied"
    for file, counts in report["files"].items():
        assert counts["unchanged"] == whole[1][file], file
    assert chunks_of_last(stage[0]) == 0
    assert sampled(stage[0]) == before


def test_the_report_of_enrollments_names_every_student(stage, imported):
    stack = stage[0]
    began = time.monotonic()
    report = stack.invoke("enrollment_report", {})
    say("enrollment_report", began)
    assert sum(school["unanswered"] for school in report["schools"]) == STUDENTS
    rows = journeys.rows_at(report["url"])
    assert len(rows) == STUDENTS
    assert len({row["sourcedId"] for row in rows}) == STUDENTS


def test_a_delta_of_ten_rows_changes_only_its_rows(stage, imported, tmp_path):
    stack = stage[0]
    before = sampled(stack)
    moved = [f"G{n:06}-1" for n in (0, 1, 2)]
    absent = [f"S{n:06}-1" for n in (1, 2, 3, 4)]
    sample_district.write_delta(
        tmp_path / "delta.zip",
        students=STUDENTS,
        seed=SEED,
        today=datetime.now(UTC).date(),
        addresses={one: f"new{place}@example.com" for place, one in enumerate(moved)},
        absences=absent,
    )
    report = timed(stage, tmp_path / "delta.zip", "delta")
    assert report["status"] == "applied"
    changed = {file: c["added"] + c["changed"] for file, c in report["files"].items()}
    assert changed["users.csv"] == len(moved)
    assert changed["attendance.csv"] == len(absent)
    assert {file for file, count in changed.items() if count} == {"users.csv", "attendance.csv"}
    assert any(sk.startswith("attendance#") for sk in partition(stack, "student", absent[0]))
    after = sampled(stack)
    # Of the sampled families the first alone is named.
    assert [one for one, two in zip(before, after, strict=True) if one != two] == [
        before[len(SAMPLES)]
    ]
