"""Every entry point of Parent Portal, in the order of a parent's journey.

Handlers say where a request comes in and which action answers it, nothing else.
"""

from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Cron, Rate, Response, SQSEvent

from chalicelib import admin, settings, workers
from chalicelib.web import (
    account,
    actions,
    attendance,
    enrollment,
    grades,
    help_pages,
    household,
    http,
    openapi,
    phone,
    preferences,
    recovery,
    sso,
)
from chalicelib.web import students as student_pages

app = Chalice(app_name="parent-portal")

# --- asking for an activation key, and using it -------------------------------


@app.route("/activation-key", methods=http.GET_POST, content_types=http.BODY_TYPES)
def activation_key() -> Response:
    """Request a Parent Portal Activation Key."""
    return http.answer(app.current_request, actions.activation_key)


@app.route("/activate", methods=http.GET_POST, content_types=http.BODY_TYPES)
def activate() -> Response:
    """New User?: enter the activation key."""
    return http.answer(app.current_request, actions.activate)


@app.route("/create-account", methods=http.POST, content_types=http.BODY_TYPES)
def create_account() -> Response:
    """Create username and password."""
    return http.answer(app.current_request, actions.create_account)


# --- signing in and out -------------------------------------------------------


@app.route("/sign-in", methods=http.GET_POST, content_types=http.BODY_TYPES)
def sign_in() -> Response:
    """Sign in with username and password."""
    return http.answer(app.current_request, actions.sign_in)


@app.route("/sign-out", methods=http.POST, content_types=http.BODY_TYPES)
def sign_out() -> Response:
    """End the session."""
    return http.answer(app.current_request, actions.sign_out)


@app.route("/session", methods=http.GET_POST, content_types=http.BODY_TYPES)
def session() -> Response:
    """When the session ends; POST puts it off."""
    return http.answer(app.current_request, actions.session)


@app.route("/sso", methods=http.GET, content_types=http.BODY_TYPES)
def start_sso() -> Response:
    """Go to the district's identity provider."""
    return http.answer(app.current_request, sso.start)


@app.route("/sso/callback", methods=http.GET, content_types=http.BODY_TYPES)
def sso_callback() -> Response:
    """Come back from it."""
    return http.answer(app.current_request, sso.sso_callback)


# --- recovery -----------------------------------------------------------------


@app.route("/forgot-username", methods=http.GET_POST, content_types=http.BODY_TYPES)
def forgot_username() -> Response:
    """Forgot Your Username?: all usernames of an address by mail, five times a day."""
    return http.answer(app.current_request, recovery.forgot_username)


@app.route("/forgot-password", methods=http.GET_POST, content_types=http.BODY_TYPES)
def forgot_password() -> Response:
    """Forgot Your Password?: a mailed link."""
    return http.answer(app.current_request, recovery.forgot_password)


@app.route("/reset-password", methods=http.GET_POST, content_types=http.BODY_TYPES)
def reset_password() -> Response:
    """A new password, by the mailed link."""
    return http.answer(app.current_request, recovery.reset_password)


@app.route("/confirm-email", methods=http.GET_POST, content_types=http.BODY_TYPES)
def confirm_email() -> Response:
    """An address of one's own, by the link mailed to it."""
    return http.answer(app.current_request, recovery.confirm_email)


@app.route("/not-me", methods=http.GET_POST, content_types=http.BODY_TYPES)
def not_me() -> Response:
    """This wasn't me: undo what a mail told of."""
    return http.answer(app.current_request, recovery.not_me)


# --- signed in ----------------------------------------------------------------


@app.route("/", methods=http.GET, content_types=http.BODY_TYPES)
def home() -> Response:
    """The guardian's students and today."""
    return http.answer(app.current_request, actions.home)


@app.route("/students", methods=http.GET, content_types=http.BODY_TYPES)
def students() -> Response:
    """The guardian's students."""
    return http.answer(app.current_request, actions.students)


@app.route("/students/{id}", methods=http.GET, content_types=http.BODY_TYPES)
def student(id: str) -> Response:  # noqa: A002 - the contract's name, read from the path
    """One student with today."""
    return http.answer(app.current_request, student_pages.student)


@app.route("/students/{id}/schedule", methods=http.GET, content_types=http.BODY_TYPES)
def student_schedule(id: str) -> Response:  # noqa: A002
    """A student's classes."""
    return http.answer(app.current_request, student_pages.student_schedule)


