"""One storage suite, two stores: every storage test runs on moto and on AWS's DynamoDB Local.

moto's conditions and transactions are close but not the engine; what must never go wrong is shown
on both. DynamoDB Local needs Java and the jar that `make dynamodb-local` fetches.
"""

import importlib.util
import queue
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from pynamodb.models import Model

from chalicelib.storage import roster_writes, signed_in
from chalicelib.storage import tables as storage_tables
from tests import aws_stage
from tests.aws_stage import AwsStage
from tests.conftest import forget_caches
from tests.portal_client import Answer, PortalClient

EMULATOR = aws_stage.ROOT / ".local-tools" / "dynamodb-local"


@pytest.fixture(scope="session")
def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start DynamoDB Local on a free port, in memory; give its address."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("no Java on this machine (DynamoDB Local needs it)")
    if not (EMULATOR / "DynamoDBLocal.jar").is_file():
        pytest.skip("DynamoDB Local isn't fetched (`make dynamodb-local` does)")
    port = free_port()
    log = (tmp_path_factory.mktemp("dynamodb-local") / "log").open("wb")
    process = subprocess.Popen(
        [
            java,
            f"-Djava.library.path={EMULATOR / 'DynamoDBLocal_lib'}",
            "-jar",
            EMULATOR / "DynamoDBLocal.jar",
            "-inMemory",
            "-disableTelemetry",
            "-port",
            str(port),
        ],
        cwd=EMULATOR,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_for(port, process, Path(log.name))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


@pytest.fixture(params=["moto", pytest.param("ddblocal", marks=pytest.mark.ddblocal)])
def stage(
    request: pytest.FixtureRequest, no_real_aws: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AwsStage]:
    """Give an empty stage, once on each store; queues, bucket, secret and mail are moto's in both.

    It takes the place of the base fixture, so visitors, mailbox and office stand on both stores.
    """
    if request.param == "moto":
        yield request.getfixturevalue("stage")
        return
    endpoint = request.getfixturevalue("dynamodb_local")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    reconnect()
    # The rest of the stage stays moto's; what goes to the engine's address passes through.
    with mock_aws(config={"core": {"passthrough": {"urls": [re.escape(endpoint)]}}}):
        _drop_tables()
        made = aws_stage.create_stage()
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        forget_caches()
        yield made
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    reconnect()
    forget_caches()


@pytest.fixture
def new_visitor(stage: AwsStage) -> Callable[[], PortalClient]:
    """Give a maker of visitors whose requests may come at once."""
    return lambda: _AtOnce(None)


class _AtOnce(PortalClient):
    """A visitor whose every request finds a container of its own, warm ones first, as on Lambda.

    Chalice keeps the request it answers with the app, which is right for one request at a time.
    """

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None, ip: str
    ) -> Answer:
        try:
            container = _warm.get_nowait()
        except queue.Empty:
            container = PortalClient(_new_container())
        try:
            return container.send(method, path, headers, body, ip)
        finally:
            _warm.put(container)


# Few are ever made: each adds Chalice's name to the User-Agent of all that this process sends, and
# DynamoDB Local refuses long headers.
_warm: queue.SimpleQueue[PortalClient] = queue.SimpleQueue()


def _new_container() -> Any:
    spec = importlib.util.spec_from_file_location("app_of_a_container", aws_stage.ROOT / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def reconnect() -> None:
    """Have every client of DynamoDB connect anew, to the store that the environment names now."""
    storage_tables._connection.cache_clear()
    roster_writes._dynamodb.cache_clear()
    signed_in._dynamodb.cache_clear()
    aws_stage.client.cache_clear()
    todo: list[type[Model]] = [Model]
    while todo:
        model = todo.pop()
        model._connection = None
        todo.extend(model.__subclasses__())


def _drop_tables() -> None:
    client = boto3.client("dynamodb", aws_stage.REGION)
    for name in client.list_tables()["TableNames"]:
        client.delete_table(TableName=name)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"DynamoDB Local ended: {log.read_text()[-2000:]}")
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("DynamoDB Local doesn't answer")


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
