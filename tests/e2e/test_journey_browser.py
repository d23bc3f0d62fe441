"""A parent's whole way in a browser on a phone, from the first page to Back after signing out.

Each visit fails at the first message on the console, dialog, or request to anybody but us. With
`make pictures` every page is left as a picture, for a person to look at.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect, sync_playwright

import local
from chalicelib import texts
from local import LocalStack
from sample_district import SampleFamily, SampleGuardian
from tests import roster_sets
from tests.chromium import ARGS, CHROMIUM, RULES, take_picture
from tests.e2e.conftest import DeployedClient, District, wait_for_mail
from tests.e2e.test_deployed import activation_key

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium"),
]

PHONE: Mapping[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
}
WIDE: Mapping[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PASSWORD, WRONG_PASSWORD = "blue42Horses", "red43Horses"
WRONG_KEY = "2222-2222-2222-2222"
FIRST_PAGE_BYTES, FIRST_PAGE_REQUESTS = 30_000, 3

# Visitors come from one address each, so that the limits of one leave the others alone.
_ADDRESSES = (f"198.51.100.{n}" for n in itertools.count(1))
# A browser that goes Back as people's do: from memory where the page allows it.
_NOT_OURS = ["--disable-back-forward-cache"]
# Chromium notes each refused form, which the tests judge by its status, and what sign-out cleared.
_NOTED = re.compile(
    r"Failed to load resource: .*status of 4(01|03|22|29)"
    r"|Clear-Site-Data header on .*/sign-out': Cleared data types: \"cache\", \"storage\"\.$"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.fspath(CHROMIUM), args=ARGS, ignore_default_args=_NOT_OURS
        )
        yield browser
        browser.close()


# --- a visit ------------------------------------------------------------------


@dataclass
class Visit:
    """One person's browser: what it is shown, what it asks for, and what it complains about."""

    context: BrowserContext
    origin: str
    name: str
    scripts: bool
    touch: bool = True
    page: Page = field(init=False)
    requested: list[str] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    pictures: int = 0

    def __post_init__(self) -> None:
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("response", self._answered)
        self.page.on("console", lambda message: self._complained(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._dialog)

    def _answered(self, response: Response) -> None:
        self.answers.append(response)

    def _complained(self, text: str) -> None:
        if not _NOTED.match(text):
            self.complaints.append(text)

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def open(self, path: str) -> None:
        self.page.goto(self.origin + path)

    def press(self, button: str) -> int:
        """Tap a button that sends its form; return the status of the page that comes."""
        return self._follow(self.page.get_by_role("button", name=button, exact=True))

    def follow(self, link: str) -> int:
        """Tap a link; return the status of the page that comes."""
        return self._follow(self.page.get_by_role("link", name=link, exact=True).first)

    def _follow(self, control: Any) -> int:
        shown = len(self.answers)
        with self.page.expect_navigation():
            control.tap() if self.touch else control.click()
        pages = [one for one in self.answers[shown:] if one.request.is_navigation_request()]
        return pages[-1].status

    @property
    def path(self) -> str:
        """Where the browser stands, with the query."""
        return self.page.url.removeprefix(self.origin)

    @property
    def title(self) -> str:
        """The page's heading."""
        return self.page.inner_text("h1")

    @property
    def text(self) -> str:
        """All that can be read."""
        return self.page.inner_text("body")

    def look(self, name: str, *, axe: bool = True) -> None:
        """Hold the page to what holds for each: axe, no sideways scrolling, no secret in it."""
        self.pictures += 1
        take_picture(self.page, f"{self.name}-{self.pictures:02d}-{name}")
        if self.scripts and axe:  # axe waits for promises, which never come without
            result = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": RULES}})
            wrong = result.response["violations"] + result.response["incomplete"]
            assert not wrong, [(name, one["id"], one["nodes"][0]["html"]) for one in wrong]
        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= self.page.viewport_size["width"], (name, width)  # type: ignore[index]
        assert "Horses" not in self.page.content(), name

    def stored(self) -> str:
        """Return all that the page's origin keeps in the browser, but for HttpOnly cookies."""
        return str(
            self.page.evaluate(
                """async () => JSON.stringify([
                  {...localStorage}, {...sessionStorage}, document.cookie,
                  await indexedDB.databases(), await caches.keys(),
                  (await navigator.serviceWorker.getRegistrations()).length])"""
            )
        )

    def end(self) -> None:
        """Hold the whole visit to what holds for each."""
        self.context.close()
        assert self.complaints == []
        assert self.dialogs == []
        elsewhere = [url for url in self.requested if not url.startswith((self.origin, "data:"))]
        assert elsewhere == []


NOTHING_STORED = '[{},{},"",[],[],0]'
NewVisit = Callable[..., Visit]


@pytest.fixture
def new_visit(browser: Browser, stack: LocalStack) -> Iterator[NewVisit]:
    visits = []

    def make(
        name: str, *, scripts: bool = True, device: Mapping[str, Any] = PHONE, **how: Any
    ) -> Visit:
        context = browser.new_context(
            **{**device, **how},
            java_script_enabled=scripts,
            extra_http_headers={"X-Forwarded-For": next(_ADDRESSES)},
        )
        touch = bool(device.get("has_touch"))
        visits.append(Visit(context, stack.address.rstrip("/"), name, scripts, touch))
        return visits[-1]

    yield make
    for visit in visits:
        visit.end()


# --- families -----------------------------------------------------------------


@pytest.fixture(scope="module")
def family(stack: LocalStack, district: District) -> SampleFamily:
    """Two parents in two households, who see the same two children; neither has an account."""
    found = next(one for one in district.families if one.shape == "two households")
    for guardian in found.guardians:
        forget_account(stack, guardian.email)
    return found


def forget_account(stack: LocalStack, email: str | None) -> None:
    """Delete an account that an earlier run on the same stack made."""
    for one in stack.invoke("find_guardian", {"email": email})["guardians"]:
        if one["account"]:
            stack.invoke("delete_account", {"username": one["account"]["username"]})


def make_account(stack: LocalStack, email: str, username: str) -> None:
    """Make a guardian's account with a key from the school's office."""
    forget_account(stack, email)
    (found,) = stack.invoke("find_guardian", {"email": email})["guardians"]
    event = {"guardian_id": found["guardian_id"], "deliver": "return"}
    made = DeployedClient(stack).post(
        "/create-account",
        {
            "activation_key": stack.invoke("issue_activation_key", event)["activation_key"],
            "username": username,
            "password": PASSWORD,
            "verify_password": PASSWORD,
        },
    )
    assert made.status == 201, made.text


def sign_in(visit: Visit, username: str, *, next_path: str = "") -> int:
    visit.open(f"/sign-in{next_path}")
    visit.page.fill("#username", username)
    visit.page.fill("#password", PASSWORD)
    return visit.press("Sign in")


# --- the journey --------------------------------------------------------------


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_a_parent_gets_from_the_first_page_to_their_children_and_out_again(
    stack, family, new_visit, scripts
):
    guardian = family.guardians[0 if scripts else 1]
    visit = new_visit("scripts" if scripts else "plain", scripts=scripts, locale="en-US")
    username = "journey1" if scripts else "journey2"

    ask_for_a_key(visit, family)
    key = key_from_mail(stack, visit, family, guardian)
    enter_the_key(visit, key)
    create_the_account(visit, family, key, username)
    sign_in_at_last(visit, username)
    look_around(visit, family)
    sign_out_and_go_back(visit, family)


def ask_for_a_key(visit: Visit, family: SampleFamily) -> None:
    visit.open("/")
    assert (visit.path, visit.title) == ("/sign-in", "Sign in")
    sizes = [one.request.sizes() for one in visit.answers]
    spent = sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)
    assert len(visit.requested) <= FIRST_PAGE_REQUESTS
    assert spent <= FIRST_PAGE_BYTES
    visit.look("first")

    visit.follow("I don’t have an activation key")
    visit.look("activation-key")
    child = family.students[0]
    visit.page.fill("#student_number", child.student_number)
    visit.page.fill("#ssn_last4", "98")
    assert visit.press("Request key") == 422
    assert_refused(visit, "ssn_last4")
    assert visit.page.input_value("#student_number") == child.student_number
    assert visit.page.input_value("#ssn_last4") == ""
    visit.look("activation-key-refused")


