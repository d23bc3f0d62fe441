"""From an action's answer, or its refusal, to the HTTP response: HTML, JSON or problem, with headers.

The only place where a `Refusal` becomes a response. Not a middleware: Chalice turns a view's
exceptions into a 500 before middleware sees them.
"""

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from chalice.app import Request, Response

from chalicelib import clock, crypto, errors, logs, settings, texts
from chalicelib.domain import who
from chalicelib.storage import district, tables
from chalicelib.web import call as calls
from chalicelib.web.call import Call

GET, POST, GET_POST = ["GET"], ["POST"], ["GET", "POST"]
EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
# Every type reaches the action's face, which answers 415 in our form; Chalice's own has no headers.
BODY_TYPES = ["*/*"]

HTML, PLAIN_JSON = "text/html; charset=utf-8", "application/json; charset=utf-8"
PROBLEM = "application/problem+json; charset=utf-8"
YEAR = 31_536_000
# What is wrong with the request as such gets a page of its own, everything else the form again.
_NO_FORM = (
    errors.Malformed,
    errors.CrossSite,
    errors.NotFound,
    errors.BodyTooLarge,
    errors.WrongContentType,
)
# The page that a form stands on, where the form's own address takes only POST.
_OPENED_AT = {
    "/create-account": "/activate",
    "/account/password": "/account",
    "/account/email": "/account",
    "/account/sessions/end": "/account",
    "/account/sso": "/account",
    "/account/sso/unlink": "/account",
}
# What of a page's query stays when the language changes.
_KEPT = frozenset({"token", "next", "done", "school_year", "class", "month", "before", "q"})
_NEVER_SHOWN_AGAIN = frozenset({"password", "verify_password", "current_password", "ssn_last4"})


