"""The roster import, from an upload in the bucket to its report.

An upload is received once, waits for its turn, is read and compared whole before anything is
written, then held, rejected or applied chunk by chunk. Every step may be cut off and taken again:
`advance` is called for each message of the import queue, in any order, as often as SQS likes.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chalicelib import crypto, errors, logs, settings
from chalicelib.domain import addresses, roster_changes, roster_compare, roster_report
from chalicelib.domain.oneroster import Fault, SetRejected
from chalicelib.domain.roster_changes import GuardianChange, ItemChange
from chalicelib.domain.roster_report import Faults, Found, Upload
from chalicelib.storage import aws, district, imports, roster_bucket, roster_writes
from chalicelib.storage.imports import Import
from chalicelib.storage.roster_writes import GuardianMove

# A read that died so often won't live (too large a set, or a fault of ours); the place is freed.
MOST_ATTEMPTS = 3
# A chunk is begun only with so much time left, many times what one takes.
CHUNK_SECONDS = 90.0
HELD_DAYS = 14
STALE = timedelta(hours=48)
# Keys are at most 1,024 bytes in S3, and the report's must fit too.
_KEY_MOST = 900
# In any case: some tools write .ZIP.
_SUFFIX = ".zip"
_SQS_DELAY_MOST = 900
_RETRY_SECONDS = 60


# --- an upload arrives ------------------------------------------------------------


def receive(bucket: str | None, key: str | None, version_id: str | None, *, now: datetime) -> None:
    """Take one event of the bucket: remember the upload and queue its import.

    An event that isn't an upload's is ignored with a log line; one delivered twice is known by
    bucket, key and version id, and only asks again for what hasn't ended.
    """
    if not key or not _is_upload(bucket, key):
        logs.event("import-ignored", level="warning")
        return
    # AWS names the version of an object in a versioned bucket; the embedded AWS doesn't.
    version_id = version_id or roster_bucket.latest_version(key)
    if version_id is None:
        logs.event("import-ignored", level="warning")
        return
    import_id = _import_id(key, version_id)
    known = imports.receive(import_id, key, version_id, now=now)
    if known.step not in (*imports.ENDED, imports.HELD):
        aws.queue_import(import_id)
        logs.event("import-received", import_id=import_id)


def _is_upload(bucket: str | None, key: str) -> bool:
    return (
        bucket == settings.roster_bucket()
        and key.startswith(roster_bucket.IMPORTS)
        and key.lower().endswith(_SUFFIX)
        and bool(_name(key))
        and len(key.encode()) <= _KEY_MOST
    )


def _name(key: str) -> str:
    return key.removeprefix(roster_bucket.IMPORTS)[: -len(_SUFFIX)]


def _import_id(key: str, version_id: str) -> str:
    return crypto.digest(f"{settings.roster_bucket()}\0{key}\0{version_id}")


# --- whose turn it is ---------------------------------------------------------------


def advance(import_id: str, *, now: datetime, seconds_left: Callable[[], float]) -> None:
    """Go on with whichever import has the turn, as far as the time allows.

    Takes the import of the message, which only says that there is work: the one that has the place
    goes first, then those that wait, the first come first.

    Args:
        import_id: the message's import.
        now: this moment.
        seconds_left: returns the seconds that the function may still run.
    """
    one = _take_turn(now)
    if one is None:
        _ask_later(import_id, now)
        return
    try:
        _run(one, now, seconds_left)
    except Exception:
        # A function that is killed keeps the lease until it ends; this one can say so at once.
        logs.event("import-interrupted", level="error", import_id=one.import_id)
        imports.give_back_lease(one.import_id)
        aws.queue_import(one.import_id, delay=_RETRY_SECONDS)
        raise


def _take_turn(now: datetime) -> Import | None:
    """Return the import to go on with, its lease taken; None where another runs, or none waits."""
    current = imports.current()
    if current is not None:
        import_id, lease_until = current
        if lease_until > now.timestamp():
            return None
        if not imports.renew_lease(import_id, lease_until, now=now):
            return None
        return imports.find(import_id)
    for waiting in imports.pending():
        one = imports.find(waiting)
        if one is not None and imports.take_place(one, now=now):
            return one
    return None


def _ask_later(import_id: str, now: datetime) -> None:
    """Keep a message alive whose import is not at its end: who runs now may die.

    One that waits without standing in line (its approval was cut off) gets its place there.
    """
    asked, current = imports.find(import_id), imports.current()
    if asked is None or asked.step in (*imports.ENDED, imports.HELD):
        return
    if current is None:
        if asked.step == imports.QUEUED:
            imports.await_turn(asked)
            aws.queue_import(import_id)
        return
    wait = current[1] - int(now.timestamp()) + 1
    aws.queue_import(import_id, delay=max(1, min(wait, _SQS_DELAY_MOST)))


def _run(one: Import, now: datetime, seconds_left: Callable[[], float]) -> None:
    begun_with = seconds_left()
    if one.step in (imports.QUEUED, imports.READING):
        if imports.begin_attempt(one.import_id) > MOST_ATTEMPTS:
            logs.event("import-dead", level="error", import_id=one.import_id)
            _reject(one, Faults(), "import.dead", now=now)
        else:
            _read(one, now)
        one = _again(one)
    if one.step == imports.APPLYING:
        if not _apply(one, seconds_left):
            imports.give_back_lease(one.import_id)
            aws.queue_import(one.import_id)
            return
        # Writing takes minutes: the moment it ends is later than the moment that was handed in.
        _finish(one, now + timedelta(seconds=begun_with - seconds_left()))
        one = _again(one)
    if one.step in imports.ENDED:
        imports.end_hold(_name(one.key), one.import_id)
        _delete_upload(one)
        _delete_work(one)
    _let_next_begin(one)


def _again(one: Import) -> Import:
    found = imports.find(one.import_id)
    assert found is not None
    return found


def _let_next_begin(one: Import) -> None:
    imports.leave_place(one.import_id)
    for waiting in imports.pending():
        aws.queue_import(waiting)
        return


# --- reading --------------------------------------------------------------------------


def _read(one: Import, now: datetime) -> None:
    """Read and compare an upload whole; leave it held, rejected, or ready to be applied."""
    faults = Faults()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        zipped = folder / "upload.zip"
        try:
            uploaded = roster_bucket.download_upload(one.key, one.version_id, zipped)
        except roster_bucket.UploadGone:
            _reject(one, faults, "upload.gone", now=now)
            return
        one = _noted(one, uploaded, zipped)
        applied = imports.applied()
        base = applied.import_id if applied else None
        late = applied is not None and uploaded.timestamp() < applied.uploaded_at
        if late or (one.approved_at and base != one.base):
            _reject(one, faults, "superseded", now=now)
            return
        imports.note(one.import_id, base=base)
        try:
            compared = _compare(base, folder, faults, now)
        except SetRejected as rejected:
            faults.decide(rejected.faults)
            _reject(one, faults, _first_error(rejected), now=now)
            return
        roster_bucket.write_errors(_name(one.key), faults.csv())
        if compared.holds and not one.approved_at:
            _hold(one, compared, faults, now)
        else:
            _prepare(one, compared, faults, now)


def _noted(one: Import, uploaded: datetime, zipped: Path) -> Import:
    """Note which bytes were read; an approved import must read the very bytes that were held."""
    digest = crypto.digest_of(zipped)
    if one.approved_at and digest != one.digest:
        raise errors.ChangedSince
    uploaded_at = int(uploaded.timestamp())
    imports.note(one.import_id, digest=digest, uploaded_at=uploaded_at)
    return replace(one, digest=digest, uploaded_at=uploaded_at)


def _compare(
    base: str | None, folder: Path, faults: Faults, now: datetime
) -> roster_compare.Comparison:
    packed = None
    if base is not None:
        packed = folder / "base.sqlite.gz"
        roster_bucket.download(roster_bucket.state_key(base), packed)
    return roster_compare.compare(
        folder / "upload.zip",
        packed,
        folder,
        faults,
        keyring=aws.keyring(),
        today=district.preferences().day(now),
    )


def _first_error(rejected: SetRejected) -> str:
    codes = [fault.code for fault in rejected.faults if fault.severity == "error"]
    return codes[0] if codes else "rejected"


def _prepare(
    one: Import, compared: roster_compare.Comparison, faults: Faults, now: datetime
) -> None:
    """Put the changes and the new state where every later step finds them."""
    for number, chunk in enumerate(compared.chunks):
        roster_bucket.upload(_chunk_key(one, number), chunk)
    roster_bucket.upload(roster_bucket.state_key(one.import_id), compared.state)
    report = roster_report.report(
        _upload(one), imports.APPLIED, faults.counts, found=compared.found, now=now
    )
    imports.note(
        one.import_id,
        step=imports.APPLYING,
        chunk=0,
        chunks=len(compared.chunks),
        report=report,
    )


def _hold(one: Import, compared: roster_compare.Comparison, faults: Faults, now: datetime) -> None:
    """Have an import wait for an admin's yes; an older one of its name can't get it any more."""
    name = _name(one.key)
    faults.decide(
        Fault("error", f"held.{hold.code}", message=hold.message) for hold in compared.holds
    )
    reason = compared.holds[0].code
    report = roster_report.report(
        _upload(one), imports.HELD, faults.counts, reason=reason, found=compared.found, now=now
    )
    roster_bucket.write_errors(name, faults.csv())
    roster_bucket.write_report(name, report)
    replaced = imports.hold(name, one.import_id, now=now)
    if replaced is not None and (older := imports.find(replaced)) is not None:
        roster_bucket.delete_version(older.key, older.version_id)
        imports.note(replaced, step=imports.REJECTED)
    imports.note(one.import_id, step=imports.HELD, report=report)
    logs.event("import-held", level="warning", import_id=one.import_id, reason=reason)


def _reject(one: Import, faults: Faults, code: str, *, now: datetime) -> None:
    if not faults.counts:
        faults.add(Fault("error", code, message=_MESSAGES.get(code, "")))
    report = roster_report.report(
        _upload(one), imports.REJECTED, faults.counts, reason=code, now=now
    )
    roster_bucket.write_errors(_name(one.key), faults.csv())
    roster_bucket.write_report(_name(one.key), report)
    imports.note(one.import_id, step=imports.REJECTED, report=report)
    logs.event("import-rejected", level="error", import_id=one.import_id, reason=code)


_MESSAGES = {
    "superseded": "A newer upload was applied meanwhile. Nothing of this one was imported.",
    "upload.gone": "The upload was deleted before it was read.",
    "import.dead": "The import was cut off again and again. Tell whoever runs the portal.",
    "held.expired": "Nobody approved the held import for 14 days. Its upload is deleted.",
}


def _upload(one: Import) -> Upload:
    return Upload(_name(one.key), one.version_id, datetime.fromtimestamp(one.arrived_at, UTC))


def _chunk_key(one: Import, number: int) -> str:
    return f"{roster_bucket.WORK}{one.import_id}/changes-{number:04}.jsonl.gz"


# --- applying -------------------------------------------------------------------------


def _apply(one: Import, seconds_left: Callable[[], float]) -> bool:
    """Write the chunks that aren't written yet; return whether all are."""
    for number in range(one.chunk, one.chunks):
        if seconds_left() < CHUNK_SECONDS:
            return False
        changes = roster_changes.read_chunk(roster_bucket.read(_chunk_key(one, number)))
        _write_items([c for c in changes if isinstance(c, ItemChange)])
        _move_guardians(one, [c for c in changes if isinstance(c, GuardianChange)])
        imports.note(one.import_id, chunk=number + 1)
    return True


