"""Makes what is deployed: one CloudFormation template and one zip, for a stage.

    python package.py prod     writes template.json, deployment.zip and sbom.json to .build/prod

Chalice makes the template from app.py and `.chalice/`. Three things it can't do are done here:
install the libraries by their hashes for the Python of AWS (not the one that runs this), leave out
what no function needs, and give each function a name, a log group that forgets, and an alarm.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalice.package import TemplateDeepMerger, YAMLTemplateSerializer

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / ".build"
LOCAL = "local"

# The Python of the functions in AWS. The local stack runs them with the interpreter that runs it.
AWS_PYTHON = "3.12"
AWS_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")

# Of botocore's 17 MB of service descriptions only these are read (a cold start reads less too).
SERVICES = ("dynamodb", "s3", "secretsmanager", "sesv2", "sqs")
_LEFT_OUT_DIRECTORIES = {"__pycache__", "tests", "test", "examples", "bin"}
_LEFT_OUT_ENDINGS = (".pyc", ".pyi", ".h", ".c")

# How long CloudWatch keeps log lines (docs/security.md); they hold no personal data.
LOG_DAYS = 90

# Events of our log lines that somebody has to know of, and what the alarm's mail says.
ALARM_EVENTS: Mapping[str, str] = {
    "import-held": "A roster waits for approve_import; its report under reports/ says why.",
    "import-rejected": "A roster was refused; its report under reports/ says why.",
    "import-dead": "An import stopped after many failures; docs/operations.md, 'Dead letters'.",
    "roster-stale": "No roster was applied for 48 hours; docs/operations.md, 'Roster is stale'.",
    "preference-invalid": "A row of the table preferences is not valid, so the default counts.",
    "not-me": "A guardian says that somebody else used their account; docs/operations.md, 'Not me'.",
    "screen-misses-exhausted": "Too many misses today: keys are mailed only, until midnight.",
}


class PackageError(Exception):
    """The package can't be made, or isn't whole."""


@dataclass(frozen=True)
class Package:
    """What is deployed: the template as data, where it was written, the code, and what is in it."""

    template: dict[str, Any]
    template_path: Path
    zip_path: Path
    sbom: dict[str, Any]


def build(stage: str, *, out: Path | None = None) -> Package:
    """Make template and zip of a stage in `out` (default `.build/<stage>`).

    Raises:
        PackageError: Chalice or pip failed, or the zip can't be imported.
    """
    # Chalice works in the folder that it packages, where a relative path leads elsewhere.
    out = (out or BUILD / stage).resolve()
    shutil.rmtree(out, ignore_errors=True)
    source = out / "source"
    _copy_source(source, stage)
    _run_chalice(source, stage, out)
    template = _finished(json.loads((out / "sam.json").read_text()), stage)
    (out / "sam.json").unlink()
    libraries = _libraries(stage)
    _check_whole(source, libraries, stage)
    zip_path = out / "deployment.zip"
    _add_libraries(zip_path, libraries)
    template_path = out / "template.json"
    template_path.write_text(json.dumps(template, indent=1))
    sbom = _bill_of_materials(libraries)
    (out / "sbom.json").write_text(json.dumps(sbom, indent=1))
    shutil.rmtree(source)
    return Package(template, template_path, zip_path, sbom)


# --- the template ---------------------------------------------------------------


def resources(stage: str) -> dict[str, Any]:
    """Return what is laid over Chalice's template: resources.yaml, then the stage's own part."""
    read = YAMLTemplateSerializer()
    overlay = "resources-local.yaml" if stage == LOCAL else "resources-aws.yaml"
    merged: dict[str, Any] = {}
    for name in ("resources.yaml", overlay):
        loaded = read.load_template((ROOT / ".chalice" / name).read_text(), name)
        merged = TemplateDeepMerger().merge(loaded, merged)
    merged["Parameters"]["Stage"].update(Default=stage, AllowedValues=[stage])
    return merged


def _copy_source(source: Path, stage: str) -> None:
    """Lay out what Chalice packages; without requirements, which are installed by their hashes."""
    (source / ".chalice").mkdir(parents=True)
    shutil.copy(ROOT / "app.py", source)
    shutil.copytree(
        ROOT / "chalicelib", source / "chalicelib", ignore=shutil.ignore_patterns("__pycache__")
    )
    for file in (ROOT / ".chalice").glob("*.json"):
        text = file.read_text(encoding="utf-8")
        if stage == LOCAL:
            # In AWS who may send a message may send a batch; the embedded AWS asks for both.
            text = text.replace('"sqs:SendMessage"', '"sqs:SendMessage", "sqs:SendMessageBatch"')
        (source / ".chalice" / file.name).write_text(text, encoding="utf-8")
    (source / ".chalice" / "resources.json").write_text(json.dumps(resources(stage)))
    (source / "requirements.txt").write_text("")


def _run_chalice(source: Path, stage: str, out: Path) -> None:
    # The developer's own settings must not decide what is deployed.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "STAGE"))}
    environment["AWS_DEFAULT_REGION"] = "us-east-1"  # Chalice asks for one; the template has none
    merge = str(source / ".chalice" / "resources.json")
    command = [sys.executable, "-c", "from chalice.cli import main; import sys; sys.exit(main())"]
    command += ["--project-dir", str(source), "package", "--stage", stage]
    done = subprocess.run(
        [*command, "--merge-template", merge, str(out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not (out / "sam.json").is_file():
        raise PackageError(f"chalice package failed:\n{done.stdout}{done.stderr}")


def _finished(template: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return the template with name, runtime, log group, metric and alarm for each function."""
    functions = {
        logical_id: resource
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    for logical_id, function in functions.items():
        handler = function["Properties"]["Handler"].removeprefix("app.")
        name = "api_handler" if handler == "app" else handler
        function["Properties"].update(
            FunctionName={"Fn::Sub": f"parent-portal-${{Stage}}-{name}"},
            LoggingConfig={"LogGroup": {"Ref": f"{logical_id}Logs"}},
        )
        if stage != LOCAL:
            function["Properties"]["Runtime"] = f"python{AWS_PYTHON}"
        template["Resources"].update(_watch(logical_id, name))
    for event, says in ALARM_EVENTS.items():
        logical_id = "".join(part.title() for part in event.split("-")) + "Alarm"
        template["Resources"][logical_id] = _alarm(
            event,
            says,
            Namespace={"Fn::Sub": "parent-portal-${Stage}"},
            MetricName="events",
            Dimensions=[{"Name": "event", "Value": event}],
        )
    template["Resources"]["PortalFailuresAlarm"] = _alarm(
        "portal-failures",
        "The portal answered with 5xx; the log lines of api_handler say why.",
        Namespace="AWS/ApiGateway",
        MetricName="5XXError",
        Dimensions=[{"Name": "ApiName", "Value": "parent-portal"}],
    )
    return template


def _watch(logical_id: str, name: str) -> dict[str, Any]:
    """Return a function's log group, the metric of its log lines' events, and its errors' alarm."""
    events = " || ".join(f'($.event = "{event}")' for event in ALARM_EVENTS)
    return {
        f"{logical_id}Logs": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {
                "LogGroupName": {"Fn::Sub": f"/aws/lambda/parent-portal-${{Stage}}-{name}"},
                "RetentionInDays": LOG_DAYS,
            },
        },
        f"{logical_id}Events": {
            "Type": "AWS::Logs::MetricFilter",
            "Properties": {
                "LogGroupName": {"Ref": f"{logical_id}Logs"},
                "FilterPattern": f"{{ {events} }}",
                "MetricTransformations": [
                    {
                        "MetricNamespace": {"Fn::Sub": "parent-portal-${Stage}"},
                        "MetricName": "events",
                        "MetricValue": "1",
                        "Dimensions": [{"Key": "event", "Value": "$.event"}],
                    }
                ],
            },
        },
        f"{logical_id}ErrorsAlarm": _alarm(
            f"{name}-errors",
            f"{name} failed; its log group says why.",
            Namespace="AWS/Lambda",
            MetricName="Errors",
            Dimensions=[{"Name": "FunctionName", "Value": {"Ref": logical_id}}],
        ),
    }


