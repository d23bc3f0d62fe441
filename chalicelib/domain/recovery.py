"""Forgotten usernames and passwords, and the lockouts that go with them (guide, "To reset").

A handler here counts, queues and answers; who has the name or the address is found out in the mail
worker, outside the answer's time.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib import crypto, errors, logs, policy
from chalicelib.domain import addresses, credentials, limits, mail
from chalicelib.errors import FieldError
from chalicelib.storage import (
    account_changes,
    accounts,
    aws,
    counters,
    district,
    links,
    locks,
    roster,
)
from chalicelib.storage.links import Link
from chalicelib.storage.values import Account

# A reset stops with so much time left; the next hour's run goes on where it stopped.
_STOP_SECONDS = 20.0
# The account may change while a link is used; then the link is judged anew, this often at most.
_ROUNDS = 4


# --- forgotten username -----------------------------------------------------------------


def forgot_username(address: str, *, ip: str, now: datetime) -> None:
    """Have all usernames of the address mailed to it; five times a district day.

    One conditional write decides; known and unknown addresses cost the same. A try whose mail can't be
    queued is given back: an outage of ours locks nobody out.

    Raises:
        TooManyTries: past the IP's limit, judged first: one machine can't lock out a district.
        RecoveryLockedOut: from the sixth try of the address's day (guide, "Forgot Your Username?").
        Unavailable: the queue takes no mail.
    """
    limits.from_ip("forgot-username-per-ip", ip, now=now)
    preferences = district.preferences()
    day, midnight = preferences.day(now).isoformat(), preferences.next_midnight(now)
    counter = aws.keyring().hash("address", address)
    most = preferences.most(policy.LIMITS["forgot-username"])
    try:
        counted = counters.count(counter, day=day, most=most, ends=midnight, now=now)
    except counters.Exhausted as error:
        # The midnight that the counter's day was begun with: the zone may have changed since.
        _lock(counter, address, day=day, until=error.until, now=now)
        raise errors.RecoveryLockedOut(locked_until=error.until) from error
    try:
        aws.queue_mail({"kind": "usernames", "id": crypto.new_id(), "address": address})
    except errors.Unavailable:
        counters.give_back(counted)
        raise


def _lock(counter: str, address: str, *, day: str, until: datetime, now: datetime) -> None:
    """Lock an address, and queue the mail that tells of it, unless that was done."""
    lock_id = counters.lock(counter, day=day, until=until, now=now)
    if lock_id is None:
        return
    logs.event("address-locked", level="warning")
    # Queued twice at worst, by tries at once or after a crash, and by its id mailed once.
    aws.queue_mail(
        {
            "kind": "locked-out",
            "id": lock_id,
            "address": address,
            "day": day,
            "until": int(until.timestamp()),
        }
    )
    counters.note_told(counter, day=day, lock_id=lock_id)


def mail_usernames(message_id: str, address: str, *, now: datetime) -> None:
    """Mail an address all of its usernames, to the address as stored, never as typed.

    A guardian's address without an account gets a mail that says how to make one; an address that
    nobody has gets nothing.
    """
    found = _accounts_at(address)
    if found:
        with mail.once(f"usernames#{message_id}", now=now) as send:
            if send is not None:
                send(
                    str(found[0].email),
                    "usernames",
                    languages=_languages(found),
                    data={"usernames": sorted(one.username for one in found)},
                )
        return
    for guardian_id in roster.guardian_ids_by_address(addresses.hashes(address)):
        guardian = roster.guardian_partition(guardian_id)
        if guardian and guardian.email and guardian.students and guardian.account is None:
            with mail.once(f"usernames#{message_id}", now=now) as send:
                if send is not None:
                    send(
                        guardian.email,
                        "no-account",
                        languages=mail.languages_of(guardian),
                        data={"name": guardian.given_name},
                    )
            return


def _accounts_at(address: str) -> list[Account]:
    """Return the accounts of an address, read from the table: the index only finds them."""
    found = (accounts.read_account(key) for key in accounts.accounts_at(addresses.hashes(address)))
    wanted = addresses.normalised(address)
    return [
        one
        for one in found
        if one is not None and one.email and addresses.normalised(one.email) == wanted
    ]


def _languages(found: list[Account]) -> Sequence[str]:
    spoken = (mail.languages_of(roster.guardian_partition(one.guardian_id), one) for one in found)
    return sorted({language for languages in spoken for language in languages})


# --- lockouts ---------------------------------------------------------------------------


def lock_out(message: Mapping[str, Any], *, now: datetime) -> None:
    """Copy a lockout onto the address's accounts, where admins look, and tell the guardian."""
    until = datetime.fromtimestamp(message["until"], UTC)
    if until <= now:
        return
    address = message["address"]
    counter = aws.keyring().hash("address", address)
    found = _accounts_at(address)
    if district.preferences().lockout_scope == "account":
        for one in found:
            accounts.copy_lockout(
                one.username_key, address_hash=counter, day=message["day"], until=until, now=now
            )
    for one in found:
        _tell_locked_out(message["id"], one, until, now=now)