def _write_items(changes: list[ItemChange]) -> None:
    roster_writes.write_items(
        ((c.pk, c.sk, c.attributes) for c in changes if c.attributes is not None),
        ((c.pk, c.sk) for c in changes if c.attributes is None),
    )


def _move_guardians(one: Import, changes: list[GuardianChange]) -> None:
    """End keys, move addresses, and tell the old address of each account that moved.

    The mail's id is made of import and guardian, so a chunk written twice mails once.
    """
    moved = roster_writes.move_guardians([_move(change) for change in changes])
    for change, told in zip(changes, moved, strict=True):
        if told:
            aws.queue_mail(
                {
                    "kind": "address-changed",
                    "id": f"address-changed#{one.import_id}#{change.guardian_id}",
                    "guardian_id": change.guardian_id,
                    "old_address": change.old_email,
                }
            )


def _move(change: GuardianChange) -> GuardianMove:
    old = addresses.normalised(change.old_email or "")
    return GuardianMove(
        guardian_id=change.guardian_id,
        profile=change.profile,
        profile_changes=not change.keep,
        email=change.email,
        address_hash=change.address_hash,
        had_address=old is not None and old != addresses.normalised(change.email or ""),
    )


def _finish(one: Import, now: datetime) -> None:
    """Make the import the applied one and say so."""
    if not imports.move_applied(one, now=now):
        _reject(one, Faults(), "superseded", now=now)
        return
    finished = datetime.fromtimestamp(int(now.timestamp()), UTC).isoformat().replace("+00:00", "Z")
    report = {**(one.report or {}), "finished_at": finished}
    roster_bucket.write_report(_name(one.key), report)
    imports.note(one.import_id, step=imports.APPLIED, report=report)
    logs.event("import-applied", import_id=one.import_id)


