"""Parent Portal on one machine: the embedded AWS, the deployed template, a sample district.

    python local.py [--port N] [--fresh] [--roster FILE.zip] [--state FOLDER]
    python local.py clock +26h | 2026-12-01T08:00:00Z | now
    python local.py invoke find_guardian '{"student_number": "006377481"}'

What runs is what is deployed: package.py's template and zip, by CloudFormation, with each function
under its own role (the embedded AWS checks the policies). State lies in `.local/` between two runs.
Addresses on one machine: names under localhost lead to 127.0.0.1 in browsers and curl; Python can't
resolve them, so everything here connects to 127.0.0.1 and names the host in the header.
"""

import argparse
import contextlib
import functools
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

import package

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / ".local"
PORT = 4566
HOST = "portal.localhost"
REGION, ACCOUNT = "us-east-1", "000000000000"
STACK = "parent-portal-local"
CODE_BUCKET = "parent-portal-code"
MAIL_FROM = "portal@district.example"
SAMPLE_STUDENTS, SAMPLE_SEED = 60, 1

# 500,000 items are written in about 17 seconds when the stack stops.
STOP_SECONDS = 180
START_SECONDS, DEPLOY_SECONDS, IMPORT_SECONDS = 60, 120, 1800


class LocalStackError(Exception):
    """The local stack can't do what was asked; the message says why, for a person."""


# --- the embedded AWS -------------------------------------------------------------


