"""Tries what nobody wrote a test for: Schemathesis reads /openapi.json and calls the local stack.

    python -m fuzz.run [ST ARGUMENTS…]

Starts a stack of its own, makes accounts, keys and mailed links, and hands them to `fuzz/hooks.py`,
which runs inside Schemathesis (in an environment of its own, see the Makefile). The district has an
identity provider, which runs in this process and takes everybody for one guardian. Fails unless
Schemathesis found nothing, sent `LEAST_CASES` cases, and every operation of the document succeeded at
least once: with 2xx, or with the one answer that it has (`LEADS_ON`).
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import local
from local import LocalStack
from tests.identity_provider import CLIENT, IdentityProvider

HERE = Path(__file__).parent
SCHEMATHESIS = HERE.parent / ".venv-fuzz" / "bin" / "st"
PORT = 4599
SEED = "20261125"
LEAST_CASES = 2000
PASSWORD = "blue42horses"  # noqa: S105 - of made-up families
# Each has an account of its own, since one that changes its password, say, ends others' sessions.
ROLES = (
    *("reader", "password", "email", "ender", "signer", "reset", "confirm", "stranger"),
    *("linked", "linker", "unlinker"),
)
# Keys that are left for Schemathesis to use up.
SPARE_KEYS = 8
# What succeeds by sending everybody on, clients too: it has no 2xx.
LEADS_ON = {"GET /sso": 303}
ADULTS = ("parent", "guardian")
MAIL_SECONDS = 60


class FuzzError(Exception):
    """The families couldn't be made ready; the message says why."""


def post(
    stack: LocalStack, path: str, fields: Mapping[str, str], session: str | None = None
) -> tuple[list[tuple[str, str]], bytes]:
    """Post fields that have to be taken; return the answer's headers and body.

    Raises:
        FuzzError: they aren't.
    """
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if session:
        headers["Cookie"] = f"session={session}"
    status, answered, body = stack.request("POST", path, json.dumps(fields), headers)
    if status >= 300:  # noqa: PLR2004 - no success
        raise FuzzError(f"{path} answered {status}: {body.decode()}")
    return answered, body


def cookie(headers: Iterable[tuple[str, str]], name: str) -> str:
    """Return a cookie that an answer sets."""
    jar = SimpleCookie("; ".join(value for key, value in headers if key.lower() == "set-cookie"))
    return jar[name].value


def session(stack: LocalStack, username: str) -> str:
    """Sign in; return the session's token."""
    headers, _ = post(stack, "/sign-in", {"username": username, "password": PASSWORD})
    return cookie(headers, "session")


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
            issued = stack.invoke("issue_activation_key", event)
            # Some of the sample's guardians may see no student, so they get none.
            if "activation_key" in issued:
                yield address, issued["activation_key"]


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


