"""What the portal can refuse, each refusal named after the domain and carrying its contract code.

Ordinary classes, never raised as `Refusal` itself; turned into an answer in exactly one place a face:
`web/http.py` for browsers and clients, `admin.py` for the console.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class FieldError:
    """One field at fault: its name, and a code whose words stand in the catalogue.

    `parameters` fill the words' placeholders (a bound, the allowed values); never what was typed.
    """

    field: str
    code: str
    parameters: tuple[tuple[str, str | int], ...] = ()


class Refusal(Exception):
    """The root of everything that is refused on purpose.

    Attributes:
        code: the problem code of the contract; the answer's `type` is `/problems/<code>`.
        status: the HTTP status that belongs to it.
    """

    code = ""
    status = 400

    def __init__(
        self, *, errors: Sequence[FieldError] = (), locked_until: datetime | None = None
    ) -> None:
        super().__init__(self.code)
        self.errors = tuple(errors)
        self.locked_until = locked_until


# --- the request itself -------------------------------------------------------


class Malformed(Refusal):
    """The body or a parameter can't be read: bad JSON, bytes that aren't UTF-8, too many fields."""

    code, status = "malformed", 400


class CrossSite(Refusal):
    """A POST that another site's page sent."""

    code, status = "cross-site", 403


class NotFound(Refusal):
    """No such page, or not yours, which is the same answer."""

    code, status = "not-found", 404


class BodyTooLarge(Refusal):
    """A body over 16 KiB."""

    code, status = "too-large", 413


class WrongContentType(Refusal):
    """A body that is neither a form nor JSON, or none."""

    code, status = "unsupported-media-type", 415


class Invalid(Refusal):
    """Fields that don't fit; `errors` names each."""

    code, status = "invalid", 422


class TooManyTries(Refusal):
    """A limit of the contract is reached; `locked_until` says when it is over."""

    code, status = "too-many-tries", 429


class Unavailable(Refusal):
    """AWS failed under us: nothing was granted, nothing is half done, trying again may help."""

    code, status = "unavailable", 503


# --- keys and accounts --------------------------------------------------------


class NoMatch(Refusal):
    """Lookup in screen mode found nobody."""

    code, status = "no-match", 404


class ActivationKeyInvalid(Refusal):
    """An activation key that opens nothing: unknown, mistyped, used, revoked and expired alike."""

    code, status = "activation-key-invalid", 422


class UsernameTaken(Refusal):
    """Another account has the name, in whatever case."""

    code, status = "invalid", 422

    def __init__(self) -> None:
        super().__init__(errors=[FieldError("username", "taken")])


class SignInFailed(Refusal):
    """Unknown user or wrong password, which is the same answer."""

    code, status = "sign-in-failed", 401


class SignInRequired(Refusal):
    """No session, or one that is over."""

    code, status = "sign-in-required", 401


class LockedOut(Refusal):
    """The account is shut until `locked_until`; said only after the right password."""

    code, status = "locked-out", 403


class RecoveryLockedOut(LockedOut):
    """The sixth forgotten-username try of the address's day, and all later ones."""

    status = 429


class ResetLinkInvalid(Refusal):
    """A reset link that opens nothing: unknown, used, expired, or ended by a change."""

    code, status = "reset-link-invalid", 422


class ConfirmLinkInvalid(Refusal):
    """A link to confirm an address that opens nothing."""

    code, status = "confirm-link-invalid", 422


class NotMeLinkInvalid(Refusal):
    """A "this wasn't me" link that opens nothing any more."""

    code, status = "not-me-link-invalid", 422


class AccountDisabled(Refusal):
    """An admin disabled the account; said only after the right password."""

    code, status = "account-disabled", 403


class PasswordResetRequired(Refusal):
    """The old password opens nothing any more; said only after the right password."""

    code, status = "password-reset-required", 403


class SsoNotLinked(Refusal):
    """What came back from the identity provider opens no account, or was used or too old."""

    code, status = "sso-not-linked", 403


class SsoUnavailable(Refusal):
    """The identity provider doesn't answer, or with nothing that could be trusted."""

    code, status = "sso-unavailable", 502


# --- the console --------------------------------------------------------------


class EventInvalid(Refusal):
    """A console event that doesn't fit its function; `errors` says which field and why."""

    code, status = "invalid", 422


class AccountExists(Refusal):
    """The guardian has an account already, so no key is issued."""

    code, status = "account-exists", 409


class NoSuchGuardian(Refusal):
    """No guardian of that id has access to the portal."""

    code, status = "no-such-guardian", 404


class NoAddress(Refusal):
    """The guardian has no address that a mail could go to."""

    code, status = "no-address", 409


class NoSuchAccount(Refusal):
    """No account of that name."""

    code, status = "no-such-account", 404


class NoSuchImport(Refusal):
    """No import of that name is held."""

    code, status = "no-such-import", 404


class NoSuchSchool(Refusal):
    """The roster has no school of that id."""

    code, status = "no-such-school", 404


class ChangedSince(Refusal):
    """The object was replaced after the import was held."""

    code, status = "changed-since", 409


class Superseded(Refusal):
    """A newer set was applied after the import was held."""

    code, status = "superseded", 409


class NoSuchRequest(Refusal):
    """Nobody asked for a change under that id."""

    code, status = "no-such-request", 404


class AlreadyDecided(Refusal):
    """The request was decided otherwise before."""

    code, status = "already-decided", 409
