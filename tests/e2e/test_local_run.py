"""`python local.py` as a developer meets it: ready, mails on the terminal, state kept over Ctrl-C."""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import local
import sample_district
from tests.aws_stage import ROOT
from tests.e2e.conftest import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@dataclass
class Terminal:
    """A running `local.py` and what it printed so far."""

    port: int
    state: Path
    lines: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def start(self, *more: str) -> None:
        command = [sys.executable, "local.py", "--port", str(self.port)]
        self.lines.clear()
        self.process = subprocess.Popen(
            [*command, "--state", str(self.state), *more],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.lines.append(line.rstrip("\n"))

    def wait_for(self, seen: Callable[[str], bool], *, seconds: float = 120) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if seen(line):
                    return line
            time.sleep(0.1)
        raise AssertionError("\n".join(self.lines))

    def press_ctrl_c(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def ask(self, path: str, fields: dict[str, Any]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Host": f"{local.HOST}:{self.port}", "Content-Type": "application/json"}
        headers["Accept"] = "application/json"
        connection.request("POST", path, json.dumps(fields), headers)
        answer = connection.getresponse()
        with contextlib.closing(connection):
            return answer.status, json.loads(answer.read())


@pytest.fixture
def terminal(tmp_path: Path) -> Any:
    made = Terminal(free_port(), tmp_path / "state")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.press_ctrl_c()


def test_ready_then_mails_are_printed_and_state_outlives_ctrl_c(terminal: Terminal) -> None:
    child = next(iter(sample_district.families())).students[0]
    number = {"student_number": child.student_number, "ssn_last4": child.last_four}

    terminal.start()
    ready = f"Parent Portal ready: http://portal.localhost:{terminal.port}/"
    terminal.wait_for(lambda line: line == ready)
    assert terminal.ask("/activation-key", number)[0] == 202
    terminal.wait_for(lambda line: line.startswith("--- Mail to "))
    key = terminal.wait_for(lambda line: line.strip().count("-") == 3 and len(line.strip()) == 19)
    assert terminal.press_ctrl_c() == 0

    terminal.start()
    terminal.wait_for(lambda line: line == ready)
    assert terminal.ask("/activate", {"activation_key": key.strip()})[0] == 200


def test_a_roster_that_is_no_roster_is_said_and_ends(terminal: Terminal, tmp_path: Path) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"this is no zip")
    terminal.start("--roster", str(bad))
    assert terminal.process is not None
    assert terminal.process.wait(120) == 1
    terminal.wait_for(lambda line: "The roster was rejected" in line, seconds=5)
    assert not any("ready" in line for line in terminal.lines)
