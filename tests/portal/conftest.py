"""What several files share: AWS that fails (`tests/fault_trap.py`), and the district's own sign-on."""

import json
from collections.abc import Callable, Iterator

import pytest

from chalicelib.storage import district
from tests import fault_trap
from tests.fault_trap import SECRET, Trap, Visitors, World
from tests.identity_provider import CLIENT, IdentityProvider


@pytest.fixture
def trap(stage: object, monkeypatch: pytest.MonkeyPatch) -> Trap:
    """Give a trap before every AWS call, unarmed."""
    return fault_trap.set_trap(monkeypatch)


@pytest.fixture
def world(new_visitor: Visitors) -> World:
    """Give a world that can be put back."""
    return World(new_visitor)


@pytest.fixture
def reference_in_log(capsys: pytest.CaptureFixture[str]) -> Callable[[], set[str]]:
    """Give a function that returns the references in the log since it was last asked."""

    def read() -> set[str]:
        text = capsys.readouterr().err
        assert SECRET not in text
        lines = [json.loads(line) for line in text.splitlines()]
        failed = [line for line in lines if line["event"] in ("aws-failed", "unexpected-error")]
        assert all(line["level"] == "error" for line in failed)
        return {line["reference"] for line in failed}

    return read


@pytest.fixture
def provider(stage: object) -> Iterator[IdentityProvider]:
    """Give an identity provider that the district has configured."""
    provider = IdentityProvider().start()
    district.save_preferences({"sso_issuer": provider.issuer, "sso_client_id": CLIENT})
    yield provider
    provider.stop()