def _tell_locked_out(message_id: str, account: Account, until: datetime, *, now: datetime) -> None:
    """Tell one guardian of the address; each account gets its own way to say "this wasn't me"."""
    with mail.once(f"locked-out#{message_id}#{account.account_id}", now=now) as send:
        if send is not None:
            send(
                str(account.email),
                "locked-out",
                languages=_languages([account]),
                data={
                    "usernames": [account.username],
                    "until": until,
                    "lockout_scope": district.preferences().lockout_scope,
                    "not_me": mail.not_me_link(account, str(account.email), now=now),
                },
            )


def reset_lockouts(*, now: datetime, seconds_left: Callable[[], float]) -> int:
    """Unlock every account and counter whose time has come, and return how many.

    Touches only locked items, found by a sparse index. May be cut off anywhere and run twice at once:
    each item is unlocked by its own conditional write, and one that is done isn't found again.
    """
    done = 0
    for bucket in locks.due_buckets(now):
        for unlock in (accounts.unlock_due, counters.unlock_due):
            for _ in unlock(bucket, now=now):
                done += 1
                if seconds_left() < _STOP_SECONDS:
                    logs.event("lockouts-reset", done=done, all=False)
                    return done
    logs.event("lockouts-reset", done=done, all=True)
    return done


def unlock(account: Account, *, now: datetime) -> None:
    """Lift a lockout for an admin: the address's tries of the day are 0 again."""
    day = district.preferences().day(now).isoformat()
    for address_hash in addresses.hashes(account.email or ""):
        counters.clear(address_hash, day=day)
    accounts.clear_lockout(account)
    limits.forget_name(account.username_key)


# --- forgotten password -----------------------------------------------------------------


def forgot_password(username: str, *, ip: str, now: datetime) -> None:
    """Have a link for a new password mailed to the address on record, whoever has the name.

    Raises:
        TooManyTries: past the IP's limit.
    """
    limits.from_ip("forgot-password-per-ip", ip, now=now)
    queue_reset_link(credentials.username_key(username.strip()) or "-" + crypto.digest(username))


def queue_reset_link(username_key: str, *, event: str | None = None) -> None:
    """Queue a mail with a link for a new password; the worker makes the link.

    Queued again for the same `event` it is mailed once.
    """
    message_id = event or crypto.new_id()
    aws.queue_mail({"kind": "password-reset", "id": message_id, "username_key": username_key})


def mail_reset_link(message_id: str, username_key: str, *, now: datetime) -> None:
    """Mail a link for a new password: five a day for one account, beyond that one an hour.

    So strangers who ask for links can neither shut the parent out nor flood the mailbox. A newer link
    doesn't end an older one.
    """
    account = accounts.read_account(username_key)
    if account is None or not account.email or account.state == accounts.DISABLED:
        return
    with mail.once(f"reset#{message_id}", now=now) as send:
        if send is None or not _may_mail_reset(message_id, account, now=now):
            return
        minutes = district.preferences().reset_link_minutes
        token = mail.new_link(
            links.RESET, account, account.email, lasts=timedelta(minutes=minutes), now=now
        )
        guardian = roster.guardian_partition(account.guardian_id)
        send(
            account.email,
            "password-reset",
            languages=_languages([account]),
            data={
                "name": guardian.given_name if guardian else "",
                "username": account.username,
                "link": mail.link("reset-password", token),
                "minutes": minutes,
            },
        )


