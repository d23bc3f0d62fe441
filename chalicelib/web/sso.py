"""Single sign-on as actions: to the district's identity provider and back, linking and unlinking."""

from chalicelib.domain import accounts, repeats, sso, who
from chalicelib.web.account import account_again, once, prove
from chalicelib.web.call import Call
from chalicelib.web.forms import arrival_cookies, required, session_shown, signed_in_body
from chalicelib.web.http import HTML, Answer, form, set_cookie
from chalicelib.web.links import after_sign_in, own_path

_COOKIE_SECONDS = int(sso.ATTEMPT.total_seconds())


def start(call: Call) -> Answer:
    """Send the browser to the issuer; it is a link, since a form could not lead there (CSP)."""
    next_path = own_path(call.query.get("next"))
    out = sso.set_out(session=None, next_path=next_path, now=call.now)
    # The same for browsers and clients: nothing else could be done with it.
    return Answer(
        status=303, text=(HTML, ""), headers={"Location": out.location}, cookies=(_kept(out),)
    )


def sso_callback(call: Call) -> Answer:
    """Take the browser back from the issuer: to a session, or with a link."""
    arrived = sso.arrive(call.query, call.cookie("sso"), now=call.now)
    over = set_cookie("sso", "", seconds=0)
    if arrived.session_hash is not None:
        sso.link(arrived, call.cookie("session"), now=call.now)
        return Answer({"status": "ok"}, location="account?note=sso-linked", cookies=(over,))
    signed_in = sso.sign_in(
        arrived,
        device=accounts.Device(call.device, call.cookie),
        carried=call.cookie("session"),
        now=call.now,
    )
    return Answer(
        signed_in_body(signed_in),
        location=after_sign_in(arrived.next_path),
        cookies=(
            set_cookie("session", signed_in.token, seconds=signed_in.lasts_seconds),
            *arrival_cookies(signed_in),
            over,
        ),
    )


@form(account_again)
def account_sso(call: Call) -> Answer:
    """Begin to link the issuer's account to this one, asked for with the password."""
    sso.require_configured()
    here = who.current(call.cookie("session"), now=call.now)
    session, own = here.session, here.account
    fields = required(call, "current_password")

    def set_out() -> sso.SettingOut:
        return sso.set_out(session=session, now=call.now)

    def first() -> sso.SettingOut:
        prove(call, own, fields["current_password"])
        return set_out()

    asked = {**fields, "account": own.account_id, "session": session.session_hash}
    # Posted again it sets out anew: the first way may be used already.
    out = repeats.once("account/sso", call.form_id, asked, first=first, again=set_out, now=call.now)
    return Answer(
        {"location": out.location},
        page="sso",
        data={"location": out.location, "session": session_shown(call, session)},
        headers={"Refresh": f"0;url={out.location}"},
        cookies=(_kept(out),),
        language=here.language,
        signed_in=True,
    )


@form(account_again)
def account_sso_unlink(call: Call) -> Answer:
    """Take the link to the issuer off the account, with the password."""
    sso.require_configured()
    own = who.current(call.cookie("session"), now=call.now).account
    fields = required(call, "current_password")

    def unlink() -> None:
        prove(call, own, fields["current_password"])
        sso.unlink(own, now=call.now)

    once(call, own, "account/sso/unlink", fields, unlink)
    return Answer({"status": "ok"}, location="account?note=sso-unlinked")


def _kept(out: sso.SettingOut) -> str:
    return set_cookie("sso", out.handle, seconds=_COOKIE_SECONDS)