def key_from_mail(
    stack: LocalStack, visit: Visit, family: SampleFamily, guardian: SampleGuardian
) -> str:
    sent = len(stack.mails())
    visit.page.fill("#ssn_last4", str(family.students[0].last_four))
    assert visit.press("Request key") == 200
    assert visit.path == "/activation-key?done"
    visit.look("check-your-email")
    visit.follow("Español")
    assert visit.page.get_attribute("html", "lang") == "es"
    assert visit.title == "Revise su correo electrónico"
    visit.look("check-your-email-es")
    visit.follow("English")
    assert visit.title == "Check your email"
    return activation_key(wait_for_mail(stack, str(guardian.email), after=sent))


def enter_the_key(visit: Visit, key: str) -> None:
    visit.follow("Enter your activation key")
    expected: list[str | None] = ["text", "one-time-code", None]
    assert attributes(visit, "#activation_key", "type", "autocomplete", "maxlength") == expected
    visit.page.fill("#activation_key", WRONG_KEY)
    assert visit.press("Submit") == 422
    assert_refused(visit, "activation_key")
    assert visit.page.input_value("#activation_key") == WRONG_KEY
    visit.look("activate-refused")
    if visit.scripts:
        paste(visit, "#activation_key", f" {key} ")
    else:
        # As it is typed from a letter: small, without dashes.
        visit.page.fill("#activation_key", key.replace("-", " ").lower())
    assert visit.press("Submit") == 200


