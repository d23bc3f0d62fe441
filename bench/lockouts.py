"""What a reset of lockouts costs, by accounts and by locked ones, on AWS's DynamoDB Local.

    make dynamodb-local
    python -m bench.lockouts --accounts 200000 --locked 0 1000 10000 100000

Prints rows of the table in docs/lockouts.md for each number of locked accounts: the read and write
units that DynamoDB says it charged (`ReturnConsumedCapacity`), and the time. Every locked account comes
with the locked counter of its address, as the sixth try makes it. A run gets the function's time and
stops as it does; at most `--runs` follow each other, until one finds nothing. `DYNAMODB_LOCAL` names
the emulator's folder where it isn't the one that make fetches.
"""

import argparse
import collections
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore import handlers

from tests import aws_stage

NOW = datetime(2026, 3, 3, 5, 10, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 3, 5, 0, tzinfo=UTC)
DAY = "2026-03-02"
FUNCTION_SECONDS = 300
EMULATOR = aws_stage.ROOT / ".local-tools" / "dynamodb-local"
# As long as an Argon2id string of ours; items as large as real ones.
_PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$" + "a" * 65
_BATCH, _THREADS = 25, 4

units: collections.Counter[str] = collections.Counter()
_READS = {"Query", "GetItem", "BatchGetItem", "Scan"}


def main() -> None:
    """Fill the tables once, then lock and reset for each number asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--accounts", type=int, default=200_000)
    parser.add_argument("--locked", type=int, nargs="+", default=[0, 1_000, 100_000])
    parser.add_argument("--runs", type=int, default=2)
    asked = parser.parse_args()
    _count_units()
    with dynamodb_local() as endpoint:
        os.environ.update(
            AWS_ENDPOINT_URL_DYNAMODB=endpoint,
            AWS_DEFAULT_REGION=aws_stage.REGION,
            AWS_ACCESS_KEY_ID="bench",
            AWS_SECRET_ACCESS_KEY="bench",  # noqa: S106 - the emulator's
            STAGE="local",
        )
        aws_stage.create_tables(aws_stage.client("dynamodb"))
        began = time.monotonic()
        _write("accounts", (account(place) for place in range(asked.accounts)))
        _say(f"wrote {asked.accounts:,} accounts in {time.monotonic() - began:.0f} s")
        _say("accounts | locked | unlocked | read units | write units | queries | seconds")
        for locked in asked.locked:
            _lock(locked)
            for _ in range(asked.runs):
                done, said = _reset()
                _say(f"{asked.accounts:,} | {locked:,} | {said}")
                if not done:
                    break


def _reset() -> tuple[int, str]:
    # The models read their stage when they are imported.
    from chalicelib.domain import recovery  # noqa: PLC0415

    units.clear()
    began = time.monotonic()
    done = recovery.reset_lockouts(
        now=NOW, seconds_left=lambda: began + FUNCTION_SECONDS - time.monotonic()
    )
    seconds = time.monotonic() - began
    numbers = f"{units['read']:,.1f} | {units['written']:,.0f} | {units['queries']:,}"
    return done, f"{done:,} | {numbers} | {seconds:.1f}"


def _lock(locked: int) -> None:
    ends = MIDNIGHT
    _write("accounts", (account(place, locked_until=ends) for place in range(locked)))
    _write("recovery-counters", (counter(place, locked_until=ends) for place in range(locked)))


def account(place: int, *, locked_until: datetime | None = None) -> dict[str, Any]:
    """Return an account's item, as large as a real one."""
    name = f"parent{place}"
    item: dict[str, Any] = {
        "username_key": {"S": name},
        "username": {"S": name.title()},
        "account_id": {"S": f"{place:022d}"},
        "guardian_id": {"S": f"{place:020d}"},
        "email": {"S": f"{name}@example.com"},
        "email_source": {"S": "roster"},
        "address_hash": {"S": _hash(place)},
        "state": {"S": "active"},
        "password_hash": {"S": _PASSWORD_HASH},
        **{
            number: {"N": "1"}
            for number in ("session_generation", "link_generation", "password_generation")
        },
        "failures": {"N": "0"},
        "created_at": {"N": "1770000000"},
        "last_sign_in": {"N": "1770000000"},
    }
    return item | _locked(locked_until, name)


def counter(place: int, *, locked_until: datetime) -> dict[str, Any]:
    """Return the item that counts an address's tries of the day, locked."""
    ends = int(locked_until.timestamp())
    item: dict[str, Any] = {
        "address_hash": {"S": _hash(place)},
        "day": {"S": DAY},
        "tries": {"N": "5"},
        "expires_at": {"N": str(ends)},
        "purge_at": {"N": str(ends + int(timedelta(days=2).total_seconds()))},
    }
    return item | _locked(locked_until, _hash(place))


def _locked(until: datetime | None, key: str) -> dict[str, Any]:
    from chalicelib.storage import locks  # noqa: PLC0415

    if until is None:
        return {}
    ends = int(until.timestamp())
    return {"locked_until": {"N": str(ends)}, "lock_bucket": {"S": locks.bucket(ends, key)}}


def _hash(place: int) -> str:
    return f"{place:043d}"


def _write(table: str, items: Iterator[dict[str, Any]]) -> None:
    name = f"parent-portal-local-{table}"
    dynamodb = aws_stage.client("dynamodb")

    def put(batch: list[dict[str, Any]]) -> None:
        wanted: Any = {name: [{"PutRequest": {"Item": item}} for item in batch]}
        while wanted:
            wanted = dynamodb.batch_write_item(RequestItems=wanted).get("UnprocessedItems")

    def batches() -> Iterator[list[dict[str, Any]]]:
        batch: list[dict[str, Any]] = []
        for item in items:
            batch.append(item)
            if len(batch) == _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    with ThreadPoolExecutor(_THREADS) as pool:
        collections.deque(pool.map(put, batches()), maxlen=0)


# --- counting what DynamoDB charges ---------------------------------------------------------


def _count_units() -> None:
    """Ask for, and add up, the capacity that each call of every client made from now on uses."""
    handlers.BUILTIN_HANDLERS.append(("provide-client-params.dynamodb", _ask))
    handlers.BUILTIN_HANDLERS.append(("after-call.dynamodb", _add))


def _ask(params: dict[str, Any], model: Any, **_: Any) -> None:
    if model.name in _READS | {"UpdateItem", "PutItem", "DeleteItem"}:
        params["ReturnConsumedCapacity"] = "TOTAL"


def _add(parsed: dict[str, Any], model: Any, **_: Any) -> None:
    used = parsed.get("ConsumedCapacity") or []
    for one in used if isinstance(used, list) else [used]:
        units["read" if model.name in _READS else "written"] += one["CapacityUnits"]
    units["queries"] += model.name == "Query"


# --- the emulator ----------------------------------------------------------------------------


@contextlib.contextmanager
def dynamodb_local() -> Iterator[str]:
    """Run DynamoDB Local, in memory, on a free port; give its address."""
    folder, java = Path(os.environ.get("DYNAMODB_LOCAL", EMULATOR)), shutil.which("java")
    if java is None or not (folder / "DynamoDBLocal.jar").is_file():
        sys.exit("Java and DynamoDB Local are needed; `make dynamodb-local` fetches the latter.")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    command = [
        java,
        f"-Djava.library.path={folder / 'DynamoDBLocal_lib'}",
        "-jar",
        str(folder / "DynamoDBLocal.jar"),
        *("-inMemory", "-disableTelemetry", "-port", str(port)),
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)  # noqa: S603
        try:
            for _ in range(300):
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
