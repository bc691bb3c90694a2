"""`/oauth/callback`: where a browser comes back to from a provider, is asked, and told whether a mailbox is connected.

    GET     shows which mailbox is about to be connected, to which workspace and for whom: whoever agreed at the
            provider may have been sent there by somebody else, who would have their mail
    POST    connects it, once

Nothing of the address that it comes back with is shown, logged or believed. What is being connected, by whom and for
which workspace, was stored when it was begun, and is found by the state alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from connect_inbox.graphql.intake import Intake
from connect_inbox.rates import RateLimited
from schema.types.errors import ApiError, Refused
from schema.types.mailbox import MailboxAccess
from storage import oauth_flows
from storage.credentials import Credentials
from storage.oauth_flows import Flow, FlowUnfit, Unfit
from storage.store import Store
from sync.mail_server import Failure, MailServerFailed
from sync.mailbox_connecting import member_of
from sync.oauth import NoSuchProvider, finish
from sync.oauth_providers import Providers
from sync.oauth_tokens import GrantEnded

logger = logging.getLogger("connect_inbox.oauth")

PATH = "/oauth/callback"
METHODS = ["GET", "POST"]
LONGEST = 4096  # characters of a state or a code
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
QUESTION = "{address} will be connected to the workspace {workspace}, for {member}. Whoever works there can then {may}."
READ = "read what its influencers and this mailbox write to each other, and send mail from it"
SEND = "send mail from it"
STRANGE = "If that is not what you want, or you did not begin it, close this window: then nothing is connected."
DONE = "The mailbox is connected. You can close this window."
AGAIN = "Go back to where you began, and connect the mailbox anew."
NOT_ALLOWED = "You, or somebody for you, did not allow it, so the mailbox is not connected."
NO_TOKENS = "The provider does not stand by what it sent you here with."
NO_PROVIDER = "The provider is not configured here any more."
MUCH = "Your network has asked this server for too much in this minute."
FAULT = "Something went wrong on our side, so the mailbox is not connected."
UNFIT = {
    Unfit.UNKNOWN: (400, "This address does not belong to anything that was begun here."),
    Unfit.USED: (409, "This address was used before, and can be used once only."),
    Unfit.EXPIRED: (410, "This took longer than the ten minutes that there are for it."),
}
FAILED = {
    Failure.HOST: (502, "The provider's server could not be reached, so the mailbox is not connected."),
    Failure.TLS: (502, "The provider's server could not prove that it is the right one."),
    Failure.LOGIN: (403, "The mail server did not let us in. Was it the account of this very mailbox that you used?"),
    Failure.PERMISSION: (403, "The provider let us in, but not to read and send mail for as long as you want."),
    Failure.BUSY: (503, "The provider asks to come back later."),
    Failure.LOST: (502, "The provider's server did not answer to the end, so the mailbox is not connected."),
    Failure.PROTOCOL: (502, "The provider's server answered with something that cannot be understood."),
}

Connected = Callable[[Flow, Credentials], Awaitable[object]]


def redirect_uri(address: str) -> str:
    """Where providers send browsers back to, at a server with this address. It must be registered with each of them."""
    return f"{address}{PATH}"


class Callback:
    """Answers the browser. `connected` tries the mailbox and stores it, or raises MailServerFailed or Refused."""

    def __init__(self, store: Store, providers: Providers, connected: Connected) -> None:
        self._store = store
        self._providers = providers
        self._connected = connected

    async def answer(self, request: Request, intake: Intake) -> Response:
        if request.method not in METHODS:
            return Response(status_code=405, headers={"allow": ", ".join(METHODS)})
        try:
            intake.admit(intake.address_of(request))
        except RateLimited as refused:
            answer = page(429, MUCH, again=f"Load this address again in {refused.retry_after} seconds.")
            answer.headers["retry-after"] = str(refused.retry_after)
            return answer
        given = {name: request.query_params.get(name, "") for name in ("state", "code", "error")}
        if max(map(len, given.values())) > LONGEST:
            return page(*UNFIT[Unfit.UNKNOWN])
        is_asked = request.method == "GET" and given["code"] and not given["error"]
        try:
            return await (self._ask(given["state"]) if is_asked else self._finish(**given))
        except FlowUnfit as unfit:
            return page(*UNFIT[unfit.why])
        except GrantEnded:
            return page(400, NO_TOKENS)
        except NoSuchProvider:
            return page(400, NO_PROVIDER)
        except MailServerFailed as failed:
            logger.warning("a mailbox could not be connected: %s", failed)
            return page(*FAILED[failed.failure])
        except Refused as refused:
            return page(403, refused.error.message)
        except ApiError as refused:
            return page(403, refused.message)
        except Exception:
            logger.exception("a mailbox could not be connected")
            return page(500, FAULT)

    async def _ask(self, state: str) -> Response:
        flow = await oauth_flows.look(self._store, state)
        member = await member_of(self._store, flow)
        workspace = await self._store.database.get("workspaces", flow.workspace)
        assert workspace is not None
        may = READ if MailboxAccess(flow.access) is MailboxAccess.FULL else SEND
        words = QUESTION.format(address=flow.address, workspace=workspace["name"], member=member.name, may=may)
        return question(words)

    async def _finish(self, state: str, code: str, error: str) -> Response:
        flow, verifier = await oauth_flows.take(self._store, state)
        if error or not code:
            return page(403, NOT_ALLOWED) if error == "access_denied" else page(400, NO_TOKENS)
        credentials = await finish(self._store, self._providers, flow, verifier, code)
        await self._connected(flow, credentials)
        return page(200, DONE)


def question(words: str) -> Response:
    """Answered by a POST to where it came from, which no other site can send: none knows the code."""
    form = '<form method="post"><button>Connect it</button></form>'
    return html(200, "Connect this mailbox?", words, f"<p>{STRANGE}</p>{form}")


def page(status: int, words: str, again: str = AGAIN) -> Response:
    if status == 200:
        return html(status, "Connected", words)
    return html(status, "Not connected", words, f"<p>{again}</p>")


def html(status: int, title: str, words: str, more: str = "") -> Response:
    """A page without script, style or anything else that is fetched."""
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
    body = f"<body><h1>{title}</h1><p>{escape(words)}</p>{more}</body></html>"
    return HTMLResponse(head + body, status, HEADERS)
