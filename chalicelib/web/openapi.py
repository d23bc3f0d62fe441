"""The contract for programs: /openapi.json, kept by hand in `chalicelib/openapi.json`.

Every answer in the tests is held against it (`tests/api_contract.py`), so it is what the portal does.
"""

import functools
import json
from pathlib import Path

from chalicelib.web.call import Call, cookie_name
from chalicelib.web.http import PLAIN_JSON, Answer

_DOCUMENT = Path(__file__).parent.parent / "openapi.json"


def openapi(_: Call) -> Answer:
    """Every operation of the portal as OpenAPI 3.1; the session's cookie by its name on this stage."""
    return Answer(text=(PLAIN_JSON, _document(cookie_name("session"))))


@functools.cache
def _document(session_cookie: str) -> str:
    document = json.loads(_DOCUMENT.read_text(encoding="utf-8"))
    document["components"]["securitySchemes"]["session"]["name"] = session_cookie
    return json.dumps(document, ensure_ascii=False)
