"""The shape of the code: imports point one way, app.py lists what there is, nothing begins at import.

import-linter (`make lint`) holds the layers; what it can't see is read here from the syntax trees.
"""

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.web import http

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "chalicelib").rglob("*.py"))
DEPLOYED = [ROOT / "app.py", *MODULES]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, wherever in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(*wanted: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in DEPLOYED
        if {name.split(".")[0] for name in imports(path)} & set(wanted)
    }


# --- app.py ---------------------------------------------------------------------


def test_every_entry_point_is_a_docstring_and_one_call() -> None:
    handlers = [node for node in tree(ROOT / "app.py").body if isinstance(node, ast.FunctionDef)]
    assert len(handlers) > 20
    for handler in handlers:
        assert len(handler.body) == 2, handler.name
        assert ast.get_docstring(handler), handler.name
        assert isinstance(handler.body[1], (ast.Return, ast.Expr)), handler.name
        assert isinstance(handler.body[1].value, ast.Call), handler.name


def test_app_imports_the_faces_and_nothing_below_them() -> None:
    ours = {name for name in imports(ROOT / "app.py") if name.startswith("chalicelib")}
    web = {f"web.{path.stem}" for path in (ROOT / "chalicelib" / "web").glob("[a-z]*.py")}
    # What several faces use.
    web -= {"web.call", "web.charts", "web.forms", "web.links"}
    faces = {"admin", "settings", "web", "workers", *web}
    assert ours - {"chalicelib"} == {f"chalicelib.{name}" for name in faces}


def test_nothing_imports_app() -> None:
    assert not [path for path in MODULES if "app" in set(imports(path))]


def test_app_defines_handlers_and_the_app_only() -> None:
    kinds = {type(node) for node in tree(ROOT / "app.py").body}
    assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.FunctionDef}
    assigned = [node for node in tree(ROOT / "app.py").body if isinstance(node, ast.Assign)]
    assert [ast.unparse(node) for node in assigned] == ["app = Chalice(app_name='parent-portal')"]


def test_routes_take_the_contracts_methods_and_no_other() -> None:
    """CORS would be a header of Chalice's, and OPTIONS a route of its own (S64)."""
    app = importlib.import_module("app").app
    taken = {path: "".join(sorted(methods)) for path, methods in app.routes.items()}
    assert taken.pop("/{proxy+}") == "".join(sorted(http.EVERY_METHOD))
    assert taken == {
        "/": "GET",
        "/activation-key": "GETPOST",
        "/activate": "GETPOST",
        "/create-account": "POST",
        "/sign-in": "GETPOST",
        "/sign-out": "POST",
        "/session": "GETPOST",
        "/students": "GET",
        "/students/{id}": "GET",
        "/students/{id}/schedule": "GET",
        "/sso": "GET",
        "/sso/callback": "GET",
        "/forgot-username": "GETPOST",
        "/forgot-password": "GETPOST",
        "/reset-password": "GETPOST",
        "/confirm-email": "GETPOST",
        "/not-me": "GETPOST",
        "/students/{id}/attendance": "GET",
        "/students/{id}/grades": "GET",
        "/household": "GETPOST",
        "/preferences": "GETPOST",
        "/enrollment": "GETPOST",
        "/account": "GET",
        "/account/password": "POST",
        "/account/email": "POST",
        "/account/sessions/end": "POST",
        "/help": "GET",
        "/manifest.webmanifest": "GET",
        "/service-worker.js": "GET",
        "/account/sso": "POST",
        "/account/sso/unlink": "POST",
        "/status": "GET",
        "/static/{name}": "GET",
        "/problems/{code}": "GET",
        "/openapi.json": "GET",
    }
    assert "cors" not in (ROOT / "app.py").read_text("utf-8").lower()
    assert app.debug is False


def test_every_route_takes_every_content_type_so_that_none_is_refused_without_our_headers() -> None:
    """Also those that read no body: Chalice judges the header of a GET too (S56)."""
    routes = importlib.import_module("app").app.routes
    taken = {
        (path, method): entry.content_types
        for path, methods in routes.items()
        for method, entry in methods.items()
    }
    assert [one for one, types in taken.items() if types != http.BODY_TYPES] == []


# --- who may import what (S1, S86) ----------------------------------------------


def test_only_crypto_makes_tokens_and_hashes() -> None:
    assert importers("secrets", "hmac", "hashlib", "argon2") == {"chalicelib/crypto.py"}


def test_nothing_deployed_draws_from_a_guessable_source() -> None:
    assert importers("random", "uuid", "numpy") == set()


def test_only_settings_reads_the_environment() -> None:
    assert importers("os") == {"chalicelib/settings.py"}


def test_only_storage_knows_aws() -> None:
    found = importers("boto3", "botocore", "pynamodb")
    assert {path for path in found if not path.startswith("chalicelib/storage/")} == set()


def test_nothing_unpickles_evaluates_or_starts_a_program() -> None:
    assert importers("pickle", "marshal", "shelve", "subprocess", "xml", "yaml") == set()
    for path in DEPLOYED:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile", "__import__"}, path


def test_hashes_are_compared_in_constant_time_where_an_answer_depends_on_it() -> None:
    text = (ROOT / "chalicelib" / "crypto.py").read_text("utf-8")
    assert "hmac.compare_digest(" in text


# --- words ----------------------------------------------------------------------


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: path.name)
def test_every_module_says_first_what_it_owns(path: Path) -> None:
    assert ast.get_docstring(tree(path)), path


# --- nothing happens at import --------------------------------------------------


def test_importing_the_app_makes_no_client_and_needs_no_environment() -> None:
    """Each would cost every cold start, and packaging imports the app (design: clients at import)."""
    code = (
        "import boto3, botocore.client, botocore.session\n"
        "def no(*a, **k): raise SystemExit('a client was made at import')\n"
        "botocore.session.Session.create_client = no\n"
        "botocore.client.BaseClient._make_api_call = no\n"
        "import app\n"
        "print(len(app.app.routes))\n"
    )
    bare = {
        name: value
        for name, value in os.environ.items()
        if not re.match("AWS_|STAGE|PORTAL|MAIL|HASH|ROSTER|IMPORT", name)
    }
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 10


# --- dependencies (S91) ---------------------------------------------------------

LOCKED = ["requirements.txt", "requirements-dev.txt", "requirements-fuzz.txt"]


@pytest.mark.parametrize("name", LOCKED)
def test_every_library_is_pinned_with_hashes(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n", "", text).strip())
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert not re.search(r"(?m)^\s*(--(extra-)?index-url|--find-links|-e|git\+)", text)


@pytest.mark.parametrize("name", ["requirements.in", "requirements-dev.in", "requirements-fuzz.in"])
def test_every_library_that_we_ask_for_has_a_reason(name: str) -> None:
    reasoned = False
    for line in (ROOT / name).read_text("utf-8").splitlines():
        if line.startswith("#"):
            reasoned = True
        elif not line.strip():
            reasoned = False
        else:
            assert reasoned or line.startswith("-r "), line


def test_libraries_are_installed_by_their_hashes() -> None:
    assert "--require-hashes" in (ROOT / "Makefile").read_text("utf-8")