def _may_mail_reset(message_id: str, account: Account, *, now: datetime) -> bool:
    if not mail.first_time(f"count#{message_id}", now=now):
        return True
    try:
        limits.of("reset-mails-per-day", account.account_id, now=now)
    except errors.TooManyTries:
        try:
            limits.of("reset-mails-beyond", account.account_id, now=now)
        except errors.TooManyTries:
            return False
    return True


def look_at_reset_link(token: str, *, now: datetime) -> str | None:
    """Return the username that a link is good for, None for a link that opens nothing."""
    found = _open(links.RESET, token, now=now)
    return None if found is None else found[1].username


def reset_password(token: str, password: str, verify_password: str, *, now: datetime) -> None:
    """Set a new password by a mailed link; ends every session and every other link.

    Posted again within ten minutes with the same link and password it answers as the first time.

    Raises:
        ResetLinkInvalid: unknown, used, expired, or ended by a change.
        TooManyTries: thirty tries with one link in an hour.
        Invalid: what the password lacks.
    """
    link = links.read(links.RESET, _hashes(token))
    if link is None:
        raise errors.ResetLinkInvalid
    limits.of("tries-per-link", link.link_hash, now=now)
    if _repeats(link, password, now):
        return
    for _ in range(_ROUNDS):
        found = _open(links.RESET, token, now=now)
        if found is None:
            break
        account = found[1]
        credentials.require_password(
            password,
            verify_password,
            username=account.username,
            preferences=district.preferences(),
        )
        mail.queue_notice(
            "password-changed",
            account,
            proof={"password_generation": account.password_generation + 1},
            event=f"password#{account.password_generation + 1}",
            by=link,
            now=now,
        )
        try:
            account_changes.reset_password(account, crypto.hash_password(password), link, now=now)
        except accounts.AccountChanged:
            continue
        limits.forget_name(account.username_key)
        logs.event("password-reset", account=account.account_id)
        return
    # The same one, posted at once, may have come first.
    used = links.read(links.RESET, _hashes(token))
    if used is None or not _repeats(used, password, now):
        raise errors.ResetLinkInvalid


def _repeats(link: Link, password: str, now: datetime) -> bool:
    """Whether a used link comes again, soon, with the password it was used for."""
    if not _is_fresh_use(link, now):
        return False
    account = accounts.read_account(link.username_key)
    same = account is not None and account.account_id == link.account_id
    return crypto.password_matches(account.password_hash if account and same else None, password)


def _is_fresh_use(link: Link, now: datetime) -> bool:
    used_at = link.used_at
    return used_at is not None and now.timestamp() - used_at < policy.REPEAT_SECONDS


def _was_used_just_now(link: Link, now: datetime) -> bool:
    """Whether another posting of the same link, made at once, did what it is for."""
    used = links.read(link.kind, [link.link_hash])
    return used is not None and _is_fresh_use(used, now)


def _hashes(token: str) -> list[str]:
    return aws.keyring().hashes("link", token)


def _open(kind: str, token: str, *, now: datetime) -> tuple[Link, Account] | None:
    """Return a link that opens something now, with its account; the transaction judges it again."""
    link = links.read(kind, _hashes(token))
    if link is None or link.used_at is not None or link.expires_at <= now.timestamp():
        return None
    account = accounts.read_account(link.username_key)
    if (
        account is None
        or account.account_id != link.account_id
        or account.link_generation != link.link_generation
        or account.state == accounts.DISABLED
    ):
        return None
    return link, account


# --- the account's own address ------------------------------------------------------------