def _alarm(name: str, says: str, **metric: Any) -> dict[str, Any]:
    """Return an alarm that goes off at the first occurrence within five minutes."""
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": {"Fn::Sub": f"parent-portal-${{Stage}}-{name}"},
            "AlarmDescription": says,
            **metric,
            "Statistic": "Sum",
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": [{"Ref": "AlarmTopic"}],
        },
    }


# --- the code -------------------------------------------------------------------


def _libraries(stage: str) -> Path:
    """Return a folder with the deployed libraries, trimmed; installed once for each pinning."""
    requirements = ROOT / "requirements.txt"
    target = f"{sys.version_info[0]}.{sys.version_info[1]}" if stage == LOCAL else AWS_PYTHON
    known = hashlib.sha256(requirements.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    folder = BUILD / f"libraries-{'local' if stage == LOCAL else 'aws'}-{target}-{known[:12]}"
    if folder.is_dir():
        return folder
    fresh = folder.with_suffix(f".{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--no-compile", "--only-binary=:all:"]
    if stage != LOCAL:
        command += ["--implementation", "cp", "--python-version", AWS_PYTHON]
        command += [f"--platform={platform}" for platform in AWS_PLATFORMS]
    done = subprocess.run(
        [*command, "--target", str(fresh), "-r", str(requirements)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PackageError(f"pip failed:\n{done.stdout}{done.stderr}")
    _trim(fresh)
    try:
        fresh.rename(folder)
    except OSError:
        # Of two that build at once, which make the same, the second finds the first one's.
        if not folder.is_dir():
            raise
        shutil.rmtree(fresh)
    return folder


def _trim(folder: Path) -> None:
    data = folder / "botocore" / "data"
    for service in data.iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    for directory in [path for path in folder.rglob("*") if path.is_dir()]:
        if directory.name in _LEFT_OUT_DIRECTORIES:
            shutil.rmtree(directory, ignore_errors=True)
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        if file.name.endswith(_LEFT_OUT_ENDINGS):
            file.unlink()


def _add_libraries(zip_path: Path, libraries: Path) -> None:
    """Add the libraries to Chalice's zip; the same inputs make the same bytes."""
    with zipfile.ZipFile(zip_path, "a", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in libraries.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(libraries)), (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def _bill_of_materials(libraries: Path) -> dict[str, Any]:
    """Return the libraries in the zip as a CycloneDX bill of materials, which scanners read.

    Chalice isn't among the libraries: it lays its runtime into the zip itself.
    """
    found = importlib.metadata.distributions(path=[str(libraries)])
    versions = {str(one.metadata["Name"]).lower(): one.version for one in found}
    versions["chalice"] = importlib.metadata.version("chalice")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": [
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
            }
            for name, version in sorted(versions.items())
        ],
    }


def _check_whole(source: Path, libraries: Path, stage: str) -> None:
    """Import the app from nothing but what goes into the zip (no site-packages)."""
    python: str | None = sys.executable
    if stage != LOCAL and f"{sys.version_info[0]}.{sys.version_info[1]}" != AWS_PYTHON:
        python = shutil.which(f"python{AWS_PYTHON}")
        if (
            python is None
            or subprocess.run([python, "-V"], capture_output=True, check=False).returncode
        ):
            print(f"No Python {AWS_PYTHON} here: the import of the package for AWS isn't tried.")
            return
    with zipfile.ZipFile(source.parent / "deployment.zip") as archive:
        archive.extractall(source.parent / "check")
    paths = [str(source.parent / "check"), str(libraries)]
    code = f"import sys; sys.dont_write_bytecode = True; sys.path[:0] = {paths!r}; import app"
    done = subprocess.run(
        [python or sys.executable, "-I", "-S", "-c", code],
        env={"STAGE": stage},
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(source.parent / "check")
    if done.returncode != 0:
        raise PackageError(f"the package isn't whole:\n{done.stderr}")


def main() -> None:
    """Build the stage named on the command line and say where it lies."""
    parser = argparse.ArgumentParser(description="Package Parent Portal for a stage.")
    parser.add_argument("stage", help="a stage of .chalice/config.json, prod for instance")
    parser.add_argument("--out", type=Path, help="a folder to write to (default .build/<stage>)")
    arguments = parser.parse_args()
    try:
        made = build(arguments.stage, out=arguments.out)
    except PackageError as error:
        sys.exit(str(error))
    size = made.zip_path.stat().st_size / 1e6
    print(f"{made.template_path}\n{made.zip_path} ({size:.1f} MB)")


if __name__ == "__main__":
    main()
