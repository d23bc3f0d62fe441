"""What the stage tells us (environment), read here and nowhere else.

`STAGE` is the one name read at import, with a safe default: Chalice needs it while packaging, to name
queues and rules. Everything else is read when asked for. District rules aren't here: they are rows of
the table `preferences`.
"""

import os
from pathlib import Path

STAGE = os.environ.get("STAGE", "local")
LOCAL_STAGE = "local"


def name(of: str) -> str:
    """Return the AWS name of a table, queue or function of this stage."""
    return f"parent-portal-{STAGE}-{of}"


def is_local() -> bool:
    """Whether this is the embedded AWS on one machine, where localhost rules are relaxed."""
    return STAGE == LOCAL_STAGE


def portal_url() -> str:
    """Return the address that mails link to, ending in a slash (stack parameter `PortalUrl`)."""
    return os.environ.get("PORTAL_URL", "http://portal.localhost:4566/").rstrip("/") + "/"


def mail_from() -> str:
    """Return the sender of every mail (stack parameter `MailFrom`)."""
    return os.environ["MAIL_FROM"]


def mail_configuration_set() -> str:
    """Return the SES configuration set of every mail: through it SES tells what became of them."""
    return os.environ["MAIL_CONFIGURATION_SET"]


def mail_queue_url() -> str:
    """Return the URL of the queue that `send_mail` consumes."""
    return os.environ["MAIL_QUEUE_URL"]


def import_queue_url() -> str:
    """Return the URL of the queue that `continue_import` consumes."""
    return os.environ["IMPORT_QUEUE_URL"]


def roster_bucket() -> str:
    """Return the bucket that takes roster zips and keeps reports and the applied state."""
    return os.environ["ROSTER_BUCKET"]


def hash_secret_id() -> str:
    """Return the Secrets Manager id of the hashing secret."""
    return os.environ.get("HASH_SECRET_ID", name("hash-secret"))


def clock_file() -> Path | None:
    """Return the file with the seconds that the service's clock is ahead; on stage `local` only."""
    if not is_local():
        return None
    path = os.environ.get("PARENT_PORTAL_CLOCK_FILE")
    return Path(path) if path else None
