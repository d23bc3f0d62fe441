"""Pages and mails as text: what they say, what they keep, what they must never hold."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chalicelib import crypto, texts
from chalicelib.web import http
from tests import gallery
from tests.gallery import CONFIRM, HOSTILE, KEY, NOT_ME, RESET, STATES, State

EVERY = [(name, language) for name in STATES for language in texts.LANGUAGES]
EXPECTED_AUTOCOMPLETE = {
    "username": "username",
    "password": ("current-password", "new-password"),
    "verify_password": "new-password",
    "activation_key": "one-time-code",
    "student_number": "off",
    "ssn_last4": "off",
    "email": "email",
    "current_password": "current-password",
}


# How the ids of a form's fields begin where a page has several forms.
FORM_PARTS = {
    "/account/email": "email-",
    "/account/password": "password-",
    "/account/sessions/end": "sessions-",
    "/account/sso": "sso-",
}


class Outline(HTMLParser):
    """The tags of a page with their attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.tags.append((tag, dict(attrs)))

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in tags]

    def ids(self) -> list[str]:
        return [a["id"] for _, a in self.tags if a.get("id")]


def outline(name: str, language: str = "en", **more: object) -> Outline:
    return Outline(gallery.render(STATES[name], language, **more))


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_every_page_keeps_the_rules_of_all_pages(name, language):
    html = gallery.render(STATES[name], language)
    page = Outline(html)
    assert language == page.all("html")[0]["lang"]
    assert page.all("html")[0]["dir"] == "ltr"
    assert len(page.all("h1")) == 1
    assert len(set(page.ids())) == len(page.ids())
    for _, attributes in page.tags:
        assert "style" not in attributes
        assert "placeholder" not in attributes
        assert "required" not in attributes
        assert not [a for a in attributes if a.startswith("on")]
        for reference in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
            for one in (attributes.get(reference) or "").split():
                assert one in page.ids(), (reference, one)
    for link in page.all("a"):
        address = link["href"]
        assert not address.startswith("/")
        if address.startswith("#"):
            assert address[1:] in page.ids()
    for form in page.all("form"):
        assert form["method"] == ("get" if form.get("role") == "search" else "post")
        assert not form["action"].startswith("/")


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_every_page_offers_every_language_and_help(name, language):
    html = gallery.render(STATES[name], language)
    for code in texts.LANGUAGES:
        if code != language:
            assert html.count(f'href="?lang={code}" lang="{code}"') == 2
    footer = html[html.index("<footer") :]
    assert f'<a href="{STATES[name].root}help"' in footer
    way = "page.contact" if STATES[name].data.get("support_url", True) else "page.help-school"
    assert texts.say(language, way) in footer


@pytest.mark.parametrize("name", STATES)
def test_a_page_and_its_script_are_light_and_load_nothing_else(name):
    """30 KB for whoever comes in, 60 KB for what is read at leisure or shows what there is."""
    state = STATES[name]
    installable = state.signed_in or state.page == "help"
    html = gallery.render(STATES[name], "es")
    script = texts.asset_body(texts.asset("portal.js"))
    assert script is not None
    assert len(html.encode()) + len(script[1].encode()) <= (60_000 if installable else 30_000)
    page = Outline(html)
    loaded = [a for a in page.all("script", "link", "img", "iframe") if a.get("src", a.get("href"))]
    foreign = [str(a.get("src", a.get("href"))) for a in loaded]
    manifest = [f"{state.root}manifest.webmanifest?lang=es"] if installable else []
    assert [one for one in foreign if not one.startswith("data:")] == [
        *manifest,
        f"{state.root}static/{texts.asset('portal.js')}",
    ]