@dataclass(frozen=True)
class Answer:
    """What an action says: for a client `body` and `status`, for a browser a page or a way on.

    `location` (relative to the portal's root) makes the HTML answer a 303; `text` is a file, its
    content type and content, the same for both.
    """

    body: object = None
    status: int = 200
    page: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)
    location: str | None = None
    text: tuple[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
    language: str | None = None
    signed_in: bool = False


Action = Callable[[Call], Answer]
# What a page that is shown again after a refusal needs: its name and its data.
Again = Callable[[Call, errors.Refusal], tuple[str, Mapping[str, object]]]


def form(again: Again | str) -> Callable[[Action], Action]:
    """Name the page that a refused form shows again, with a summary of errors on top."""

    def mark(action: Action) -> Action:
        action.again = (lambda *_: (again, {})) if isinstance(again, str) else again  # type: ignore[attr-defined]
        return action

    return mark


def answer(request: Request | None, action: Action) -> Response:
    """Run an action on a request and return its response, whatever happens."""
    assert request is not None
    logs.begin(str(request.context.get("requestId", "")))
    call = calls.outline(request, clock.now())
    try:
        response = _answered(request, call, action)
    except Exception as error:  # noqa: BLE001 - the one last catcher (security row S65)
        response = _failed(call, error)
    logs.event(
        "request",
        route=str(request.context.get("resourcePath", "")),
        method=call.method,
        status=response.status_code,
    )
    return response


def _answered(request: Request, call: Call, action: Action) -> Response:
    try:
        if call.method == "POST":
            calls.refuse_cross_site(request)
            call = replace(call, fields=calls.read_fields(request))
        said = action(call)
    except errors.Unavailable:
        # Not a refusal's page: that asks the table of preferences, which may be what is down.
        raise
    except errors.Refusal as refusal:
        try:
            return _refused(call, action, refusal)
        except errors.SignInRequired as ended:
            # The form can't be shown again: the session ended since the action read it.
            return _refused(call, action, ended)
    return _said(call.speaking(said.language), said)


def _said(call: Call, said: Answer) -> Response:
    cookies = [*said.cookies, *_language_kept(call)]
    if said.text is not None:
        return _response(said.text[1], said.status, said.text[0], said.headers, cookies)
    if call.wants_json or (said.page is None and said.location is None):
        body = (
            ""
            if said.status == HTTPStatus.NO_CONTENT
            else json.dumps(said.body, ensure_ascii=False)
        )
        return _response(
            body, said.status, PLAIN_JSON, said.headers, cookies, language=call.language
        )
    if said.location is not None:
        headers = {**said.headers, "Location": (call.root or "./") + said.location}
        return _response("", 303, HTML, headers, cookies)
    assert said.page is not None
    html = render(call, said.page, said.data, signed_in=said.signed_in)
    return _response(html, said.status, HTML, said.headers, cookies, language=call.language)


def _language_kept(call: Call) -> list[str]:
    """Return the cookie that keeps a language asked for, whatever the answer: the next page has it."""
    if call.language_asked is None:
        return []
    return [set_cookie("lang", call.language_asked, seconds=YEAR)]


# --- refusals -----------------------------------------------------------------


def _refused(call: Call, action: Action, refusal: errors.Refusal) -> Response:
    """Say a refusal: a problem for a client; for a browser the form again, or a page of its own."""
    logs.event("refused", problem=refusal.code)
    call = _in_own_language(call, refusal)
    title, detail = _words(call, refusal)
    headers, cookies = _waiting(call, refusal), _language_kept(call)
    if call.wants_json:
        problem = json.dumps(_problem(call, refusal, title, detail), ensure_ascii=False)
        return _response(problem, refusal.status, PROBLEM, headers, cookies, language=call.language)
    if isinstance(refusal, errors.SignInRequired):
        return _response("", 303, HTML, {"Location": _sign_in(call)}, cookies)
    again = getattr(action, "again", None)
    faults = _faults(call, refusal)
    if again is None or call.method != "POST" or isinstance(refusal, _NO_FORM):
        page, data = "problem", {"status": refusal.status, "title": title, "reference": None}
        faults = []
    else:
        page, data = again(call, refusal)
    said = None if faults else {"code": refusal.code, "title": title, "detail": detail}
    shown = {**data, "detail": detail, "errors": faults, "problem": said, "values": _kept(call)}
    html = render(call, page, shown)
    return _response(html, refusal.status, HTML, headers, cookies, language=call.language)


def _in_own_language(call: Call, refusal: errors.Refusal) -> Call:
    """Return the call in the language of whoever is signed in: a refusal comes from anywhere."""
    if call.language_chosen or isinstance(refusal, errors.SignInRequired):
        return call
    try:
        here = who.anybody(call.cookie("session"), now=call.now)
    except Exception as error:
        # Words in another language are better than another refusal.
        if not _is_of_aws(error):
            raise
        return call
    return call.speaking(here.language if here else None)


def _kept(call: Call) -> dict[str, str]:
    """Return what was typed, for the form that is shown again; never a secret."""
    fields = call.fields.items()
    return {k: v for k, v in fields if isinstance(v, str) and k not in _NEVER_SHOWN_AGAIN}


def _sign_in(call: Call) -> str:
    """Return the way to sign-in and back; a form that met an ended session is told of there."""
    here = _OPENED_AT.get(call.path, call.path)
    query = {"next": here} if here != "/" else {}
    if call.method == "POST":
        query["note"] = "session-ended"
    return (call.root or "./") + "sign-in" + (f"?{urlencode(query)}" if query else "")


def _waiting(call: Call, refusal: errors.Refusal) -> dict[str, str]:
    if refusal.locked_until is None:
        return {}
    seconds = int((refusal.locked_until - call.now).total_seconds())
    return {"Retry-After": str(max(seconds, 1))}


def _problem(call: Call, refusal: errors.Refusal, title: str, detail: str) -> dict[str, object]:
    problem: dict[str, object] = {
        "type": f"/problems/{refusal.code}",
        "title": title,
        "status": refusal.status,
        "detail": detail,
    }
    if refusal.errors:
        problem["errors"] = _faults(call, refusal)
    if refusal.locked_until is not None:
        problem["locked_until"] = iso(refusal.locked_until)
    return problem


def _faults(call: Call, refusal: errors.Refusal) -> list[dict[str, str]]:
    return [
        {
            "field": fault.field,
            "code": fault.code,
            "detail": texts.field_error(call.language, fault.field, fault.code, fault.parameters),
        }
        for fault in refusal.errors
    ]


def _words(call: Call, refusal: errors.Refusal) -> tuple[str, str]:
    if refusal.locked_until is None:
        return texts.problem(call.language, refusal.code)
    zone = district.preferences().time_zone
    time = texts.moment(call.language, refusal.locked_until, zone)
    return texts.problem(call.language, refusal.code, time=time)


def _failed(call: Call, error: Exception) -> Response:
    """Answer the unexpected: a reference number, and one log line with the place, never the values.

    Where AWS failed under us it is a 503, since trying again may help; everything else is our mistake.
    """
    reference = crypto.new_id()[:10]
    place = traceback.extract_tb(error.__traceback__)[-1]
    is_aws = _is_of_aws(error)
    status, code = (503, errors.Unavailable.code) if is_aws else (500, "internal-error")
    logs.event(
        "aws-failed" if is_aws else "unexpected-error",
        level="error",
        reference=reference,
        error=type(error.__cause__ or error).__name__,
        place=f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno}",
    )
    title, detail = texts.problem(call.language, code)
    if call.wants_json:
        problem = {
            "type": f"/problems/{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "reference": reference,
        }
        text = json.dumps(problem, ensure_ascii=False)
        return _response(text, status, PROBLEM, language=call.language)
    data = {"status": status, "title": title, "detail": detail, "reference": reference}
    return _response(_plain_page(call, "problem", data), status, HTML, language=call.language)


