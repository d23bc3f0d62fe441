"""One storage suite, two stores: every storage test runs on moto and on AWS's DynamoDB Local.

moto's conditions and transactions are close but not the engine; what must never go wrong is shown
on both. DynamoDB Local needs Java and the jar that `.ci/run` fetches into `.local-tools/`.
"""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from pynamodb.models import Model

from chalicelib.storage import tables as storage_tables
from tests import aws_stage
from tests.conftest import forget_caches

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
def tables(
    request: pytest.FixtureRequest, no_real_aws: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Give empty tables, once on each store, and the name of the store.

    The rest of the stage (queues, bucket, secret) is moto's in both.
    """
    if request.param == "moto":
        request.getfixturevalue("stage")
        yield "moto"
        return
    endpoint = request.getfixturevalue("dynamodb_local")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    reconnect()
    # The rest of the stage stays moto's; what goes to the engine's address passes through.
    with mock_aws(config={"core": {"passthrough": {"urls": [re.escape(endpoint)]}}}):
        _drop_tables()
        for name, value in aws_stage.create_stage().environment.items():
            monkeypatch.setenv(name, value)
        forget_caches()
        yield "ddblocal"
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    reconnect()
    forget_caches()


def reconnect() -> None:
    """Have every model open a new connection, to the store that the environment names now."""
    storage_tables._connection.cache_clear()
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