def _delete_upload(one: Import) -> None:
    """Delete an ended upload, which holds last fours, and every older version of it.

    What still waits stays, and a held version too while nothing newer was applied.
    """
    kept = {imports.QUEUED, imports.READING, imports.APPLYING}
    if one.step == imports.REJECTED:
        kept.add(imports.HELD)
    uploaded_at = one.uploaded_at or one.arrived_at
    for version in list(roster_bucket.versions(one.key)):
        if version.version_id != one.version_id:
            if version.last_modified.timestamp() >= uploaded_at:
                continue
            other = imports.find(_import_id(one.key, version.version_id))
            if other is not None and other.step in kept:
                continue
        roster_bucket.delete_version(one.key, version.version_id)


def _delete_work(one: Import) -> None:
    roster_bucket.delete_folder(f"{roster_bucket.WORK}{one.import_id}/")
    applied = imports.applied()
    if applied is not None and applied.import_id == one.import_id:
        if one.base and one.base != one.import_id:
            roster_bucket.delete(roster_bucket.state_key(one.base))
    else:
        roster_bucket.delete(roster_bucket.state_key(one.import_id))


# --- what admins and the clock do -----------------------------------------------------


def approve(name: str, *, now: datetime) -> dict[str, object]:
    """Have the held import of a name applied, from the very bytes that were held.

    Returns:
        name, version id and `status`: `approved`.

    Raises:
        NoSuchImport: no import of that name is held.
        Superseded: another set was applied since.
        ChangedSince: the upload was replaced or deleted since.
    """
    import_id = imports.held_by_name(name)
    one = imports.find(import_id) if import_id else None
    if one is None or one.step != imports.HELD:
        raise errors.NoSuchImport
    applied = imports.applied()
    if (applied.import_id if applied else None) != one.base:
        raise errors.Superseded
    if roster_bucket.latest_version(one.key) != one.version_id:
        raise errors.ChangedSince
    imports.note(one.import_id, step=imports.QUEUED, approved_at=int(now.timestamp()), attempts=0)
    imports.await_turn(one)
    aws.queue_import(one.import_id)
    return {"status": "approved", "name": name, "version_id": one.version_id}


