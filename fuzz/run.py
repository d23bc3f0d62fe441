"""Tries what nobody wrote a test for: Schemathesis reads /openapi.json and calls the local stack.

    python -m fuzz.run [ST ARGUMENTS…]

Starts a stack of its own, makes accounts, keys and mailed links, and hands them to `fuzz/hooks.py`,
which runs inside Schemathesis (in an environment of its own, see the Makefile). Fails unless
Schemathesis found nothing, sent `LEAST_CASES` cases, and every operation succeeded at least once.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import local
from local import LocalStack

HERE = Path(__file__).parent
SCHEMATHESIS = HERE.parent / ".venv-fuzz" / "bin" / "st"
PORT = 4599
SEED = "20261125"
LEAST_CASES = 2000
PASSWORD = "blue42horses"  # noqa: S105 - of made-up families
# Each has an account of its own, since one that changes its password, say, ends others' sessions.
ROLES = ("reader", "password", "email", "ender", "signer", "reset", "confirm", "stranger")
# Keys that are left for Schemathesis to use up.
SPARE_KEYS = 4
# These go to an identity provider, which the stack has none of (tests/portal/test_sso.py).
NEED_A_PROVIDER = ("GET /sso", "GET /sso/callback", "POST /account/sso", "POST /account/sso/unlink")
ADULTS = ("parent", "guardian")
MAIL_SECONDS = 60


class FuzzError(Exception):
    """The families couldn't be made ready; the message says why."""


def post(
    stack: LocalStack, path: str, fields: Mapping[str, str], session: str | None = None
) -> list[tuple[str, str]]:
    """Post fields that have to be taken; return the answer's headers.

    Raises:
        FuzzError: they aren't.
    """
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if session:
        headers["Cookie"] = f"session={session}"
    status, answered, body = stack.request("POST", path, json.dumps(fields), headers)
    if status >= 300:  # noqa: PLR2004 - no success
        raise FuzzError(f"{path} answered {status}: {body.decode()}")
    return answered


def session(stack: LocalStack, username: str) -> str:
    """Sign in; return the session's token."""
    headers = post(stack, "/sign-in", {"username": username, "password": PASSWORD})
    jar = SimpleCookie("; ".join(value for name, value in headers if name.lower() == "set-cookie"))
    return jar["session"].value


def addresses(stack: LocalStack) -> Iterator[str]:
    """Yield the guardians' addresses of the sample district."""
    with zipfile.ZipFile(stack.folder / "sample.zip") as roster:
        rows = csv.DictReader(io.StringIO(roster.read("users.csv").decode("utf-8-sig")))
        yield from sorted({row["email"] for row in rows if row["role"] in ADULTS} - {""})


def activation_keys(stack: LocalStack) -> Iterator[tuple[str, str]]:
    """Yield guardians' addresses, each with a key."""
    for address in addresses(stack):
        found = stack.invoke("find_guardian", {"email": address})["guardians"]
        if len(found) == 1 and found[0]["account"] is None:
            event = {"guardian_id": found[0]["guardian_id"], "deliver": "return"}
            yield address, stack.invoke("issue_activation_key", event)["activation_key"]


def token(stack: LocalStack, page: str, recipient: str) -> str:
    """Return the token of the newest mailed link to a page.

    Raises:
        FuzzError: no mail comes.
    """
    deadline = time.monotonic() + MAIL_SECONDS
    while time.monotonic() < deadline:
        for mail in reversed(stack.mails()):
            found = re.search(rf"/{page}\?token=([A-Za-z0-9_-]+)", mail["BodyText"])
            if found and recipient in mail["To"]:
                return found[1]
        time.sleep(0.2)
    raise FuzzError(f"No mail with a link to {page}.")


def make_ready(stack: LocalStack) -> dict[str, Any]:
    """Make accounts, sessions, keys and links; return what `hooks.py` feeds."""
    keys = activation_keys(stack)
    usernames, recipients = {}, {}
    for role in ROLES:
        recipients[role], key = next(keys)
        usernames[role] = f"{role}1"
        fields = {"activation_key": key, "username": usernames[role]}
        passwords = {"password": PASSWORD, "verify_password": PASSWORD}
        post(stack, "/create-account", fields | passwords)
    sessions = {role: session(stack, usernames[role]) for role in ROLES}
    post(stack, "/forgot-password", {"username": usernames["reset"]})
    asked = {"current_password": PASSWORD, "email": "confirmed@example.net"}
    post(stack, "/account/email", asked, sessions["confirm"])
    headers = {"Accept": "application/json", "Cookie": f"session={sessions['reader']}"}
    students = json.loads(stack.request("GET", "/students", headers=headers)[2])
    page = stack.request("GET", "/sign-in")[2].decode()
    return {
        "password": PASSWORD,
        "usernames": usernames,
        "sessions": sessions,
        "sign_outs": [session(stack, usernames["signer"]) for _ in range(3)],
        "keys": [next(keys)[1] for _ in range(SPARE_KEYS)],
        "students": [student["id"] for student in students],
        "numbers": [student["student_number"] for student in students],
        "assets": re.findall(r'static/([^"]+\.js)"', page),
        "reset": token(stack, "reset-password", recipients["reset"]),
        "confirm": token(stack, "confirm-email", "confirmed@example.net"),
        "not_me": token(stack, "not-me", recipients["stranger"]),
    }


def report(cases: Path) -> bool:
    """Print how often each operation was tried and succeeded; return whether that is enough."""
    tried: Counter[str] = Counter()
    succeeded: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    for line in cases.read_text("utf-8").splitlines():
        operation, status = json.loads(line)
        tried[operation] += 1
        statuses[status] += 1
        succeeded[operation] += 200 <= status < 300  # noqa: PLR2004 - a success
    for operation in sorted(tried):
        print(f"{operation:32}{tried[operation]:6} cases{succeeded[operation]:6} succeeded")
    print(f"{tried.total()} cases; " + ", ".join(f"{s}: {n}" for s, n in sorted(statuses.items())))
    never = [one for one in tried if not succeeded[one] and one not in NEED_A_PROVIDER]
    if never:
        print("Never succeeded: " + ", ".join(sorted(never)))
    return not never and tried.total() >= LEAST_CASES


def main() -> int:
    """Run Schemathesis on a stack of its own; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(PORT, Path(folder))
        with local.running(stack):
            local.load_district(stack, None)
            fed, cases = stack.folder / "fed.json", stack.folder / "cases"
            fed.write_text(json.dumps(make_ready(stack)), "utf-8")
            document = stack.folder / "openapi.json"
            document.write_bytes(stack.request("GET", "/openapi.json")[2])
            ran = subprocess.run(
                [
                    SCHEMATHESIS,
                    *("--config-file", HERE / "schemathesis.toml"),
                    *("run", document, "--url", f"http://127.0.0.1:{PORT}"),
                    *("--header", f"Host: {local.HOST}:{PORT}"),
                    *("--seed", SEED, "--generation-database", "none", *sys.argv[1:]),
                ],
                # It leaves notes where it runs, and finds the hooks by their module's name.
                cwd=stack.folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(HERE),
                    "FUZZ_FED": str(fed),
                    "FUZZ_CASES": str(cases),
                },
                check=False,
            )
            enough = report(cases)
    return ran.returncode or int(not enough)


if __name__ == "__main__":
    sys.exit(main())
