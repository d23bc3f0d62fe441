"""Files that an admin function hands out: private objects below `exports/`, by an address for an hour.

The bucket's lifecycle rule deletes them after 7 days (`.chalice/resources.yaml`).
"""

import functools
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import errors, settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EXPORTS = "exports/"
# How long an address opens its file.
ADDRESS_SECONDS = 3600
# S3 takes no other signature in regions that opened after 2014.
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 3},
    signature_version="s3v4",
)


@functools.cache
def _s3() -> "S3Client":
    return boto3.client("s3", config=_CONFIG)


def hand_out(name: str, body: bytes, content_type: str) -> str:
    """Put a file below `exports/` and return an address that opens it for an hour, as a download.

    Raises:
        Unavailable: S3 doesn't take it.
    """
    key = EXPORTS + name
    try:
        _s3().put_object(
            Bucket=settings.roster_bucket(), Key=key, Body=body, ContentType=content_type
        )
    except (BotoCoreError, ClientError) as error:
        raise errors.Unavailable from error
    return _s3().generate_presigned_url(
        "get_object",
        Params={
            "Bucket": settings.roster_bucket(),
            "Key": key,
            "ResponseContentDisposition": f'attachment; filename="{name}"',
        },
        ExpiresIn=ADDRESS_SECONDS,
    )