@pytest.mark.parametrize(
    "name", [name for name, state in STATES.items() if state.wrong or state.problem]
)
@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_a_refused_form_says_so_first_and_leads_to_each_field(name, language):
    state = STATES[name]
    html = gallery.render(state, language)
    page = Outline(html)
    assert f"<title>{texts.say(language, 'page.error-prefix')} " in html
    summary = html[html.index('id="errors"') : html.index("<h1>")]
    part = FORM_PARTS.get(str(state.data.get("path")), "")
    if "refused_form" in state.data:
        part = f"{state.data['refused_form']}-"
    for field, code, parameters in state.wrong:
        said = texts.field_error(language, field, code, parameters)
        assert f'<a href="#{part}{field}">{said}</a>' in summary
        assert html.count(said) == 2
    fields = page.all("input", "textarea")
    at_fault = {part + field for field, _, _ in state.wrong}
    if "action" in at_fault:
        # The form as a whole: the summary leads to the words at its head.
        assert "action" in {a.get("id") for a in page.all("div")}
        at_fault.remove("action")
    if state.wrong:
        assert {a["id"] for a in fields if "aria-invalid" in a} == at_fault
    for field in at_fault:
        marked = next(a for a in fields if a.get("id") == field)
        assert marked["aria-invalid"] == "true"
        assert f"{field}-error" in marked["aria-describedby"].split()


@pytest.mark.parametrize("name", [name for name, s in STATES.items() if not (s.wrong or s.problem)])
def test_a_page_without_fault_shows_no_summary(name):
    html = gallery.render(STATES[name], "en")
    assert "<title>Error:" not in html
    assert 'id="errors"' not in html


def test_a_failed_sign_in_stands_in_the_summary_and_at_the_username_in_the_guides_words():
    html = gallery.render(STATES["sign-in-failed"], "en")
    assert '<a href="#username">No security authorization. Please log in.</a>' in html
    assert html.count("No security authorization. Please log in.") == 2


def test_what_was_typed_is_kept_but_no_password_and_no_ssn_digits():
    typed = {"student_number": "41277x", "ssn_last4": "9876", "username": "okafor"}
    typed |= {"password": "Sunshine-42", "verify_password": "Sunshine-43"}
    lookup = gallery.render(STATES["activation-key-wrong"], "en", values=typed)
    created = gallery.render(STATES["create-account-wrong"], "en", values=typed)
    assert 'value="41277x"' in lookup
    assert 'value="okafor"' in created
    for secret in ("9876", "Sunshine-42", "Sunshine-43"):
        assert secret not in lookup + created


@pytest.mark.parametrize(
    "name",
    [
        "sign-in",
        "activation-key",
        "activate",
        "create-account",
        "create-account-wrong",
        "forgot-password",
        "forgot-username",
        "reset-password",
        "reset-password-wrong",
        "account",
        "account-email-wrong",
    ],
)
def test_fields_are_labelled_and_told_to_the_password_manager(name):
    page = outline(name)
    labelled = {a["for"] for a in page.all("label")}
    for field in page.all("input"):
        if field["type"] == "hidden" or "hidden" in field:
            continue
        assert field["id"] in labelled
        assert field["autocomplete"] in EXPECTED_AUTOCOMPLETE[field["name"]]
        assert "maxlength" not in field
        assert field["spellcheck"] == "false"
    asking = [form for form in page.all("form") if "novalidate" in form]
    for form in asking:
        assert form["action"].removeprefix("../").startswith(STATES[name].page)
    assert asking
    ids = [a["value"] for a in page.all("input") if a["name"] == "form_id"]
    assert ids == ["r4nd0m"] * len(page.all("form"))