@app.route("/students/{id}/attendance", methods=http.GET, content_types=http.BODY_TYPES)
def student_attendance(id: str) -> Response:  # noqa: A002
    """A student's attendance of a school year."""
    return http.answer(app.current_request, attendance.student_attendance)


@app.route("/students/{id}/grades", methods=http.GET, content_types=http.BODY_TYPES)
def student_grades(id: str) -> Response:  # noqa: A002
    """A student's grades."""
    return http.answer(app.current_request, grades.student_grades)


@app.route("/household", methods=http.GET_POST, content_types=http.BODY_TYPES)
def own_household() -> Response:
    """What the school has of the household: confirm it, or ask for a change."""
    return http.answer(app.current_request, household.household_page)


@app.route("/enrollment", methods=http.GET_POST, content_types=http.BODY_TYPES)
def enrollment_verification() -> Response:
    """Whether each child comes back in the coming school year."""
    return http.answer(app.current_request, enrollment.enrollment_page)


@app.route("/account", methods=http.GET, content_types=http.BODY_TYPES)
def own_account() -> Response:
    """Username, address on record and open sessions."""
    return http.answer(app.current_request, account.account)


@app.route("/account/password", methods=http.POST, content_types=http.BODY_TYPES)
def account_password() -> Response:
    """Change the password."""
    return http.answer(app.current_request, account.account_password)


@app.route("/account/email", methods=http.POST, content_types=http.BODY_TYPES)
def account_email() -> Response:
    """Ask for another address on record."""
    return http.answer(app.current_request, account.account_email)


@app.route("/account/sessions/end", methods=http.POST, content_types=http.BODY_TYPES)
def account_sessions_end() -> Response:
    """End every other session."""
    return http.answer(app.current_request, account.account_sessions_end)


@app.route("/preferences", methods=http.GET_POST, content_types=http.BODY_TYPES)
def own_preferences() -> Response:
    """The guardian's language, notifications and quiet hours."""
    return http.answer(app.current_request, preferences.preferences)


@app.route("/account/sso", methods=http.POST, content_types=http.BODY_TYPES)
def account_sso() -> Response:
    """Link the district's single sign-on to the account."""
    return http.answer(app.current_request, sso.account_sso)


@app.route("/account/sso/unlink", methods=http.POST, content_types=http.BODY_TYPES)
def account_sso_unlink() -> Response:
    """Unlink it."""
    return http.answer(app.current_request, sso.account_sso_unlink)


# --- beside the journey -------------------------------------------------------


@app.route("/help", methods=http.GET, content_types=http.BODY_TYPES)
def help_page() -> Response:
    """The guide's help, by topic."""
    return http.answer(app.current_request, help_pages.help_page)


@app.route("/manifest.webmanifest", methods=http.GET, content_types=http.BODY_TYPES)
def manifest() -> Response:
    """What makes the portal installable."""
    return http.answer(app.current_request, phone.manifest)


@app.route("/service-worker.js", methods=http.GET, content_types=http.BODY_TYPES)
def service_worker() -> Response:
    """What shows a page without a connection."""
    return http.answer(app.current_request, phone.service_worker)


@app.route("/status", methods=http.GET, content_types=http.BODY_TYPES)
def status() -> Response:
    """Whether the portal answers."""
    return http.answer(app.current_request, actions.status)


@app.route("/static/{name}", methods=http.GET, content_types=http.BODY_TYPES)
def static(name: str) -> Response:
    """A file named by its content's hash."""
    return http.answer(app.current_request, actions.static)


@app.route("/problems/{code}", methods=http.GET, content_types=http.BODY_TYPES)
def problem(code: str) -> Response:
    """What a problem code means."""
    return http.answer(app.current_request, actions.problem)


@app.route("/openapi.json", methods=http.GET, content_types=http.BODY_TYPES)
def openapi_document() -> Response:
    """All of this as OpenAPI 3.1, for programs."""
    return http.answer(app.current_request, openapi.openapi)


@app.route("/{proxy+}", methods=http.EVERY_METHOD, content_types=http.BODY_TYPES)
def not_found(**_: str) -> Response:
    """Every path that is none of ours."""
    return http.answer(app.current_request, actions.not_found)


# --- queues, schedules, the bucket --------------------------------------------


@app.on_sqs_message(queue=settings.name("mail"), batch_size=10)
def send_mail(event: SQSEvent) -> Any:
    """Send queued mails through SES."""
    return workers.send_mail(event)