@contextmanager
def single_sign_on(stack: LocalStack) -> Iterator[IdentityProvider]:
    """Give the district an identity provider, at whose page everybody is signed in already.

    Functions keep preferences for a while, so this comes before their first request.
    """
    provider = IdentityProvider().start()

    def send_back(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", provider.sign_in(provider.issuer + request.path))
        request.send_header("Content-Length", "0")
        request.end_headers()

    provider.respond["/authorize"] = send_back
    stack.invoke("set_preferences", {"sso_issuer": provider.issuer, "sso_client_id": CLIENT})
    try:
        yield provider
    finally:
        provider.stop()


def link(stack: LocalStack, provider: IdentityProvider, session: str) -> None:
    """Link the account of a session to the provider's guardian.

    Raises:
        FuzzError: that fails.
    """
    answered, said = post(stack, "/account/sso", {"current_password": PASSWORD}, session)
    back = provider.sign_in(json.loads(said)["location"])
    cookies = f"session={session}; sso={cookie(answered, 'sso')}"
    headers = {"Accept": "application/json", "Cookie": cookies}
    status, _, said = stack.request("GET", back, headers=headers)
    if status != 200:  # noqa: PLR2004 - linked
        raise FuzzError(f"Linking answered {status}: {said.decode()}")


def queries(student: str, ask: Callable[[str], Any]) -> dict[str, list[dict[str, str]]]:
    """Return queries of a student's pages that choose what there is, the plain page first."""
    attendance, grades = f"/students/{student}/attendance", f"/students/{student}/grades"
    events, found = ask(attendance)["events"], ask(grades)
    of_attendance: list[dict[str, str]] = [{}]
    of_attendance += [{"month": one["date"][:7]} for one in events[:1]]
    of_attendance += [{"class": one["class_id"]} for one in events if one["class_id"]][:1]
    of_grades: list[dict[str, str]] = [{}]
    of_grades += [{"class": one["id"]} for one in found["classes"][:1]]
    if found["next"]:
        of_grades.append({"before": found["next"]})
    return {"/students/{id}/attendance": of_attendance, "/students/{id}/grades": of_grades}


def make_ready(stack: LocalStack, provider: IdentityProvider) -> dict[str, Any]:
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
    link(stack, provider, sessions["linked"])
    headers = {"Accept": "application/json", "Cookie": f"session={sessions['reader']}"}

    def ask(path: str) -> Any:
        return json.loads(stack.request("GET", path, headers=headers)[2])

    students = ask("/students")
    page = stack.request("GET", "/sign-in")[2].decode()
    return {
        "portal": f"http://127.0.0.1:{PORT}",
        "host": f"{local.HOST}:{PORT}",
        "password": PASSWORD,
        "usernames": usernames,
        "sessions": sessions,
        "sign_outs": [session(stack, usernames["signer"]) for _ in range(3)],
        "keys": [next(keys)[1] for _ in range(SPARE_KEYS)],
        "students": [student["id"] for student in students],
        "queries": queries(students[0]["id"], ask),
        "numbers": [student["student_number"] for student in students],
        "assets": re.findall(r'static/([^"]+\.js)"', page),
        "reset": token(stack, "reset-password", recipients["reset"]),
        "confirm": token(stack, "confirm-email", "confirmed@example.net"),
        "not_me": token(stack, "not-me", recipients["stranger"]),
    }


def operations(document: Mapping[str, Any]) -> AbstractSet[str]:
    """Return what the document describes, as `GET /sign-in`."""
    methods = {"get", "post", "put", "patch", "delete", "head", "options", "trace"}
    return {
        f"{method.upper()} {path}"
        for path, of_path in document["paths"].items()
        for method in of_path
        if method in methods
    }


def report(cases: Path, described: AbstractSet[str]) -> bool:
    """Print how often each operation was tried and succeeded; return whether that is enough."""
    tried: Counter[str] = Counter()
    succeeded: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    for line in cases.read_text("utf-8").splitlines():
        operation, status = json.loads(line)
        tried[operation] += 1
        statuses[status] += 1
        good = range(200, 300) if operation not in LEADS_ON else (LEADS_ON[operation],)
        succeeded[operation] += status in good
    for operation in sorted(described):
        as_what = LEADS_ON.get(operation, "2xx")
        print(f"{operation:32}{tried[operation]:6} cases{succeeded[operation]:6} {as_what}")
    print(f"{tried.total()} cases; " + ", ".join(f"{s}: {n}" for s, n in sorted(statuses.items())))
    never = sorted(one for one in described if not succeeded[one])
    print(f"{len(described)} operations, {len(described) - len(never)} succeeded")
    if never:
        print("Never succeeded: " + ", ".join(never))
    return not never and tried.total() >= LEAST_CASES


def main() -> int:
    """Run Schemathesis on a stack of its own; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(PORT, Path(folder))
        with local.running(stack), single_sign_on(stack) as provider:
            local.load_district(stack, None)
            fed, cases = stack.folder / "fed.json", stack.folder / "cases"
            fed.write_text(json.dumps(make_ready(stack, provider)), "utf-8")
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
            enough = report(cases, operations(json.loads(document.read_bytes())))
    return ran.returncode or int(not enough)


if __name__ == "__main__":
    sys.exit(main())
