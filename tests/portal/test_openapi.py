"""/openapi.json as it is served, and that nothing beyond it goes out (S70)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from chalicelib import settings
from tests import api_contract, aws_stage, factories
from tests.portal_client import HTML, JSON, PortalClient

Visitors = Callable[[], PortalClient]
CANARY = "kestrel-canary"
CLASS = {
    "id": "c1",
    "title": "Art",
    "periods": ["1"],
    "start_time": "08:00",
    "end_time": "08:45",
    "days": ["Mon"],
    "teacher": "Ms. Lee",
    "room": "4",
    "term": "Spring",
    "term_start": "2026-01-05",
    "term_end": "2026-05-22",
    "school": "Elm School",
}
EVENT = {
    "date": "2026-03-02",
    "type": "daily",
    "status": "absent",
    "excuse": "excused",
    "period": None,
    "class_id": None,
    "class": None,
    "reason": "ill",
    "minutes": None,
}
GRADE = {
    "class": "Art",
    "title": "Collage",
    "score": 9,
    "max_score": 10,
    "grade": "A",
    "date": "2026-02-27",
}


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


def test_it_is_served_to_everybody_as_kept(portal: PortalClient) -> None:
    for accept in (JSON, HTML, "*/*"):
        answer = portal.get("/openapi.json", accept=accept)
        assert answer.status == 200
        assert answer.header("content-type") == "application/json; charset=utf-8"
        served = answer.json()
        assert served["components"]["securitySchemes"]["session"].pop("name") == "session"
        kept = json.loads(json.dumps(api_contract.document()))
        kept["components"]["securitySchemes"]["session"].pop("name")
        assert served == kept


def test_it_names_the_cookie_of_the_stage(
    portal: PortalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "STAGE", "prod")
    served = portal.get("/openapi.json").json()
    assert served["components"]["securitySchemes"]["session"]["name"] == "__Host-session"


def test_an_attribute_added_to_an_item_goes_out_in_no_answer(new_visitor: Visitors) -> None:
    ana = factories.student(
        given_name="Ana", classes=[CLASS], recent_attendance=[EVENT], newest_grades=[GRADE]
    )
    who = factories.account(factories.guardian(ana))
    visitor = factories.signed_in(new_visitor, who)
    assert plant_everywhere() > 8
    fields = {"username": who.username, "password": who.password}
    assert CANARY not in visitor.post("/sign-in", fields).text
    asked = {"id": ana.student_id, "name": "none.js", "code": "invalid"}
    for path, method, _ in api_contract.operations():
        if method == "GET":
            for accept in (JSON, HTML):
                answer = visitor.get(path.format(**asked), accept=accept)
                assert answer.status < 500, path
                assert CANARY not in answer.text, path
    home = visitor.get("/").json()
    assert home["today"][0]["classes"][0]["title"] == "Art"
    assert home["today"][0]["attendance"][0]["reason"] == "ill"
    assert home["today"][0]["newest_grades"][0]["title"] == "Collage"


def plant_everywhere() -> int:
    """Add an attribute to every stored item, and to every object that one holds as JSON; count them."""
    dynamodb = aws_stage.client("dynamodb")
    planted = 0
    for table in dynamodb.list_tables()["TableNames"]:
        if table == settings.name("preferences"):
            continue
        for item in dynamodb.scan(TableName=table)["Items"]:
            if "data" in item:
                item["data"]["S"] = json.dumps(_planted(json.loads(item["data"]["S"])))
            dynamodb.put_item(TableName=table, Item={**item, "nickname": {"S": CANARY}})
            planted += 1
    return planted


def _planted(data: Any) -> Any:
    if isinstance(data, list):
        return [_planted(one) for one in data]
    if isinstance(data, dict):
        return {**{k: _planted(v) for k, v in data.items()}, "nickname": CANARY}
    return data
