"""What the README promises is there: families to try, commands, files, functions."""

import re

import pytest

import app
import local
from sample_district import families
from tests.aws_stage import ROOT

README = (ROOT / "README.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d{4}|none) \| ([^|]+) \|$", README, re.MULTILINE)


def guardians_mailed(number: str, last_four: str) -> set[str]:
    """Return the addresses that get a key for what is typed, by the district's own families."""
    return {
        guardian.email
        for family in families(students=local.SAMPLE_STUDENTS, seed=local.SAMPLE_SEED)
        for child in family.students
        if number in (child.student_number, child.gtid) and child.last_four == last_four
        for guardian in family.guardians_of(child)
        if guardian.email
    }


@pytest.mark.parametrize(("case", "number", "last_four", "mailed"), ROWS)
def test_each_family_to_try_gets_the_mails_that_it_says(case, number, last_four, mailed):
    children = {
        typed: child
        for family in families(students=local.SAMPLE_STUDENTS, seed=local.SAMPLE_SEED)
        for child in family.students
        for typed in (child.student_number, child.gtid)
    }
    assert (children[number].last_four or "none") == last_four
    expected = set() if mailed == "nobody" else set(mailed.split(", "))
    assert guardians_mailed(number, last_four) == expected


def test_there_are_families_to_try():
    assert len(ROWS) >= 10


def test_every_command_of_make_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert (
        {"run", "test"}
        <= set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
        <= targets
    )


def test_what_ci_runs_stands_in_it():
    steps = re.findall(r"^(make [a-z-]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert "make test" in steps
    assert [
        step for step in steps if f"`{step}`" not in README and f"\n{step} " not in README
    ] == []


def test_every_file_that_it_names_is_there():
    named = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(
        r"`([a-z_.]+/|[a-z_/]+\.(?:py|md))`", README
    )
    assert [name for name in named if not (ROOT / name).exists() and name != ".local/"] == []


def test_every_admin_function_stands_in_it_and_no_other():
    table = README.split("| function | event |")[1].split("\n\n")[0]
    listed = set(re.findall(r"`([a-z]+_[a-z_]+)`", table.replace("`student_number`", "")))
    listed -= {"guardian_id", "request_id", "school_id"}
    admins = {function.name for function in app.app.pure_lambda_functions}
    assert listed == admins - {"record_mail_event"}


def test_the_picture_is_small():
    assert (ROOT / "docs" / "screenshot.png").stat().st_size <= 150_000