def create_the_account(visit: Visit, family: SampleFamily, key: str, username: str) -> None:
    assert visit.title == "Create your account"
    for child in family.students:
        assert child.given_name in visit.text
    assert attributes(visit, "#username", "type", "autocomplete") == ["text", "username"]
    for one in ("#password", "#verify_password"):
        assert attributes(visit, one, "type", "autocomplete") == ["password", "new-password"]
    visit.look("create-account")

    visit.page.fill("#username", username)
    visit.page.fill("#password", PASSWORD)
    visit.page.fill("#verify_password", PASSWORD + "x")
    assert visit.press("Create Account") == 422
    assert_refused(visit, "verify_password")
    assert visit.page.input_value("#username") == username
    assert visit.page.input_value("#password") == visit.page.input_value("#verify_password") == ""
    visit.look("create-account-refused")

    # Whoever changes the language here needs the key once more, and no more than that.
    visit.follow("Español")
    assert visit.title == "Ingrese su clave de activación"
    visit.follow("English")
    visit.page.fill("#activation_key", key)
    assert visit.press("Submit") == 200
    visit.page.fill("#username", username)
    for one in ("#password", "#verify_password"):
        if visit.scripts:
            paste(visit, one, PASSWORD)
        else:
            visit.page.fill(one, PASSWORD)
    assert visit.press("Create Account") == 200
    assert visit.path == "/sign-in?note=account-created"
    assert "Your account is ready." in visit.text
    visit.look("account-created")


