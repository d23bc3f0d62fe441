"""A parent's phone on the deployed portal: what it keeps while signed in, and without a connection."""

import pytest

from chalicelib import texts
from sample_district import SampleFamily
from tests.e2e.test_journey_browser import (
    CHROMIUM,
    NOTHING_STORED,
    PASSWORD,
    Visit,
    assert_children,
    make_account,
    sign_in,
)
from tests.e2e.test_journey_browser import browser as browser  # noqa: PLC0414 - the fixtures
from tests.e2e.test_journey_browser import new_visit as new_visit  # noqa: PLC0414

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium"),
]
USERNAME = "offline1"
# Every address in every cache with what is kept there, and all else that a page can keep.
KEPT = """async () => {
  const caught = [];
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) {
      const answer = await cache.match(request);
      caught.push([new URL(request.url).pathname, [...answer.headers].join(), await answer.text()]);
    }
  }
  return JSON.stringify([caught, {...localStorage}, {...sessionStorage}, document.cookie,
                         await indexedDB.databases()]);
}"""
PATHS = """async () => {
  const cache = await caches.open((await caches.keys())[0]);
  return (await cache.keys()).map((one) => new URL(one.url).pathname).sort();
}"""


@pytest.fixture(scope="module")
def family(stack, district) -> SampleFamily:
    """A family of several children, with an account."""
    found = next(one for one in district.families if one.shape == "half siblings")
    make_account(stack, str(found.guardians[0].email), USERNAME)
    return found


def signed_in(new_visit, family: SampleFamily) -> Visit:
    visit = new_visit("offline")
    sign_in(visit, USERNAME)
    assert_children(visit, family)
    visit.page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    return visit


def assert_nothing_personal(visit: Visit, family: SampleFamily) -> None:
    kept = str(visit.page.evaluate(KEPT))
    for child in family.students:
        for text in (child.family_name, child.student_number, str(child.gtid)):
            assert text not in kept, text
    for text in (USERNAME, PASSWORD, str(family.guardians[0].email)):
        assert text not in kept, text


def test_a_phone_keeps_four_files_and_nothing_personal_signed_in_and_out(stack, family, new_visit):
    visit = signed_in(new_visit, family)
    for path in ("/", "/students", "/account", "/session", "/help", "/?lang=es"):
        visit.open(path)
    expected = ("icon-maskable.svg", "icon.svg", "offline.html", "portal.js")
    paths = sorted(f"/static/{texts.asset(name)}" for name in expected)
    assert visit.page.evaluate(PATHS) == paths
    assert_nothing_personal(visit, family)
    visit.open("/?lang=en")
    visit.press("Sign out")
    assert visit.stored() == NOTHING_STORED
    visit.open("/students")
    assert visit.path == "/sign-in?next=%2Fstudents"
    assert visit.stored() == NOTHING_STORED


def test_without_a_connection_a_parent_is_told_and_goes_on_where_they_were(
    stack, family, new_visit
):
    visit = signed_in(new_visit, family)
    visit.page.reload()
    visit.context.set_offline(True)
    visit.open("/students")
    assert visit.title == "No connection"
    assert visit.path == "/students"
    for child in family.students:
        assert child.student_number not in visit.page.content()
    visit.look("offline")
    visit.context.set_offline(False)
    visit.follow("Try again")
    assert visit.title == "Students"
    assert_children(visit, family)