def _is_of_aws(error: Exception) -> bool:
    return isinstance(error, errors.Unavailable) or tables.is_failure_of_aws(error)


# --- pages --------------------------------------------------------------------


def render(call: Call, page: str, data: Mapping[str, object], *, signed_in: bool = False) -> str:
    """Return a page with what every page has: the district's name and notice, languages, form id."""
    preferences = district.preferences()
    notice = {"en": preferences.notice_en, "es": preferences.notice_es}.get(call.language)
    return _plain_page(
        call,
        page,
        {
            "district_name": preferences.district_name,
            "notice": notice or preferences.notice_en,
            "support_url": preferences.support_url,
            "signed_in": signed_in,
            "time_zone": preferences.time_zone,
            "sso": preferences.has_sso(),
            **data,
        },
    )


def _plain_page(call: Call, page: str, data: Mapping[str, object]) -> str:
    """Return a page without asking the table of preferences: the 500 page must not need it."""
    return texts.page(
        page,
        language=call.language,
        root=call.root,
        data={
            "languages": _languages(call),
            "path": call.path,
            "form_id": crypto.new_id(),
            **data,
        },
    )


def _languages(call: Call) -> list[dict[str, object]]:
    """Return a link to this page in every language, keeping what it was asked to show."""
    path = _OPENED_AT.get(call.path, call.path)
    here = call.root + path.lstrip("/") if path != "/" else "./"
    # A refused form carries where it was to go on to, which its address doesn't.
    way_on = {k: v for k, v in call.fields.items() if k == "next" and isinstance(v, str)}
    kept = way_on | {k: v for k, v in call.query.items() if k in _KEPT}
    return [
        {
            "code": code,
            "name": name,
            "href": f"{quote(here, safe='/.')}?{urlencode({**kept, 'lang': code})}",
            "current": code == call.language,
        }
        for code, name in texts.language_names().items()
    ]


# --- headers ------------------------------------------------------------------


def iso(instant: datetime) -> str:
    """Return an instant as answers show it: ISO 8601, UTC, to the second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def security_headers() -> dict[str, str]:
    """Return the headers that every answer has (security rows S56, S57)."""
    styles = (crypto.style_hash(texts.style(whole=whole)) for whole in (False, True))
    policy = (
        "default-src 'none'",
        f"style-src {' '.join(styles)}",
        "script-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Strict-Transport-Security": f"max-age={YEAR}; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def set_cookie(name: str, value: str, *, seconds: int) -> str:
    """Return one `Set-Cookie`: HttpOnly, Lax, this host only; Secure but on localhost.

    Values are ours (tokens, catalogue names): no character that could end the header (Chalice checks
    no list of headers).
    """
    assert all(c.isalnum() or c in "-_." for c in value)
    secure = "" if settings.is_local() else "; Secure"
    return (
        f"{calls.cookie_name(name)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"
        f"{secure}"
    )


def _response(
    body: str,
    status: int,
    content_type: str,
    headers: Mapping[str, str] | None = None,
    cookies: Sequence[str] = (),
    *,
    language: str | None = None,
) -> Response:
    all_headers: dict[str, Any] = {
        "Content-Type": content_type,
        "Cache-Control": "no-store",
        **security_headers(),
        **(headers or {}),
    }
    if language:
        all_headers["Content-Language"] = language
    if cookies:
        all_headers["Set-Cookie"] = list(cookies)
    return Response(body, headers=all_headers, status_code=status)