def sign_in_at_last(visit: Visit, username: str) -> None:
    assert attributes(visit, "#username", "type", "autocomplete") == ["text", "username"]
    expected = ["password", "current-password"]
    assert attributes(visit, "#password", "type", "autocomplete") == expected
    visit.page.fill("#username", username)
    visit.page.fill("#password", WRONG_PASSWORD)
    assert visit.press("Sign in") == 401
    assert_refused(visit, "username")
    assert "No security authorization. Please log in." in visit.text
    assert visit.page.input_value("#username") == username
    assert visit.page.input_value("#password") == ""
    visit.look("sign-in-refused")
    if visit.scripts:
        paste(visit, "#password", PASSWORD)
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_url(visit.origin + "/")
    else:
        visit.page.fill("#password", PASSWORD)
        assert visit.press("Sign in") == 200


def look_around(visit: Visit, family: SampleFamily) -> None:
    assert (visit.path, visit.title) == ("/", "Your children")
    assert_children(visit, family)
    visit.look("home")
    visit.follow("Español")
    assert visit.title == "Sus hijos"
    assert_children(visit, family)
    visit.look("home-es")
    visit.follow("Estudiantes")
    assert_children(visit, family)
    visit.look("students-es")
    visit.follow("English")
    visit.follow("Stay signed in longer")
    assert visit.title == "Your session"
    visit.look("session")
    assert visit.press("Stay signed in") == 200
    assert visit.path == "/session?done"
    if visit.scripts:
        # The worker's own files, which are the same for everybody (test_service_worker.py).
        visit.page.evaluate("async () => { await navigator.serviceWorker.ready; }")
        version = re.search(r'VERSION = ("[^"]+")', texts.service_worker())
        assert version
        assert visit.stored() == f'[{{}},{{}},"",[],[{version[1]}],1]'
    for cookie in visit.context.cookies():
        assert cookie["httpOnly"], cookie["name"]
        assert cookie["sameSite"] == "Lax", cookie["name"]
        assert cookie["path"] == "/", cookie["name"]
    visit.follow("Home")
    assert_children(visit, family)


def sign_out_and_go_back(visit: Visit, family: SampleFamily) -> None:
    # The browser says what it cleared, some time after it shows the next page.
    with visit.page.expect_console_message(lambda said: said.text.startswith("Clear-Site-Data")):
        visit.press("Sign out")
    assert visit.path == "/sign-in?note=signed-out"
    visit.look("signed-out")
    assert "session" not in [cookie["name"] for cookie in visit.context.cookies()]
    for _ in range(3):
        # From memory, from the cache or anew: whichever the browser does, it shows nobody.
        visit.page.go_back(wait_until="commit")
        expect(visit.page.get_by_role("heading", level=1)).to_have_text("Sign in")
        for child in family.students:
            assert child.given_name not in visit.page.content()
            assert child.student_number not in visit.page.content()
    if visit.scripts:
        assert visit.stored() == NOTHING_STORED


def assert_children(visit: Visit, family: SampleFamily) -> None:
    for child in family.students:
        assert f"{child.given_name} {child.family_name}" in visit.text
        assert child.student_number in visit.text


def assert_refused(visit: Visit, *fields: str) -> None:
    """The page says so in its title and in a summary that leads to each field at fault."""
    assert visit.page.title().startswith("Error: ")
    summary = visit.page.locator("#errors")
    assert summary.get_by_role("heading").inner_text() == "There is a problem"
    if visit.scripts:
        assert visit.page.evaluate("document.activeElement.id") == "errors"
    links = summary.get_by_role("link")
    targets = [links.nth(n).get_attribute("href") for n in range(links.count())]
    # Beside them the sign-in's summary leads to recovery.
    assert [one for one in targets if str(one).startswith("#")] == [f"#{one}" for one in fields]
    for number, one in enumerate(fields):
        assert links.nth(number).inner_text() in visit.page.inner_text(f"#{one}-error")
        links.nth(number).tap()
        expect(visit.page.locator(f"#{one}")).to_be_focused()


def attributes(visit: Visit, field_selector: str, *names: str) -> list[str | None]:
    return [visit.page.get_attribute(field_selector, name) for name in names]


