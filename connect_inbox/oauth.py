"""`GET /oauth/callback`: where a browser comes back to from a provider, and is told whether the mailbox is connected.

Nothing of the address that it comes back with is shown, logged or believed. What is being connected, by whom and for
which workspace, was stored when it was begun, and is found by the state alone, once.
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
from storage import oauth_flows
from storage.credentials import Credentials
from storage.oauth_flows import Flow, FlowUnfit, Unfit
from storage.store import Store
from sync.mail_server import Failure, MailServerFailed
from sync.oauth import NoSuchProvider, finish
from sync.oauth_providers import Providers
from sync.oauth_tokens import GrantEnded

logger = logging.getLogger("connect_inbox.oauth")

PATH = "/oauth/callback"
LONGEST = 4096  # characters of a state or a code
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
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
        if request.method != "GET":  # one that only looks must not use the state up
            return Response(status_code=405, headers={"allow": "GET"})
        try:
            intake.admit(intake.address_of(request))
        except RateLimited as refused:
            answer = page(429, MUCH, again=f"Load this address again in {refused.retry_after} seconds.")
            answer.headers["retry-after"] = str(refused.retry_after)
            return answer
        given = {name: request.query_params.get(name, "") for name in ("state", "code", "error")}
        if max(map(len, given.values())) > LONGEST:
            return page(*UNFIT[Unfit.UNKNOWN])
        try:
            return await self._finish(given["state"], given["code"], given["error"])
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

    async def _finish(self, state: str, code: str, error: str) -> Response:
        flow, verifier = await oauth_flows.take(self._store, state)
        if error or not code:
            return page(403, NOT_ALLOWED) if error == "access_denied" else page(400, NO_TOKENS)
        credentials = await finish(self._store, self._providers, flow, verifier, code)
        await self._connected(flow, credentials)
        return page(200, DONE)


def page(status: int, words: str, again: str = AGAIN) -> Response:
    """A page without script, style or anything else that is fetched."""
    title = "Connected" if status == 200 else "Not connected"
    more = "" if status == 200 else f"<p>{again}</p>"
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
    body = f"<body><h1>{title}</h1><p>{escape(words)}</p>{more}</body></html>"
    return HTMLResponse(head + body, status, HEADERS)