@app.on_cw_event(
    {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"object": {"key": [{"prefix": "imports/"}]}},
    }
)
def import_roster(event: CloudWatchEvent) -> None:
    """Take note of an uploaded roster (the resources file adds our bucket to the pattern)."""
    workers.import_roster(event)


@app.on_sqs_message(queue=settings.name("imports"), batch_size=1)
def continue_import(event: SQSEvent) -> None:
    """Take the next step of an import."""
    workers.continue_import(event)


@app.lambda_function()
def record_mail_event(event: dict[str, Any], context: object) -> None:
    """Take what SES says of mails (the resources file subscribes it to SES's topic)."""
    workers.record_mail_event(event, context)


@app.schedule(Rate(1, unit=Rate.HOURS))
def reset_lockouts(event: CloudWatchEvent) -> None:
    """Unlock accounts and counters whose time has come."""
    workers.reset_lockouts(event)


@app.schedule(Cron(0, "*", "*", "*", "?", "*"))
def send_digests(event: CloudWatchEvent) -> None:
    """Mail what guardians chose, at 17:00 district time (on the full hour, every hour)."""
    workers.send_digests(event)


@app.schedule(Rate(1, unit=Rate.HOURS))
def check_imports(event: CloudWatchEvent) -> None:
    """Look after held imports, and notice when no roster comes any more."""
    workers.check_imports(event)


# --- the admins' console ------------------------------------------------------


@app.lambda_function()
def find_guardian(event: object, context: object) -> Any:
    """Find guardians by email, student_number, username or name."""
    return admin.run("find_guardian", event, context)


@app.lambda_function()
def issue_activation_key(event: object, context: object) -> Any:
    """Issue a guardian an activation key, by mail or as the answer."""
    return admin.run("issue_activation_key", event, context)


@app.lambda_function()
def revoke_activation_key(event: object, context: object) -> Any:
    """End every unused key of a guardian."""
    return admin.run("revoke_activation_key", event, context)


@app.lambda_function()
def unlock_account(event: object, context: object) -> Any:
    """Lift a lockout."""
    return admin.run("unlock_account", event, context)


@app.lambda_function()
def send_password_reset(event: object, context: object) -> Any:
    """Mail an account's guardian a link for a new password."""
    return admin.run("send_password_reset", event, context)


@app.lambda_function()
def require_password_reset(event: object, context: object) -> Any:
    """End an account's password and sessions, and mail a link for a new one."""
    return admin.run("require_password_reset", event, context)


@app.lambda_function()
def clear_mail_state(event: object, context: object) -> Any:
    """Forget a bounce or complaint of an address."""
    return admin.run("clear_mail_state", event, context)


@app.lambda_function()
def disable_account(event: object, context: object) -> Any:
    """Shut an account."""
    return admin.run("disable_account", event, context)


@app.lambda_function()
def enable_account(event: object, context: object) -> Any:
    """Open a disabled account again."""
    return admin.run("enable_account", event, context)


@app.lambda_function()
def delete_account(event: object, context: object) -> Any:
    """Remove an account."""
    return admin.run("delete_account", event, context)


@app.lambda_function()
def end_sessions(event: object, context: object) -> Any:
    """End the sessions of one account, or of all."""
    return admin.run("end_sessions", event, context)


@app.lambda_function()
def list_change_requests(event: object, context: object) -> Any:
    """List what families asked to be changed, the newest first."""
    return admin.run("list_change_requests", event, context)


@app.lambda_function()
def decide_change_request(event: object, context: object) -> Any:
    """Approve or deny a family's request."""
    return admin.run("decide_change_request", event, context)


@app.lambda_function()
def export_changes(event: object, context: object) -> Any:
    """Write approved changes as CSV for the student information system."""
    return admin.run("export_changes", event, context)


@app.lambda_function()
def approve_import(event: object, context: object) -> Any:
    """Apply a held import."""
    return admin.run("approve_import", event, context)


@app.lambda_function()
def enrollment_report(event: object, context: object) -> Any:
    """Count who has answered the enrollment verification, with a CSV of everybody."""
    return admin.run("enrollment_report", event, context)


@app.lambda_function()
def show_preferences(event: object, context: object) -> Any:
    """Show all preferences in force."""
    return admin.run("show_preferences", event, context)


@app.lambda_function()
def set_preferences(event: object, context: object) -> Any:
    """Change preferences."""
    return admin.run("set_preferences", event, context)