def paste(visit: Visit, field_selector: str, text: str) -> None:
    """Put text into a field as from another app: over the clipboard, by the keyboard."""
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.page.evaluate("(text) => navigator.clipboard.writeText(text)", text)
    visit.page.fill(field_selector, "")
    visit.page.focus(field_selector)
    visit.page.keyboard.press("Control+V")
    assert visit.page.input_value(field_selector).strip() == text.strip()


# --- what stays on a device ---------------------------------------------------


def test_a_device_keeps_the_script_and_nothing_about_a_child(browser, stack, district, tmp_path):
    """A browser with a profile on disk, closed without signing out, as on a borrowed computer."""
    family = next(one for one in district.families if one.shape == "half siblings")
    make_account(stack, str(family.guardians[0].email), "journey4")
    context = browser.browser_type.launch_persistent_context(
        tmp_path, executable_path=os.fspath(CHROMIUM), args=ARGS, ignore_default_args=_NOT_OURS
    )
    visit = Visit(context, stack.address.rstrip("/"), "device", scripts=True, touch=False)
    sign_in(visit, "journey4")
    assert_children(visit, family)
    visit.follow("Students")
    visit.follow("Home")
    visit.end()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    script = next(url for url in visit.requested if url.endswith(".js"))
    assert script.encode() in kept, "the cache on disk isn't where this test looks"
    for child in family.students:
        for text in (child.student_number, str(child.gtid), child.family_name):
            assert text.encode() not in kept, text
            assert text.encode("utf-16-le") not in kept, text


# --- addresses and names that mean harm -------------------------------------------


def test_no_next_leads_off_the_site(stack, district, new_visit):
    """After signing in a parent is at a path of ours, whatever the link said."""
    family = next(one for one in district.families if one.shape == "half siblings")
    make_account(stack, str(family.guardians[0].email), "journey3")
    visit = new_visit("next")
    visit.open("/students")
    assert visit.path == "/sign-in?next=%2Fstudents"
    visit.page.fill("#username", "journey3")
    visit.page.fill("#password", PASSWORD)
    visit.press("Sign in")
    assert visit.path == "/students"
    for evil in (
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https://evil.example/",
        "%2f%2fevil.example",
        "/%2fevil.example",
        "/\t/evil.example",
        "\n//evil.example",
        "/students\n//evil.example",
        "javascript:alert(1)",
    ):
        visit.context.clear_cookies()
        sign_in(visit, "journey3", next_path=f"?next={quote(evil, safe='')}")
        assert (visit.page.url, visit.title) == (f"{visit.origin}/", "Your children"), evil


HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)>"'`{{7*7}}${7*7}</p>"""
SHAPE = """() => {
  const shape = (one) => [one.tagName, [...one.attributes].map((a) => a.name).sort().join(),
                          [...one.children].map(shape)];
  return JSON.stringify(shape(document.documentElement)); }"""


def test_hostile_names_are_only_names(stack, district, new_visit):
    """A family whose every name is code sees the pages that a plain family sees, to the tag."""
    report = upload(stack, hostile_families(datetime.now(UTC)))
    assert report["status"] == "applied", report
    shapes = []
    for kind in ("plain", "hostile"):
        visit = new_visit("wide", device=WIDE)
        email, username = f"{kind}@example.net", f"{kind}1names"
        seen = [shape_of_key_page(stack, visit, email)]
        make_account(stack, email, username)
        sign_in(visit, username)
        for path in ("/", "/?lang=es", "/students"):
            visit.open(path)
            visit.look(f"names-{kind}")
            seen.append(visit.page.evaluate(SHAPE))
            if kind == "hostile":
                assert visit.text.count(HOSTILE) >= 2, path
        shapes.append(seen)
    assert shapes[0] == shapes[1]


