"""A visitor of the portal as tests use it: an event as API Gateway makes it in, an answer out.

Chalice's own router and converter make the event, so what is declared in app.py is what is tried.
Cookies are kept like a browser keeps them; the address of the client is the request context's. Every
answer is held against /openapi.json.
"""

import json as json_module
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from chalice.local import LambdaContext, LambdaEventConverter, RouteMatcher

from tests import api_contract, permissions

JSON, FORM, HTML = "application/json", "application/x-www-form-urlencoded", "text/html"


@dataclass(frozen=True)
class Answer:
    """What came back: the status, headers by lower-case name (every value), and the body's text."""

    status: int
    headers: Mapping[str, list[str]]
    text: str

    def json(self) -> Any:
        """Return the body as data."""
        return json_module.loads(self.text)

    def header(self, name: str) -> str | None:
        """Return a header's first value, or None."""
        return next(iter(self.headers.get(name.lower(), [])), None)

    @property
    def code(self) -> str | None:
        """Return the problem code of a JSON failure, or None."""
        if not (self.header("content-type") or "").startswith("application/problem+json"):
            return None
        return str(self.json()["type"]).rsplit("/", 1)[-1]


def read_answer(status: int, pairs: Iterable[tuple[str, str]], text: str) -> Answer:
    """Return an answer from its parts, header names in lower case."""
    headers: dict[str, list[str]] = {}
    for name, value in pairs:
        headers.setdefault(name.lower(), []).append(str(value))
    return Answer(status, headers, text)


@dataclass
class PortalClient:
    """One visitor with a cookie jar.

    Attributes:
        app: the Chalice app.
        accept: what the visitor asks for unless a call says otherwise; JSON clients by default.
        ip: the address that API Gateway would see.
    """

    app: Any
    accept: str = JSON
    ip: str = "192.0.2.10"
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **how: Any) -> Answer:
        """Send a GET; `path` may hold a query string."""
        return self.request("GET", path, **how)

    def post(
        self, path: str, fields: Mapping[str, Any] | None = None, *, form: bool = False, **how: Any
    ) -> Answer:
        """Send fields as JSON, or as a form's body with `form=True`."""
        if form:
            body, kind = urlencode(fields or {}), FORM
        else:
            body, kind = json_module.dumps(fields or {}), JSON
        return self.request("POST", path, body=body, content_type=kind, **how)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: str | None = None,
        content_type: str | None = None,
        accept: str | None = None,
        ip: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send anything; return the answer and keep its cookies."""
        sent = {"accept": accept or self.accept, "host": "portal.localhost:4566"}
        if content_type:
            sent["content-type"] = content_type
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent.update({name.lower(): value for name, value in (headers or {}).items()})
        answer = self.send(method, path, sent, body, ip or self.ip)
        api_contract.check(method, path, answer.status, answer.headers, answer.text)
        self._keep_cookies(answer)
        return answer

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None, ip: str
    ) -> Answer:
        """Hand one request to the app in this process."""
        converter = LambdaEventConverter(
            RouteMatcher(list(self.app.routes)), self.app.api.binary_types
        )
        event: dict[str, Any] = dict(
            converter.create_lambda_event(
                method, path, dict(headers), body.encode() if body else None
            )
        )
        event["body"] = body
        event["requestContext"]["identity"]["sourceIp"] = ip
        event["requestContext"]["requestId"] = "test-request"
        context = LambdaContext("api_handler", 1024)
        context.aws_request_id = "test-request"
        with permissions.as_function("api_handler"):
            answer = self.app(event, context)
        pairs = list((answer.get("headers") or {}).items())
        for name, values in (answer.get("multiValueHeaders") or {}).items():
            pairs += [(name, value) for value in values]
        return read_answer(int(answer["statusCode"]), pairs, str(answer.get("body") or ""))

    def _keep_cookies(self, answer: Answer) -> None:
        for line in answer.headers.get("set-cookie", []):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0" or not morsel.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
