"""The local stack's command line: what its clock takes, and what it refuses before it starts."""

import json
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

import local
from local import LocalStack, LocalStackError, read_clock, run

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("+26h", timedelta(hours=26)),
        ("+3d", timedelta(days=3)),
        ("+90m", timedelta(minutes=90)),
        ("+45s", timedelta(seconds=45)),
        ("-1h", timedelta(hours=-1)),
        ("now", timedelta()),
        ("2026-11-25T12:00:00Z", timedelta(days=1)),
        ("2026-11-24T12:00:00-05:00", timedelta(hours=5)),
        ("2026-11-24T13:00", timedelta(hours=1)),
    ],
)
def test_the_clock_takes_a_distance_an_iso_time_or_now(typed: str, expected: timedelta) -> None:
    assert read_clock(typed, now=NOW) == expected


@pytest.mark.parametrize(
    "typed", ["", "tomorrow", "26h", "+26", "+26x", "+1e3h", "+9999999d", "-99999999999999d"]
)
def test_the_clock_refuses_what_is_no_time(typed: str) -> None:
    with pytest.raises(LocalStackError, match="is no time"):
        read_clock(typed, now=NOW)


def test_the_clock_file_holds_one_number(tmp_path: Path) -> None:
    LocalStack(folder=tmp_path).move_clock(timedelta(hours=26))
    assert int((tmp_path / "clock").read_text()) == 93600


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = LocalStack(port, tmp_path / "state")
        with pytest.raises(LocalStackError, match=f"Port {port} is in use"):
            run(stack, None)
    assert not (tmp_path / "state").exists()


def test_state_of_another_port_is_refused(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("4566\n")
    with pytest.raises(LocalStackError, match="start with --port 4566, or --fresh"):
        run(LocalStack(4999, tmp_path), None)


def test_a_roster_that_isnt_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match=r"There is no file .*missing\.zip"):
        run(LocalStack(4999, tmp_path), tmp_path / "missing.zip")


# --- invoke -----------------------------------------------------------------------


class Lambda(BaseHTTPRequestHandler):
    """Answers as Lambda does: `find_guardian` with what it was asked, others as unknown."""

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known = self.path.endswith("/functions/parent-portal-local-find_guardian/invocations")
        body = json.dumps({"asked": event} if known else {"Message": "no such function"}).encode()
        self.send_response(200 if known else 404)
        if not known:
            self.send_header("x-amzn-ErrorType", "ResourceNotFoundException")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Lambda) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["local.py", *map(str, words)])
    local.main()


@pytest.mark.parametrize(
    ("typed", "event"),
    [((), {}), (('{"name": "Noé"}',), {"name": "Noé"})],
)
def test_an_admin_function_is_called_and_its_answer_printed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    port: int,
    typed: tuple[str, ...],
    event: dict[str, str],
) -> None:
    command(monkeypatch, "--port", port, "invoke", "find_guardian", *typed)
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"asked": event}
    assert "\\u" not in printed


@pytest.mark.parametrize("typed", ["student_number", "[]", '"006377481"'])
def test_what_is_no_event_is_refused_before_anything_is_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    with pytest.raises(SystemExit):
        command(monkeypatch, "invoke", "find_guardian", typed)
    assert f"{typed} is no JSON object" in capsys.readouterr().err


def test_a_function_that_isnt_there_is_said(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    with pytest.raises(SystemExit, match="There is no function find_gardian"):
        command(monkeypatch, "--port", port, "invoke", "find_gardian")


def test_that_nothing_runs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SystemExit, match=f"Nothing runs on port {port}"):
        command(monkeypatch, "--port", port, "invoke", "find_guardian")
