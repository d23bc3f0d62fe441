"""What tests share that let AWS fail (`tests/fault_trap.py`)."""

import pytest

from tests import fault_trap
from tests.fault_trap import Trap, Visitors, World


@pytest.fixture
def trap(stage: object, monkeypatch: pytest.MonkeyPatch) -> Trap:
    """Give a trap before every AWS call, unarmed."""
    return fault_trap.set_trap(monkeypatch)


@pytest.fixture
def world(new_visitor: Visitors) -> World:
    """Give a world that can be put back."""
    return World(new_visitor)