def ask_for_address(account: Account, typed: str, *, now: datetime) -> None:
    """Begin to change the address on record: it counts once its own mail's link is opened.

    Raises:
        Invalid: it is no address.
        TooManyTries: ten changes of an account in a day.
    """
    address = typed.strip()
    if addresses.normalised(address) is None or addresses.deliverable(address) is None:
        raise errors.Invalid(errors=[FieldError("email", "format" if address else "required")])
    limits.of("address-changes", account.account_id, now=now)
    if account.email:
        # First, so that no address is ever confirmed behind the back of the old one's owner.
        mail.queue_notice(
            "email-change-requested",
            account,
            proof={},
            event=f"asked#{account.link_generation}#{addresses.hashed(address)}#{now:%Y-%m-%d}",
            now=now,
            restore=account.email,
            restore_source=account.email_source,
        )
    aws.queue_mail(
        {
            "kind": "email-confirm",
            "id": crypto.new_id(),
            "username_key": account.username_key,
            "account_id": account.account_id,
            "link_generation": account.link_generation,
            "email": address,
        }
    )


def mail_address_link(message: Mapping[str, Any], *, now: datetime) -> None:
    """Mail a new address the link that confirms it; the newest alone counts.

    Raises:
        Busy: the account changed under us; looked at anew it may still be waiting for the link.
    """
    account = accounts.read_account(message["username_key"])
    if (
        account is None
        or account.account_id != message["account_id"]
        or account.link_generation != message["link_generation"]
    ):
        return
    with mail.once(f"email-confirm#{message['id']}", now=now) as send:
        if send is None:
            return
        lasts = timedelta(hours=policy.CONFIRM_LINK_HOURS)
        token = mail.new_link(links.CONFIRM, account, message["email"], lasts=lasts, now=now)
        if not account_changes.expect_link(account, aws.keyring().hash("link", token)):
            raise mail.Busy
        send(
            message["email"],
            "email-confirm",
            languages=_languages([account]),
            data={
                "username": account.username,
                "link": mail.link("confirm-email", token),
                "hours": policy.CONFIRM_LINK_HOURS,
            },
        )


def confirm_address(token: str, *, now: datetime) -> None:
    """Make a confirmed address the one on record; the old one is told, with a way back.

    Raises:
        ConfirmLinkInvalid: unknown, used, replaced by a newer one, expired, or ended by a change.
    """
    link = links.read(links.CONFIRM, _hashes(token))
    if link is not None and _is_fresh_use(link, now):
        return
    address_hash = None if link is None else addresses.hashed(link.email)
    for _ in range(_ROUNDS):
        found = _open(links.CONFIRM, token, now=now)
        if found is None or address_hash is None:
            break
        link, account = found
        if account.email:
            mail.queue_notice(
                "email-changed",
                account,
                proof={"link_generation": account.link_generation + 1},
                event=f"address#{account.link_generation + 1}",
                by=link,
                now=now,
                restore=account.email,
                restore_source=account.email_source,
            )
        try:
            account_changes.confirm_address(account, link.email, address_hash, link, now=now)
        except accounts.AccountChanged:
            continue
        logs.event("address-confirmed", account=account.account_id)
        return
    if link is None or not _was_used_just_now(link, now):
        raise errors.ConfirmLinkInvalid


# --- "this wasn't me" -----------------------------------------------------------------------


def not_me(token: str, *, request_id: str, now: datetime) -> None:
    """Undo what can be undone: sessions end, an address change is taken back.

    A new password is asked for, by a link to the address that got the mail.

    A link works for whoever reads the mail only while that address is on record, or was until the
    change that the mail told of. Every link made after it ends with it, and no older one: a thief's,
    whose mails all came later, can neither undo the undoing nor forestall it.

    Raises:
        NotMeLinkInvalid: unknown, used, expired, or of an address that isn't the account's any more.
    """
    for _ in range(_ROUNDS):
        link = links.read(links.NOT_ME, _hashes(token))
        if link is None:
            break
        if _is_fresh_use(link, now):
            _ask_for_password(link)
            return
        account = accounts.read_account(link.username_key)
        if account is None or not _may_take_back(link, account, now):
            break
        try:
            _take_back(link, account, request_id=request_id, now=now)
        except accounts.AccountChanged:
            # The link itself was used at once, or a thief is at work: what is there now counts.
            continue
        logs.event("not-me", level="warning", account=account.account_id)
        _ask_for_password(link)
        return
    # Between the reads of link and account another may have used this very link.
    if link is None or not _was_used_just_now(link, now):
        raise errors.NotMeLinkInvalid
    _ask_for_password(link)


