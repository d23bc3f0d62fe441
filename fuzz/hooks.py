"""What Schemathesis can't know: who is signed in, and keys, links and names that there are.

Runs in Schemathesis's process. Every third case of an operation that was made to fit gets what makes it
succeed; all others go as they were generated. Each case comes from an address of its own.
"""

import itertools
import json
import os
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
import schemathesis
from schemathesis import AuthContext, Case, CheckContext, HookContext, Response

FED = json.loads(Path(os.environ["FUZZ_FED"]).read_text("utf-8"))
CASES = Path(os.environ["FUZZ_CASES"])
# Whose session an operation is called with; every other one is the reader's.
WHOSE = {
    "/account/password": "password",
    "/account/email": "email",
    "/account/sessions/end": "ender",
    "/account/sso": "linker",
    "/account/sso/unlink": "unlinker",
    # Signing in ends the session that it comes with, so only links carry one (see `_way_back`).
    "/sso/callback": None,
}
PROBLEMS = ("invalid", "locked-out", "not-found")
SECONDS = 30

_places = itertools.count(1)
_turns: dict[str, "itertools.count[int]"] = defaultdict(itertools.count)
_keys, _sign_outs = iter(FED["keys"]), iter(FED["sign_outs"])
_writing = threading.Lock()


def _place() -> str:
    place = next(_places)
    return f"10.{place >> 16 & 255}.{place >> 8 & 255}.{place & 255}"


def _new_password() -> dict[str, str]:
    return {"password": FED["password"], "verify_password": FED["password"]}


def _create_account() -> dict[str, str]:
    return {
        "activation_key": next(_keys, FED["keys"][-1]),
        "username": f"fuzz{next(_places)}",
        **_new_password(),
    }


def _household() -> dict[str, str]:
    # A household has five open requests at most; any number of confirmations.
    if next(_turns["household"]) % 2:
        return {"action": "confirm"}
    day = datetime.now(UTC).date() + timedelta(days=7)
    wanted = {"phone": "404-555-0123", "effective_date": day.isoformat()}
    return {"action": "change", "comment": "A new number.", **wanted}


def _way_back() -> tuple[dict[str, str], dict[str, str]]:
    """Go to the identity provider, to sign in or, next time, to link; return what comes back.

    Returns:
        Query and cookies of the way back.
    """
    headers = {"Host": FED["host"], "Accept": "application/json", "X-Forwarded-For": _place()}
    method, path, body, cookies = "GET", "/sso", None, {}
    if next(_turns["way back"]) % 2:
        method, path, body = "POST", "/account/sso", {"current_password": FED["password"]}
        cookies["session"] = FED["sessions"]["linked"]
    out = requests.request(
        *(method, FED["portal"] + path),
        json=body,
        headers=headers,
        cookies=cookies,
        timeout=SECONDS,
        allow_redirects=False,
    )
    there = out.json()["location"] if body else out.headers["Location"]
    back = requests.get(there, timeout=SECONDS, allow_redirects=False).headers["Location"]
    cookies["sso"] = SimpleCookie(out.headers["Set-Cookie"])["sso"].value
    return dict(parse_qsl(urlsplit(back).query)), cookies


BODIES = {
    "/enrollment": lambda: {"student_id": FED["students"][0], "answer": "returning"},
    "/preferences": lambda: {"language": "en", "grades.mail": "true"},
    "/household": _household,
    "/activation-key": lambda: {"student_number": FED["numbers"][0], "ssn_last4": "0000"},
    "/activate": lambda: {"activation_key": FED["keys"][-1]},
    "/create-account": _create_account,
    "/sign-in": lambda: {"username": FED["usernames"]["signer"], "password": FED["password"]},
    "/forgot-username": lambda: {"email": f"somebody{next(_places)}@example.net"},
    "/forgot-password": lambda: {"username": FED["usernames"]["reset"]},
    "/reset-password": lambda: {"token": FED["reset"], **_new_password()},
    "/confirm-email": lambda: {"token": FED["confirm"]},
    "/not-me": lambda: {"token": FED["not_me"]},
    "/account/password": lambda: {"current_password": FED["password"], **_new_password()},
    "/account/email": lambda: {
        "current_password": FED["password"],
        "email": f"somebody{next(_places)}@example.net",
    },
    "/account/sessions/end": lambda: {"current_password": FED["password"]},
    "/account/sso": lambda: {"current_password": FED["password"]},
    "/account/sso/unlink": lambda: {"current_password": FED["password"]},
}
PARAMETERS = {
    "id": lambda: FED["students"][0],
    "name": lambda: FED["assets"][0],
    "code": lambda: PROBLEMS[next(_places) % len(PROBLEMS)],
}


@schemathesis.auth(refresh_interval=None)
class Session:
    """The session's cookie, for operations that name it."""

    def get(self, case: Case, _: AuthContext) -> str | None:
        """Return whose session the case is sent with."""
        path = case.operation.path
        if path == "/sign-out":
            return next(_sign_outs, None)
        if not case.operation.definition.raw.get("security"):
            return None
        whose = WHOSE.get(path, "reader")
        return whose and str(FED["sessions"][whose])

    def set(self, case: Case, data: str, _: AuthContext) -> None:
        """Put the cookie into the case."""
        case.cookies = {**(case.cookies or {}), "session": data}


@schemathesis.hook
def before_call(_: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Give the case an address, a face, and in its turn what lets it succeed."""
    kwargs["allow_redirects"] = False
    turn = next(_turns[case.operation.label])
    headers = dict(case.headers or {})
    headers["X-Forwarded-For"] = _place()
    headers["Accept"] = "text/html" if turn % 5 == 4 else "application/json"  # noqa: PLR2004
    case.headers = headers
    fits = case.meta is None or case.meta.generation.mode.is_positive
    if not fits or turn % 3:
        return
    path = case.operation.path
    if case.method.upper() == "POST" and path in BODIES:
        case.body = BODIES[path]()
    if case.path_parameters:
        case.path_parameters = {name: PARAMETERS[name]() for name in case.path_parameters}
    if path in FED["queries"]:
        queries = FED["queries"][path]
        case.query = queries[turn // 3 % len(queries)]
    if path == "/sso/callback":
        case.query, case.cookies = _way_back()


@schemathesis.check
def foreign_method_leads_nowhere(_: CheckContext, response: Response, case: Case) -> None:
    """Hold what stands in for `unsupported_method` (see schemathesis.toml).

    The gateway refuses by itself: on AWS with our 404, on the local stack with a 403 of its own.
    """
    method = str(response.request.method)
    # Listed, since looking a method up by `in` raises an error of Schemathesis's own.
    if method.lower() not in list(case.operation.schema[case.operation.path]):
        assert response.status_code in {403, 404}, f"{method} answered {response.status_code}"
        assert "set-cookie" not in response.headers, method


@schemathesis.hook
def after_call(_: HookContext, case: Case, response: Response) -> None:
    """Note the case and what it was answered."""
    label = f"{case.operation.method.upper()} {case.operation.path}"
    with _writing, CASES.open("a", encoding="utf-8") as noted:
        noted.write(json.dumps([label, response.status_code]) + "\n")