@pytest.mark.parametrize("language", texts.LANGUAGES)
@pytest.mark.parametrize("name", STATES)
def test_hostile_text_shows_as_text(name, language):
    def poisoned(value: object) -> object:
        if isinstance(value, str):
            return HOSTILE
        if isinstance(value, dict):
            keep = ("id", "student_id", "note")
            return {k: v if k in keep else poisoned(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [poisoned(one) for one in value]
        return value

    state = STATES[name]
    words = ("note", "code", "support_url", "path", "mail_state", "lockout_scope", "refused_form")
    words += ("kinds", "channels", "always_on")
    codes = {k: v for k, v in state.data.items() if k in words}
    data = {**{k: poisoned(v) for k, v in state.data.items()}, **codes}
    data |= {"district_name": HOSTILE, "notice": HOSTILE, "form_id": HOSTILE}
    data |= {"reference": HOSTILE} if state.page == "problem" else {}
    plain = replace(state, data={**state.data, "notice": "-"})
    if "reference" in data:
        plain = State(state.page, {**plain.data, "reference": "-"}, signed_in=False)
    attacked = replace(state, data=data)
    html = gallery.render(attacked, language)
    assert "<script>alert" not in html
    assert html.count("{{7*7}}") == html.count("alert(&#39;x&#39;)") > 0
    shape = [tag for tag, _ in Outline(gallery.render(plain, language)).tags]
    assert shape == [tag for tag, _ in Outline(html).tags]


def test_the_link_prefix_works_one_folder_down():
    html = texts.page(
        "problem-code",
        language="en",
        root="../",
        data={"code": "invalid", "title": "T", "meaning": "M", "signed_in": True},
    )
    assert f'src="../static/{texts.asset("portal.js")}"' in html
    assert 'href="../"' in html
    assert 'action="../sign-out"' in html


def test_an_unknown_language_reads_english():
    html = texts.page("activate", language="<script>", root="", data={})
    assert '<html lang="en" dir="ltr">' in html
    assert "Enter your activation key" in html


def test_the_page_holds_the_very_style_sheet_that_the_policy_names():
    for name, whole in (("sign-in", False), ("home", True), ("help", True)):
        html = gallery.render(STATES[name], "en")
        inline = html[html.index("<style>") + len("<style>") : html.index("</style>")]
        assert crypto.style_hash(inline) == crypto.style_hash(texts.style(whole=whole))
        named = http.security_headers()["Content-Security-Policy"]
        assert crypto.style_hash(inline) in named
    assert not re.search(r"(?<![-\w])(left|right)\s*:|url\(|@import", inline)


def test_static_files_are_named_by_their_content():
    name = texts.asset("portal.js")
    kind, body = texts.asset_body(name) or ("", "")
    assert re.fullmatch(r"portal\.[\w-]{12}\.js", name)
    assert kind == "text/javascript; charset=utf-8"
    assert "use strict" in body
    for other in ("portal.js", "../texts.py", "portal.css", ""):
        assert texts.asset_body(other) is None


def test_every_signed_in_page_has_sign_out_and_says_when_it_ends():
    for name, state in STATES.items():
        html = gallery.render(state, "en")
        assert state.signed_in == (f'action="{state.root}sign-out"' in html), name
        assert (
            state.signed_in == (f'href="{state.root}account"' in html)
            or name == "confirm-email-dead"
            or state.page == "help"
        ), name
        assert state.signed_in == ('data-idle-until="2026-11-24T15:00:00Z"' in html), name
        assert state.signed_in == ("signed out at 10:00\N{NO-BREAK SPACE}AM" in html), name


def test_home_shows_what_the_roster_knows():
    html = gallery.render(STATES["home"], "en")
    for shown in (
        "Amara Okafor-Delgado",
        "Grade 5",
        "0041277",
        "1234567890",
        "Kindergarten",
        "None yet. Please ask the school.",
        "Classes, Tuesday, November 24, 2026",
        "8:05\N{NO-BREAK SPACE}AM",
        "Ms. Whitfield",
        "Room 114",
        "Tardy",
        "Excused",
        "18 of 20 · A",
        "87.5",
        "No score",
        "Nov 20, 2026",
        "No classes are listed for this day.",
    ):
        assert shown in html, shown


def test_home_tells_the_last_sign_in_and_the_failures_since():
    html = gallery.render(STATES["home-last"], "en")
    assert "Monday, November 23, 2026 at 5:14\N{NO-BREAK SPACE}PM" in html
    assert "since then: 2." in html
    assert "since then" not in gallery.render(STATES["home"], "en")


def test_failures_before_the_first_sign_in_are_not_told_as_since_another():
    data = {**STATES["home-last"].data, "last_sign_in": None}
    html = gallery.render(replace(STATES["home-last"], data=data), "en")
    assert "before this one: 2." in html
    assert "since then" not in html


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_district_that_gave_no_name_is_called_the_portal_in_the_readers_language(language):
    unnamed = gallery.render(STATES["sign-in"], language, district_name="Parent Portal")
    closing = gallery.mail("usernames", language, district_name="Parent Portal").html
    assert ("Parent Portal" in unnamed) == (language == "en")
    assert ("Portal para Padres" in unnamed) == (language == "es")
    assert ("Parent Portal" in closing) == (language == "en")


@pytest.mark.parametrize("name", gallery.MAILS)
def test_a_mail_leaves_the_colours_to_the_reader_so_that_it_can_be_read_in_the_dark(name):
    assert not re.search(r"\b(background(-color)?|(?<!-)color):", gallery.mail(name, "en").html)


def test_a_room_does_not_break_at_its_hyphen():
    html = gallery.render(STATES["home"], "en")
    assert re.search(
        r'<span class="what"><b>[^/]*</bdi></b><span>.*<span>Room 114</span></span>', html
    )
    assert re.search(r"[,}].what>span>span[^{}]*{display:inline-block}", html)


def test_the_password_page_lists_the_rules_in_force():
    state = STATES["create-account"]
    rules = {"min_length": 9, "strong": True, "reject_common": False}
    html = texts.page("create-account", language="en", root="", data={**state.data, "rules": rules})
    assert "at least 9 characters" in html
    assert "three of these four" in html
    assert "many people use" not in html
    assert "three of these four" not in gallery.render(state, "en")


def test_a_new_password_has_the_same_rules_on_every_page():
    def rules(name: str) -> list[str]:
        html = gallery.render(STATES[name], "en")
        shown = html[html.index('<ul class="rules"') :]
        return re.findall(r"<li[^>]*>([^<]+)", shown[: shown.index("</ul>")])

    assert len(rules("create-account")) == 4
    assert rules("create-account") == rules("reset-password") == rules("account")


def test_sign_in_leads_to_recovery_in_the_guides_words_and_twice_after_a_failure():
    for name, times in (("sign-in", 1), ("sign-in-failed", 2), ("sign-in-locked", 1)):
        html = gallery.render(STATES[name], "en")
        for link in (
            '<a href="forgot-password">Forgot Your Password?</a>',
            '<a href="forgot-username">Forgot Your Username?</a>',
        ):
            assert html.count(link) == times, (name, link)


@pytest.mark.parametrize("name", ["sign-in-locked", "forgot-username-locked"])
def test_who_is_locked_out_reads_until_when_and_why(name):
    html = gallery.render(STATES[name], "en")
    assert "locked until Wednesday, November 25, 2026 at 12:00\N{NO-BREAK SPACE}AM" in html
    assert "usernames were asked for too many times today" in html


def test_a_reset_names_the_account_to_the_password_manager_and_signs_nobody_in():
    whose = next(a for a in outline("reset-password").all("input") if a["name"] == "username")
    assert (whose["value"], whose["autocomplete"]) == ("okafor22", "username")
    assert "readonly" in whose
    assert not [
        a for a in outline("reset-password", username=None).all("input") if a["name"] == "username"
    ]
    assert 'href="sign-in"' in gallery.render(STATES["reset-password-done"], "en")


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("reset-password-dead", "forgot-password"),
        ("confirm-email-dead", "account"),
        ("not-me-dead", "forgot-password"),
    ],
)
def test_a_link_that_opens_nothing_offers_a_way_on_and_no_form(name, way):
    page = outline(name)
    assert page.all("form") == []
    assert [a["href"] for a in page.all("a") if a.get("class") == "button"] == [way]