def shape_of_key_page(stack: LocalStack, visit: Visit, email: str) -> str:
    forget_account(stack, email)
    (found,) = stack.invoke("find_guardian", {"email": email})["guardians"]
    event = {"guardian_id": found["guardian_id"], "deliver": "return"}
    visit.open("/activate")
    key = stack.invoke("issue_activation_key", event)["activation_key"]
    visit.page.fill("#activation_key", key)
    assert visit.press("Submit") == 200
    visit.look("names-create-account")
    return str(visit.page.evaluate(SHAPE))


def upload(stack: LocalStack, roster: roster_sets.RosterSet) -> Mapping[str, Any]:
    path = stack.folder / "names.zip"
    path.write_bytes(roster.zipped())
    return local.load_roster(stack, path, "names")


def hostile_families(now: datetime) -> roster_sets.RosterSet:
    """Return a delta with two families that differ in nothing but what they are called."""
    rows: dict[str, list[dict[str, str]]] = {}

    def add(file: str, **cells: str) -> None:
        stamp = {"dateLastModified": f"{now:%Y-%m-%dT%H:%M:%S}.000Z"}
        rows.setdefault(file, []).append(stamp | cells)

    start, end = now.date() - timedelta(days=90), now.date() + timedelta(days=200)
    add(
        "academicSessions",
        sourcedId="n-year",
        title="Year",
        type="schoolYear",
        startDate=f"{start}",
        endDate=f"{end}",
        schoolYear=str(end.year),
    )
    add("categories", sourcedId="n-work", title="Work")
    for number, (kind, name) in enumerate((("plain", "Plain"), ("hostile", HOSTILE))):
        add("orgs", sourcedId=f"n-school-{kind}", name=name, type="school")
        school = {"orgSourcedIds": f"n-school-{kind}", "enabledUser": "true"}
        person = school | {"givenName": name, "familyName": name}
        child, adult, teacher = (f"n-{who}-{kind}" for who in ("child", "adult", "teacher"))
        add(
            "users",
            **person,
            sourcedId=child,
            role="student",
            username=child,
            identifier=f"77000{number}",
            grades="05",
            **{"metadata.ssnLast4": "4321"},
        )
        add(
            "users",
            **person,
            sourcedId=adult,
            role="parent",
            username=adult,
            email=f"{kind}@example.net",
        )
        add("users", **person, sourcedId=teacher, role="teacher", username=teacher)
        add("courses", sourcedId=f"n-course-{kind}", title=name, orgSourcedId=f"n-school-{kind}")
        add(
            "classes",
            sourcedId=f"n-class-{kind}",
            title=name,
            courseSourcedId=f"n-course-{kind}",
            classType="scheduled",
            location=name,
            schoolSourcedId=f"n-school-{kind}",
            termSourcedIds="n-year",
            periods="1",
            **{"metadata.meetingDays": "M,T,W,R,F,S,U"},
        )
        for user, role in ((child, "student"), (teacher, "teacher")):
            add(
                "enrollments",
                sourcedId=f"n-in-{user}",
                classSourcedId=f"n-class-{kind}",
                schoolSourcedId=f"n-school-{kind}",
                userSourcedId=user,
                role=role,
            )
        add(
            "lineItems",
            **roster_sets.line_item(f"n-item-{kind}", f"n-class-{kind}")
            | {
                "title": name,
                "assignDate": f"{start}",
                "dueDate": f"{start}",
                "categorySourcedId": "n-work",
                "gradingPeriodSourcedId": "n-year",
            },
        )
        score = {"scoreDate": f"{start}", "metadata.letterGrade": "B"}
        add("results", **roster_sets.result(f"n-score-{kind}", f"n-item-{kind}", child, **score))
        absent = roster_sets.absence(f"n-absent-{kind}", child, f"{now.date()}")
        add("attendance", **absent | {"schoolSourcedId": f"n-school-{kind}", "reason": name})
        add("relationships", **roster_sets.relationship(child, adult))
    return roster_sets.delta(**rows)
