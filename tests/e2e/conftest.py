"""The packaged template in the embedded AWS, once for the whole run, in a folder of its own.

`PARENT_PORTAL_STACK=PORT:FOLDER` uses a stack that runs already, as `python local.py` starts it
(`PARENT_PORTAL_STACK=4566:.local`); that is quicker while writing tests.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import local
import sample_district
from local import LocalStack
from sample_district import SampleFamily
from tests.portal_client import Answer, PortalClient, read_answer


@dataclass
class DeployedClient(PortalClient):
    """A visitor who comes in through the deployed API; `app` is the stack."""

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None, ip: str
    ) -> Answer:
        """Send one request by HTTP. The embedded AWS takes the address from X-Forwarded-For."""
        stack: LocalStack = self.app
        sent = {k: v for k, v in headers.items() if k != "host"} | {"X-Forwarded-For": ip}
        status, pairs, raw = stack.request(method, path, body, sent)
        return read_answer(status, pairs, raw.decode())


@pytest.fixture(autouse=True)
def no_real_aws() -> None:
    """Take the place of the base fixture: clients of the stack name their address themselves."""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Give the deployed stage, without a district."""
    running = os.environ.get("PARENT_PORTAL_STACK")
    if running:
        port, folder = running.split(":", 1)
        yield LocalStack(int(port), Path(folder).resolve())
        return
    folder = tmp_path_factory.mktemp("stack")
    with local.running(LocalStack(free_port(), folder)) as started:
        yield started


@pytest.fixture
def portal(stack: LocalStack) -> DeployedClient:
    """Give a visitor of the deployed portal: keeps cookies, speaks JSON or HTML."""
    return DeployedClient(stack)


@pytest.fixture
def new_visitor(stack: LocalStack) -> Callable[[], DeployedClient]:
    """Give a maker of further visitors, each with cookies of their own."""
    return lambda: DeployedClient(stack)


@pytest.fixture
def clock(stack: LocalStack) -> Iterator[Callable[[timedelta], None]]:
    """Give a function that moves the portal's clock; it is put right afterwards."""
    yield stack.move_clock
    stack.move_clock(timedelta())


def wait_for_mail(
    stack: LocalStack, recipient: str, *, after: int = 0, saying: str = "", seconds: float = 30
) -> dict[str, Any]:
    """Return the newest mail to an address, waiting for one beyond the first `after` mails.

    Workers mail at once, in any order: name what the mail meant is `saying`, where others may come too.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = [
            mail
            for mail in stack.mails()[after:]
            if recipient in mail["To"] and saying in mail["Subject"] + mail["BodyText"]
        ]
        if found:
            return found[-1]
        time.sleep(0.2)
    raise AssertionError(f"no mail to {recipient} saying {saying!r} within {seconds} seconds")


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class District:
    """The sample district as it was imported: its families and the import's report."""

    families: tuple[SampleFamily, ...]
    report: Mapping[str, Any]

    @property
    def family(self) -> SampleFamily:
        """The first one: one guardian with an address, two children."""
        return self.families[0]


@pytest.fixture(scope="session")
def district(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> District:
    """Give the sample district, imported on the stack through the bucket."""
    zip_path = tmp_path_factory.mktemp("district") / "sample.zip"
    sample_district.write_district(
        zip_path,
        students=local.SAMPLE_STUDENTS,
        seed=local.SAMPLE_SEED,
        today=datetime.now(UTC).date(),
    )
    report = local.load_roster(stack, zip_path, "sample")
    assert report["status"] == "applied", report
    families = sample_district.families(students=local.SAMPLE_STUDENTS, seed=local.SAMPLE_SEED)
    return District(tuple(families), report)