@pytest.mark.parametrize("name", ["confirm-email", "not-me"])
def test_an_opened_link_shows_one_button_and_holds_no_token(name):
    page = outline(name)
    assert [(f["method"], f["action"]) for f in page.all("form")] == [("post", name)]
    assert [a["name"] for a in page.all("input")] == ["form_id"]


def test_the_account_page_shows_where_the_account_is_open():
    html = gallery.render(STATES["account"], "en")
    assert html.count("This device") == 1
    assert "Firefox, Windows" in html
    assert "Unknown device" in html
    assert "Last used: Tuesday, November 24, 2026 at 9:30\N{NO-BREAK SPACE}AM" in html
    actions = {"account/email", "account/password", "account/sessions/end", "sign-out", "sign-in"}
    assert {f["action"] for f in outline("account").all("form")} == actions
    assert "account/sessions/end" not in gallery.render(STATES["account-alone"], "en")


def test_a_refused_form_of_the_account_page_still_posts_to_its_place():
    actions = {f["action"] for f in outline("account-sessions-wrong").all("form")}
    assert "../../account/sessions/end" in actions


def test_whoever_can_not_be_mailed_is_told_after_signing_in():
    for name in ("home-no-email", "home-bounced"):
        assert 'href="account#address"' in gallery.render(STATES[name], "en")
    assert "account#address" not in gallery.render(STATES["home"], "en")
    for name in ("account-no-email", "account-bounced", "account-complained"):
        assert 'class="note warn"' in gallery.render(STATES[name], "en")
    assert 'class="note warn"' not in gallery.render(STATES["account"], "en")


