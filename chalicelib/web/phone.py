"""What makes the portal installable on a phone: the manifest and the service worker.

Both are the same for everybody, and so is all that the worker keeps (security row S62).
"""

import json

from chalicelib import texts
from chalicelib.storage import district
from chalicelib.web.call import Call
from chalicelib.web.http import Answer

_MANIFEST = "application/manifest+json; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
# Both are asked for anew, so that a change of a preference or a new version counts soon.
_FRESH = {"Cache-Control": "no-cache"}
# The header's colour and the page's, as in portal.css.
_BRAND, _PAGE = "#0f4c75", "#f3f6f8"


def manifest(call: Call) -> Answer:
    """The web app manifest; its addresses are relative, so it works under any stage prefix."""
    name = district.preferences().district_name
    portal = texts.say(call.language, "page.portal")
    told = {
        "name": portal if name == portal else f"{name} – {portal}",
        "short_name": texts.say(call.language, "manifest.short-name"),
        "description": texts.say(call.language, "manifest.description"),
        "lang": call.language,
        "dir": texts.direction(call.language),
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "theme_color": _BRAND,
        "background_color": _PAGE,
        "icons": [
            {
                "src": f"static/{texts.asset(file)}",
                "sizes": "any",
                "type": "image/svg+xml",
                "purpose": purpose,
            }
            for file, purpose in (("icon.svg", "any"), ("icon-maskable.svg", "maskable"))
        ],
    }
    text = json.dumps(told, ensure_ascii=False)
    return Answer(text=(_MANIFEST, text), headers=_FRESH)


def service_worker(_: Call) -> Answer:
    """The service worker; its scope is the folder that it lies in."""
    return Answer(text=(_SCRIPT, texts.service_worker()), headers=_FRESH)
