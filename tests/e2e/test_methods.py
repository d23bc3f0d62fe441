"""What the deployed gateway lets through: the contract's methods on each route, no CORS (S57, S64)."""

import importlib
import json

import pytest

from tests.portal_client import FORM, HTML

pytestmark = pytest.mark.e2e

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
HEADERS = (
    "content-security-policy",
    "strict-transport-security",
    "x-content-type-options",
    "referrer-policy",
    "permissions-policy",
)


def test_only_the_contracts_methods_work_and_nothing_speaks_cors(portal):
    routes = importlib.import_module("app").app.routes
    foreign = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for path, methods in routes.items():
        if path == "/{proxy+}":
            continue
        asked = path.replace("{name}", "none.js").replace("{code}", "invalid").replace("{id}", "x")
        for method in METHODS:
            answer = portal.request(method, asked, headers=foreign)
            cors = [name for name in answer.headers if name.startswith("access-control-")]
            assert cors == [], (method, path)
            if method not in methods:
                assert answer.status in {403, 404, 405, 501}, (method, path, answer.status)
                assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (200, {"method": "GET", "path": "/sign-in"}),
        (303, {"method": "GET", "path": "/students"}),
        (400, {"body": "username=%ff", "content_type": FORM}),
        (401, {"body": "username=Nobody1&password=wrong+1", "content_type": FORM}),
        (403, {"body": "", "content_type": FORM, "headers": {"Sec-Fetch-Site": "cross-site"}}),
        (404, {"method": "GET", "path": "/no/such/page"}),
        (413, {"body": "a=" + "x" * 17 * 1024, "content_type": FORM}),
        (415, {"body": "<x/>", "content_type": "text/xml"}),
        (422, {"body": "username=&password=", "content_type": FORM}),
    ],
)
def test_every_status_comes_with_our_headers(portal, status, how):
    answer = portal.request(
        how.pop("method", "POST"), how.pop("path", "/sign-in"), accept=HTML, **how
    )
    assert answer.status == status
    assert [name for name in HEADERS if not answer.header(name)] == []
    assert answer.header("content-type") == "text/html; charset=utf-8"
    assert answer.header("cross-origin-opener-policy") == "same-origin"


def test_nothing_is_told_of_what_runs_behind(portal):
    for answer in (portal.get("/no/such/page"), portal.post("/sign-in", {"username": 7})):
        told = json.dumps(dict(answer.headers)) + answer.text
        for word in ("chalice", "python", "botocore", "arn:aws", "parent-portal-", "Traceback"):
            assert word.lower() not in told.lower().replace("ministack", "")