def test_forgot_username_says_how_often_in_the_districts_number():
    html = gallery.render(STATES["forgot-username"], "en", limit=7)
    assert "up to 7 times a day" in html
    assert "signing in" not in gallery.render(STATES["forgot-username-recovery"], "en")


def test_next_is_kept_through_sign_in():
    page = outline("sign-in-ended")
    assert [a["value"] for a in page.all("input") if a["name"] == "next"] == ["students"]
    assert [a for a in outline("sign-in").all("input") if a["name"] == "next"] == []


def test_days_and_times_are_said_as_people_say_them():
    noon = datetime(2026, 11, 25, 5, 0, tzinfo=UTC)
    assert (
        texts.moment("en", noon, "America/New_York")
        == "Wednesday, November 25, 2026 at 12:00\N{NO-BREAK SPACE}AM"
    )
    assert (
        texts.moment("es", "2026-11-25T05:00:00Z", "America/New_York")
        == "miércoles 25 de noviembre de 2026, 12:00\N{NO-BREAK SPACE}a.\N{NO-BREAK SPACE}m."
    )
    assert texts.clock("en", "12:30") == "12:30\N{NO-BREAK SPACE}PM"
    assert texts.clock("es", "13:05") == "1:05\N{NO-BREAK SPACE}p.\N{NO-BREAK SPACE}m."
    assert texts.clock("en", "8th hour") == "8th hour"
    assert texts.clock("en", "24:00") == "24:00"
    assert texts.short_day("es", date(2026, 11, 20)) == "20 nov 2026"
    assert texts.day("en", "soon") == "soon"
    assert texts.grade_level("es", "05") == "Grado 5"
    assert texts.grade_level("en", None) == ""
    assert [texts.number(n) for n in (18.0, 17.5, 0, 100.0, None)] == ["18", "17.5", "0", "100", ""]