@dataclass
class LocalStack:
    """One embedded AWS on a port of this machine, with its state in a folder."""

    port: int = PORT
    folder: Path = FOLDER
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Where families go."""
        return f"http://{HOST}:{self.port}/"

    @property
    def clock_file(self) -> Path:
        """The file with the seconds that the portal's clock is ahead."""
        return self.folder / "clock"

    @property
    def bucket(self) -> str:
        """The bucket that takes rosters."""
        return f"parent-portal-local-roster-{ACCOUNT}"

    def start(self) -> None:
        """Start the embedded AWS with the state of the folder, if any, and wait until it answers.

        Raises:
            LocalStackError: it doesn't start, or the state was saved on another port.
        """
        self._claim_port()
        temporary = self.folder / "tmp"
        # Each worker leaves its unpacked code here, and nobody else clears it.
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ministack"],
                env=self._environment(temporary),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is ours; the embedded AWS is told to save when we are done.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers("/_ministack/ready"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise LocalStackError(f"The embedded AWS didn't start; see {self.folder / 'log'}.")
            time.sleep(0.1)

    def stop(self) -> None:
        """Have the embedded AWS save its state and end; waits for it."""
        if self.process is None or self.process.poll() is not None:
            return
        # SIGTERM, since SIGINT may be ignored where a shell started us in the background.
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise LocalStackError("The embedded AWS didn't end; its state isn't saved.") from None

    def client(self, service: str) -> Any:
        """Return a boto3 client of the account's owner, whom no policy binds."""
        return _client(service, self.port)

    def request(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Send one request to the portal; return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {"Host": f"{HOST}:{self.port}", **(headers or {})}
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def mails(self) -> list[dict[str, Any]]:
        """Return what was sent, oldest first: `To`, `Subject`, `BodyText`, `BodyHtml`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/_ministack/ses/messages")
            boxes = json.loads(connection.getresponse().read())["messages"]
        finally:
            connection.close()
        sent: list[dict[str, Any]] = boxes.get(ACCOUNT, [])
        return sent

    def invoke(self, function: str, event: object) -> Any:
        """Run a function as an admin does in the console's Test tab; return its answer.

        Raises:
            LocalStackError: there is no such function, nothing runs on the port, or the function
                failed, which none of ours should.
        """
        try:
            answer = self.client("lambda").invoke(
                FunctionName=f"parent-portal-local-{function}", Payload=json.dumps(event)
            )
        except EndpointConnectionError:
            raise LocalStackError(
                f"Nothing runs on port {self.port}; `make run` starts it."
            ) from None
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                raise LocalStackError(f"There is no function {function}.") from None
            raise
        read = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            raise LocalStackError(f"{function} failed: {read}")
        return read

    def move_clock(self, ahead: timedelta) -> None:
        """Set how far the portal's clock is ahead of this machine's."""
        self.clock_file.write_text(f"{ahead.total_seconds():.0f}\n")

    def _environment(self, temporary: Path) -> dict[str, str]:
        # Functions see this too, so nothing of the developer's own AWS account goes in.
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "STAGE"))}
        return {
            **kept,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",  # it would listen on every address otherwise
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.folder / "s3"),
            "TMPDIR": str(temporary),
            "PARENT_PORTAL_CLOCK_FILE": str(self.clock_file),
        }

    def check_port(self) -> None:
        """Refuse a port in use, and another than the saved state's (its queues hold the number).

        Raises:
            LocalStackError: the stack can't start here.
        """
        noted = self.folder / "port"
        before = noted.read_text().strip() if noted.exists() else str(self.port)
        if before != str(self.port):
            raise LocalStackError(
                f"The saved state belongs to port {before}; start with --port {before}, or --fresh."
            )
        with socket.socket() as caller:
            taken = caller.connect_ex(("127.0.0.1", self.port)) == 0
        if taken:
            raise LocalStackError(f"Port {self.port} is in use; end what uses it, or take another.")

    def _claim_port(self) -> None:
        self.check_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "port").write_text(f"{self.port}\n")

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()


@functools.cache
def _client(service: str, port: int) -> Any:
    any_client: Any = boto3.client
    return any_client(
        service,
        region_name=REGION,
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the embedded AWS's only pair
        config=Config(read_timeout=120, retries={"mode": "standard"}),
    )


# --- deploying ----------------------------------------------------------------------


def deploy(stack: LocalStack, made: package.Package) -> None:
    """Bring the package onto the stack by CloudFormation, as new or as an update.

    Raises:
        LocalStackError: CloudFormation refused; the message holds its reasons.
    """
    s3 = stack.client("s3")
    s3.create_bucket(Bucket=CODE_BUCKET)
    key = f"{made.zip_path.stat().st_mtime_ns}.zip"
    s3.upload_file(str(made.zip_path), CODE_BUCKET, key)
    with contextlib.suppress(ClientError):  # restored with the state
        stack.client("sesv2").create_email_identity(EmailIdentity=MAIL_FROM)
    for resource in made.template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": CODE_BUCKET, "Key": key}
    # A template of this size is only taken from a bucket.
    s3.put_object(Bucket=CODE_BUCKET, Key="template.json", Body=json.dumps(made.template).encode())
    call = {
        "StackName": STACK,
        "TemplateURL": f"http://127.0.0.1:{stack.port}/{CODE_BUCKET}/template.json",
        "Parameters": [{"ParameterKey": "PortalUrl", "ParameterValue": stack.address}],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    cloudformation = stack.client("cloudformation")
    try:
        if _status(stack) is None:
            cloudformation.create_stack(**call)
        else:
            cloudformation.update_stack(**call)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise LocalStackError(str(error)) from error
    deadline = time.monotonic() + DEPLOY_SECONDS
    while (status := _status(stack) or "").endswith("_IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise LocalStackError("CloudFormation doesn't come to an end.")
        time.sleep(0.2)
    if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        reasons = [
            f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            for event in events
            if "FAILED" in event["ResourceStatus"] and event.get("ResourceStatusReason")
        ]
        raise LocalStackError(f"{status}\n" + "\n".join(reasons))


def _status(stack: LocalStack) -> str | None:
    try:
        found = stack.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    except ClientError:
        return None
    return str(found[0]["StackStatus"])


# --- the district -------------------------------------------------------------------


def load_roster(stack: LocalStack, zip_path: Path, name: str) -> dict[str, Any]:
    """Put a roster into the bucket as the SIS does, and wait for the report of its import.

    Returns:
        The report (contract section 2); its `status` is `applied`, `held` or `rejected`.

    Raises:
        LocalStackError: no report comes.
    """
    s3 = stack.client("s3")
    with zip_path.open("rb") as body:
        put = s3.put_object(Bucket=stack.bucket, Key=f"imports/{name}.zip", Body=body)
    deadline = time.monotonic() + IMPORT_SECONDS
    while time.monotonic() < deadline:
        report = read_report(stack, name)
        if report is not None and report.get("version_id") == put["VersionId"]:
            return report
        time.sleep(0.3)
    raise LocalStackError(f"No report of {name} after {IMPORT_SECONDS} seconds; see the log.")


def read_report(stack: LocalStack, name: str) -> dict[str, Any] | None:
    """Return an import's report, or None while there is none."""
    try:
        found = stack.client("s3").get_object(Bucket=stack.bucket, Key=f"reports/{name}.json")
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
            return None
        raise
    report: dict[str, Any] = json.loads(found["Body"].read())
    return report


def load_district(stack: LocalStack, roster: Path | None) -> dict[str, Any] | None:
    """Load a district's file or the sample; None where a file's district was restored already."""
    noted = stack.folder / "district"
    name = roster.stem if roster else "sample"
    if roster is None and noted.exists() and noted.read_text() != name:
        return None
    report = load_roster(stack, roster, name) if roster else _load_sample(stack)
    if report["status"] == "applied":
        noted.write_text(name)
    return report


def _load_sample(stack: LocalStack) -> dict[str, Any]:
    """Load the sample district, dated around today; what is loaded already costs nothing again."""
    # Not needed with --roster, and not by tests that bring a district of their own.
    import sample_district  # noqa: PLC0415

    zip_path = stack.folder / "sample.zip"
    sample_district.write_district(
        zip_path,
        students=SAMPLE_STUDENTS,
        seed=SAMPLE_SEED,
        today=datetime.now(UTC).date(),
        version="1.1",
    )
    return load_roster(stack, zip_path, "sample")


# --- the command --------------------------------------------------------------------


@contextlib.contextmanager
def running(stack: LocalStack, *, made: package.Package | None = None) -> Iterator[LocalStack]:
    """Start, deploy and, when done, save and stop a stack."""
    # In the stack's own folder: stacks that start at once don't pack over each other.
    made = made or package.build(package.LOCAL, out=stack.folder / "package")
    stack.start()
    try:
        deploy(stack, made)
        yield stack
    finally:
        stack.stop()


def run(stack: LocalStack, roster: Path | None) -> None:
    """Run the portal until Ctrl-C, printing each mail as it is sent."""
    if roster and not roster.is_file():
        raise LocalStackError(f"There is no file {roster}.")
    stack.check_port()
    print("Packaging ...", flush=True)
    with running(stack):
        print("Importing the district ...", flush=True)
        report = load_district(stack, roster)
        if report and report["status"] != "applied":
            print(json.dumps(report, indent=2))
            if report["status"] == "rejected":
                raise LocalStackError("The roster was rejected; the report above says why.")
            print("The roster waits for approve_import; until then the district stays as it was.")
        # The first request starts a worker; the family that follows needn't wait for it.
        stack.request("GET", "/status")
        print(f"Parent Portal ready: {stack.address}", flush=True)
        _print_mails(stack)


def _print_mails(stack: LocalStack) -> None:
    printed = 0
    while True:
        for mail in stack.mails()[printed:]:
            printed += 1
            print(f"\n--- Mail to {', '.join(mail['To'])}: {mail['Subject']}\n{mail['BodyText']}")
            print("---", flush=True)
        if stack.process is not None and stack.process.poll() is not None:
            raise LocalStackError(f"The embedded AWS ended; see {stack.folder / 'log'}.")
        time.sleep(0.5)


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_clock(text: str, *, now: datetime) -> timedelta:
    """Return how far ahead of `now` a clock stands: `+26h` (also s, m, d), an ISO time, or `now`.

    Raises:
        LocalStackError: it is none of these.
    """
    if text == "now":
        return timedelta()
    try:
        if found := re.fullmatch(r"([+-]\d+)([smhd])", text):
            ahead = timedelta(**{_UNITS[found[2]]: int(found[1])})
            # So far as there are dates: the portal adds it to today.
            return now + ahead - now
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise LocalStackError(f"{text} is no time: +26h, 2026-12-01T08:00:00Z or now.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now


def read_event(text: str) -> dict[str, Any]:
    """Return the event of an admin function: a JSON object.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise argparse.ArgumentTypeError(f"{text} is no JSON object")
    return event


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description="Parent Portal on this machine.")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--fresh", action="store_true", help="forget earlier state")
    parser.add_argument("--roster", type=Path, metavar="FILE.zip", help="load this district")
    parser.add_argument(
        "--state", type=Path, default=FOLDER, metavar="FOLDER", help="where state lies (.local)"
    )
    commands = parser.add_subparsers(dest="command")
    clock = commands.add_parser("clock", help="move the portal's clock while it runs")
    clock.add_argument("to", help="+26h, an ISO time (UTC if it names no zone), or now")
    invoke = commands.add_parser("invoke", help="call an admin function while it runs")
    invoke.add_argument("function", help="its name, as find_guardian")
    invoke.add_argument(
        "event", nargs="?", type=read_event, default={}, help="JSON; {} if left out"
    )
    arguments = parser.parse_args()
    stack = LocalStack(arguments.port, arguments.state.resolve())
    try:
        if arguments.command == "clock":
            now = datetime.now(UTC)
            ahead = read_clock(arguments.to, now=now)
            stack.folder.mkdir(parents=True, exist_ok=True)
            stack.move_clock(ahead)
            print(f"The portal's clock says {now + ahead:%Y-%m-%dT%H:%M:%SZ}.")
            return
        if arguments.command == "invoke":
            answer = stack.invoke(arguments.function, arguments.event)
            print(json.dumps(answer, indent=2, ensure_ascii=False))
            return
        if arguments.fresh:
            shutil.rmtree(stack.folder, ignore_errors=True)
        # Both end us alike, also where a shell started us in the background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        run(stack, arguments.roster)
    except KeyboardInterrupt:
        print("\nSaved and stopped.")
    except (LocalStackError, package.PackageError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
