"""The roster bucket as the import uses it: uploads, reports, the applied state, work in progress.

`imports/` is the district's; `reports/` is for its data clerk; `state/` and `in-progress/` are ours.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from chalicelib import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

IMPORTS, REPORTS, STATE, WORK = "imports/", "reports/", "state/", "in-progress/"
_CONFIG = Config(
    connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 5}
)
_GONE = {"404", "NoSuchKey", "NoSuchVersion", "405", "MethodNotAllowed"}


@functools.cache
def _s3() -> "S3Client":
    return boto3.client("s3", config=_CONFIG)


class UploadGone(Exception):
    """The version of an upload isn't there any more."""


class ObjectGone(Exception):
    """An object of ours isn't there."""


@dataclass(frozen=True)
class Version:
    """One version of an upload, or a delete marker."""

    version_id: str
    last_modified: datetime
    is_marker: bool


# --- uploads ------------------------------------------------------------------------


def download_upload(key: str, version_id: str, into: Path) -> datetime:
    """Write one version of an upload to a file; return when it was put into the bucket.

    Raises:
        UploadGone: somebody deleted it.
    """
    try:
        answer = _s3().get_object(Bucket=settings.roster_bucket(), Key=key, VersionId=version_id)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            raise UploadGone from error
        raise
    with into.open("wb") as out:
        for piece in answer["Body"].iter_chunks(1 << 20):
            out.write(piece)
    return answer["LastModified"]


def latest_version(key: str) -> str | None:
    """Return the version id that the key names now; None where it is deleted."""
    try:
        answer = _s3().head_object(Bucket=settings.roster_bucket(), Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return None
        raise
    return answer.get("VersionId", "null")


def versions(key: str) -> Iterator[Version]:
    """Yield every version and delete marker of an upload, the newest first of each kind."""
    pages = _s3().get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=settings.roster_bucket(), Prefix=key):
        for found in page.get("Versions", ()):
            if found["Key"] == key:
                yield Version(found["VersionId"], found["LastModified"], is_marker=False)
        for marker in page.get("DeleteMarkers", ()):
            if marker["Key"] == key:
                yield Version(marker["VersionId"], marker["LastModified"], is_marker=True)


def delete_version(key: str, version_id: str) -> None:
    """Delete one version of an upload for good; one that is gone already is no error."""
    _s3().delete_object(Bucket=settings.roster_bucket(), Key=key, VersionId=version_id)


# --- reports ------------------------------------------------------------------------


def write_report(name: str, report: Mapping[str, object]) -> None:
    """Write `reports/<name>.json`."""
    _put(f"{REPORTS}{name}.json", json.dumps(report, indent=2).encode(), "application/json")


def write_errors(name: str, faults: str) -> None:
    """Write `reports/<name>.errors.csv`."""
    _put(f"{REPORTS}{name}.errors.csv", faults.encode(), "text/csv; charset=utf-8")


def _put(key: str, body: bytes, content_type: str) -> None:
    _s3().put_object(Bucket=settings.roster_bucket(), Key=key, Body=body, ContentType=content_type)


# --- state and work -----------------------------------------------------------------


def state_key(import_id: str) -> str:
    """Return where the state lies that an import made."""
    return f"{STATE}{import_id}.sqlite.gz"


def download(key: str, into: Path) -> None:
    """Write an object of ours to a file.

    Raises:
        ObjectGone: it isn't there (any more).
    """
    try:
        _s3().download_file(settings.roster_bucket(), key, str(into))
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            raise ObjectGone from error
        raise


def upload(key: str, path: Path) -> None:
    """Put a file of ours into the bucket."""
    _s3().upload_file(str(path), settings.roster_bucket(), key)


def read(key: str) -> bytes:
    """Return an object of ours."""
    answer = _s3().get_object(Bucket=settings.roster_bucket(), Key=key)
    return answer["Body"].read()


def delete(key: str) -> None:
    """Delete an object of ours; its old version goes by the bucket's lifecycle."""
    _s3().delete_object(Bucket=settings.roster_bucket(), Key=key)


def delete_folder(prefix: str) -> None:
    """Delete everything of ours below a prefix."""
    pages = _s3().get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=settings.roster_bucket(), Prefix=prefix):
        for found in page.get("Contents", ()):
            delete(found["Key"])