def test_a_sentence_that_ends_in_an_abbreviation_has_one_stop():
    moment = datetime(2026, 11, 25, 0, 0, tzinfo=UTC)
    said = texts.problem("es", "too-many-tries", time=moment)[1]
    assert said.endswith("2026, 12:00\N{NO-BREAK SPACE}a.\N{NO-BREAK SPACE}m.")
    assert not said.endswith("..")


# --- mails --------------------------------------------------------------------


def words_of(html: str) -> list[str]:
    body = html[html.index("<body") :]
    return re.sub(r"<[^>]+>", " ", body).replace("&#39;", "'").split()


TEMPLATES = Path(texts.__file__).parent / "templates" / "mail"
PORTAL, SUPPORT = "http://portal.localhost:4566/", "https://support.example.org/tickets"
SIGN_IN, ACTIVATE, LOOKUP = PORTAL + "sign-in", PORTAL + "activate", PORTAL + "activation-key"
FORGOT_PASSWORD, FORGOT_USERNAME = PORTAL + "forgot-password", PORTAL + "forgot-username"
# Every link of a mail beside the ticket form. The school's own change of an address has none: the
# roster may be putting a mistake right (contract, `/not-me`).
MAIL_LINKS = {
    "activation-key": {ACTIVATE},
    "account-exists": {SIGN_IN, FORGOT_PASSWORD, FORGOT_USERNAME},
    "account-created": {SIGN_IN, NOT_ME},
    "address-changed": set(),
    "usernames": {SIGN_IN, FORGOT_PASSWORD},
    "no-account": {LOOKUP},
    "password-reset": {RESET},
    "password-changed": {NOT_ME},
    "sso-linked": {NOT_ME},
    "sso-unlinked": {NOT_ME},
    "email-confirm": {CONFIRM},
    "email-change-requested": {NOT_ME},
    "email-changed": {NOT_ME},
    "locked-out": {NOT_ME},
    "locked-out-recovery": {NOT_ME},
    "locked-out-one": set(),
    "new-device": {NOT_ME},
    "digest": {PORTAL, PORTAL + "preferences"},
    "new-device-unknown": {NOT_ME},
    "account-disabled": {NOT_ME},
    "account-enabled": {SIGN_IN, NOT_ME},
    "account-reset-required": {FORGOT_PASSWORD, NOT_ME},
    "change-request-approved": {f"{gallery.MAIL_DATA['portal_url']}household"},
    "change-request-denied": {f"{gallery.MAIL_DATA['portal_url']}household"},
}


@pytest.mark.parametrize("name", gallery.MAILS)
@pytest.mark.parametrize("languages", [("en",), ("es",), ("en", "es")])
def test_both_parts_of_a_mail_say_the_same(name, languages):
    mail = gallery.mail(name, *languages)
    marks = {"-", "-" * 40}
    assert [w for w in mail.text.split() if w not in marks] == words_of(mail.html)


def test_every_mail_of_the_service_stands_in_the_gallery():
    frames = {"closing", "greeting", "not-me"}
    shown = {template for template, _ in gallery.MAILS.values()}
    assert shown == {path.stem for path in TEMPLATES.glob("*.jinja")} - frames


@pytest.mark.parametrize("name", gallery.MAILS)
def test_a_mail_links_to_the_portal_and_the_ticket_form_and_nowhere_else(name):
    mail = gallery.mail(name, *texts.LANGUAGES)
    links = {a["href"] for a in Outline(mail.html).all("a")}
    assert links == {SUPPORT} | MAIL_LINKS[name]
    assert links == set(re.findall(r"https?://\S+", mail.text))
    assert Outline(mail.html).all("img", "script", "link", "style") == []


def test_the_key_mail_in_a_known_language():
    mail = gallery.mail("activation-key", "es")
    assert mail.subject == "Su clave de activación del Portal para Padres"
    assert KEY not in mail.subject
    for shown in (KEY, "Amara", "Mateo", "jueves 24 de diciembre de 2026", "/activate"):
        assert shown in mail.text
        assert shown in mail.html
    assert '<html lang="es"' in mail.html
    assert "Hello" not in mail.text