def _take_back(link: Link, account: Account, *, request_id: str, now: datetime) -> None:
    district.audit(
        f"account#{account.username_key}",
        "not_me",
        "begun",
        operator="guardian",
        request_id=request_id,
        details={},
        now=now,
    )
    changed = link.restore is not None and _differ(link.restore, account.email)
    restored = addresses.hashed(link.restore) if changed else None
    if changed and account.email:
        aws.queue_mail(
            {
                "kind": "address-changed",
                "id": f"not-me#{link.link_hash}",
                "guardian_id": account.guardian_id,
                "old_address": account.email,
                "by": mail.used_link(link),
                "queued_at": int(now.timestamp()),
            },
            delay=1,
        )
    at = int(now.timestamp())
    # A use that ended no link which could still be opened says nothing any more.
    since = at - policy.NOT_ME_LINK_DAYS * 86400
    used = [span for span in account.not_me_used if span[1] > since]
    account_changes.take_back(
        account,
        link,
        restored_hash=restored,
        not_me_used=[*used, (link.created_at, at)],
        now=now,
    )


def _ask_for_password(link: Link) -> None:
    """Queue the link for a new password; posted again after a crash, the mail isn't lost or doubled."""
    queue_reset_link(link.username_key, event=f"not-me#{link.link_hash}")


def _may_take_back(link: Link, account: Account, now: datetime) -> bool:
    return (
        link.used_at is None
        and link.expires_at > now.timestamp()
        and account.account_id == link.account_id
        and not any(made <= link.created_at <= used for made, used in account.not_me_used)
        and (link.restore is not None or not _differ(link.email, account.email))
    )


def _differ(one: str | None, other: str | None) -> bool:
    return addresses.normalised(one or "") != addresses.normalised(other or "")


# --- what became of mails ---------------------------------------------------------------------


def mail_state(account: Account) -> str | None:
    """Return `bounced` or `complained` where mails to the address on record don't arrive."""
    return account.mail_state if account.mail_state in mail.SUPPRESSED else None


def record_mail_event(event: Mapping[str, Any], *, now: datetime) -> None:
    """Take one delivery, bounce or complaint of SES.

    Permanent bounces and complaints mark the address until it changes or an admin clears it.
    """
    kind = str(event.get("eventType") or event.get("notificationType") or "")
    if kind == "Bounce" and event["bounce"].get("bounceType") == "Permanent":
        recipients = [one["emailAddress"] for one in event["bounce"]["bouncedRecipients"]]
        state = "bounced"
    elif kind == "Complaint":
        recipients = [one["emailAddress"] for one in event["complaint"]["complainedRecipients"]]
        state = "complained"
    elif kind == "Delivery":
        recipients, state = list(event["delivery"]["recipients"]), "delivered"
    else:
        return
    for recipient in recipients:
        if state == "delivered" and mail.address_state(str(recipient)) is not None:
            # Word of an earlier mail, come late: it takes back no bounce.
            continue
        mail.note_address(str(recipient), state, now=now)
        _show_state(str(recipient), state, now=now)
    logs.event("mail-event", state=state, recipients=len(recipients))


def clear_mail_state(email: str, *, now: datetime) -> bool:
    """Forget a bounce or complaint of an address, on SES's suppression list too.

    Raises:
        Invalid: it is no address.
    """
    if addresses.normalised(email) is None:
        raise errors.EventInvalid(errors=[FieldError("email", "format")])
    known = mail.address_state(email) is not None
    mail.note_address(email, None, now=now)
    _show_state(email, None, now=now)
    aws.forget_suppressed(email)
    return known


def _show_state(address: str, state: str | None, *, now: datetime) -> None:
    """Copy what became of mails to where guardians and admins look: accounts and guardians."""
    for guardian_id in roster.guardian_ids_by_address(addresses.hashes(address)):
        roster.set_mail_state(guardian_id, state, now)
    for account in _accounts_at(address):
        accounts.set_mail_state(account, state)