def check(*, now: datetime) -> None:
    """Do what no message does: delete held uploads nobody approved, wake what stands still.

    Logs `roster-stale` (an alarm) where the last set was applied more than 48 hours ago.
    """
    for name, (import_id, since) in imports.held().items():
        if now - datetime.fromtimestamp(since, UTC) > timedelta(days=HELD_DAYS):
            _expire(name, import_id, now)
        elif (one := imports.find(import_id)) is not None and one.step == imports.QUEUED:
            # An approval may have been cut off before the import stood in line.
            aws.queue_import(import_id)
    current, waiting = imports.current(), imports.pending()
    if current is not None and current[1] <= now.timestamp():
        aws.queue_import(current[0])
    elif current is None and waiting:
        aws.queue_import(waiting[0])
    applied = imports.applied()
    if applied is not None and now - datetime.fromtimestamp(applied.at, UTC) > STALE:
        logs.event("roster-stale", level="error", import_id=applied.import_id)


def _expire(name: str, import_id: str, now: datetime) -> None:
    one = imports.find(import_id)
    if one is not None and one.step == imports.HELD:
        roster_bucket.delete_version(one.key, one.version_id)
        applied = imports.applied()
        report = roster_report.report(
            _upload(one),
            imports.REJECTED,
            Counter({"held.expired": 1}),
            reason="held.expired",
            found=Found(),
            now=now,
        )
        if (applied.import_id if applied else None) == one.base:
            # Else the report of this name may be that of a newer upload.
            roster_bucket.write_report(name, report)
        imports.note(import_id, step=imports.REJECTED, report=report)
        logs.event("import-rejected", level="error", import_id=import_id, reason="held.expired")
    imports.end_hold(name, import_id)