def test_the_key_mail_where_nobody_knows_the_language_holds_both():
    mail = gallery.mail("activation-key", "en", "es")
    assert mail.text.index("Hello Dolores,") < mail.text.index("Hola, Dolores:")
    assert mail.text.count(KEY) == 2
    assert '<div lang="es" dir="ltr"' in mail.html
    assert " / " in mail.subject


@pytest.mark.parametrize("name", gallery.MAILS)
def test_a_mail_in_both_languages_says_first_in_spanish_that_spanish_follows(name):
    below = "El mensaje en español está más abajo."
    both = gallery.mail(name, "en", "es")
    assert both.text.startswith(below + "\n\nHello")
    assert words_of(both.html)[:7] == below.split()
    (told,) = (p for p in Outline(both.html).all("p") if p.get("lang"))
    assert told["lang"] == "es"
    for alone in (gallery.mail(name, one) for one in ("en", "es")):
        assert below not in alone.text + alone.html


def test_a_mail_without_a_ticket_form_names_the_school():
    mail = gallery.mail("account-created", "en", support_url=None)
    assert "please contact your child’s school" in mail.text
    assert "None" not in mail.text


def test_hostile_names_stay_text_in_mails():
    more = {"name": HOSTILE, "students": [HOSTILE], "district_name": HOSTILE + "\r\nBcc: x@y.org"}
    mail = gallery.mail("activation-key", "en", **more)
    assert "<script>" not in mail.html
    assert HOSTILE in mail.text
    assert not set("\r\n") & set(mail.subject)


@pytest.mark.parametrize("name", gallery.MAILS)
def test_no_subject_holds_a_secret_or_a_name(name):
    subject = gallery.mail(name, *texts.LANGUAGES).subject
    for secret in (KEY, "t0k3n", "okafor22", "Dolores", "http"):
        assert secret not in subject


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_the_usernames_mail_lists_them_all(language):
    mail = gallery.mail("usernames", language)
    for username in ("okafor22", "delgado7"):
        assert username in mail.text
        assert username in mail.html


def test_the_lockout_mail_says_until_when_in_the_districts_time():
    mail = gallery.mail("locked-out", "en")
    assert "until Wednesday, November 25, 2026 at 12:00\N{NO-BREAK SPACE}AM." in mail.text
    assert "- okafor22\n- delgado7" in mail.text
    assert "nobody can sign in" in mail.text
    recovery = gallery.mail("locked-out-recovery", "en")
    assert "You can still sign in" in recovery.text
    assert "nobody can sign in" not in recovery.text
    one = gallery.mail("locked-out-one", "en")
    assert "- okafor22" in one.text
    assert one.text.startswith("Hello,")


def test_a_new_device_is_named_where_it_is_known():
    assert (
        "When: Tuesday, November 24, 2026 at 9:30\N{NO-BREAK SPACE}AM"
        in gallery.mail("new-device", "en").text
    )
    assert "Device: Firefox, Windows" in gallery.mail("new-device", "en").text
    assert "Device:" not in gallery.mail("new-device-unknown", "en").text


def test_the_mail_to_an_address_not_yet_confirmed_names_no_account():
    mail = gallery.mail("email-confirm", "en", "es")
    assert "okafor22" not in mail.text
    assert "Dolores" not in mail.text
    assert "24 hours" in mail.text


def test_a_security_mail_without_its_link_names_the_school():
    mail = gallery.mail("password-changed", "en", not_me=None)
    assert "If this wasn’t you, please tell your school right away." in mail.text
    assert "None" not in mail.text


def test_the_address_changed_mail_names_nobody():
    mail = texts.mail("address-changed", languages=("en", "es"), data={"district_name": "D"})
    assert "Hello," in mail.text
    assert "Hola:" in mail.text
