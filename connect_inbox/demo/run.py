"""The demo: the server on a workspace that is made up, and influencers who write now and then."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from connect_inbox.demo.mail import Correspondence, Manner, connect, keep_answering, keep_mailing, post_office
from connect_inbox.demo.state import is_filled, prepare
from connect_inbox.demo.story import MAILBOX
from connect_inbox.demo.traffic import keep_writing
from connect_inbox.server import background, listener, local_address, local_url, open_database, serving
from connect_inbox.settings import Settings

MOST_INFLUENCERS = 2000
SEND = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } userErrors { message } } }"
SUBSCRIPTION = "subscription { messageAdded { position message { author { name } text } } }"
IS_STREAM = " -H 'accept: text/event-stream'"


@dataclass(frozen=True)
class Options:
    port: int
    data: Path | None
    influencers: int
    traffic: bool
    mail: bool
    json: bool


async def run_demo(settings: Settings, options: Options) -> None:
    """Runs until it is cancelled, and leaves nothing behind but the folder that was named. Raises `CannotStart`."""
    with folder_of(options.data) as folder:
        settings = replace(
            settings, bind=("127.0.0.1", options.port), data=folder, mongodb_uri=None, mongodb_database="connect_inbox"
        )
        with listener(settings) as bound:
            async with AsyncExitStack() as stack:
                office = await stack.enter_async_context(post_office()) if options.mail else None
                if office is not None:
                    settings = replace(settings, sync=True, mail_hosts=office.hosts, mail_ca=office.dovecot.ca_file)
                say("Starting the database ...")
                opening = open_database(settings, local_address(bound), with_keys=True)
                store = await stack.enter_async_context(opening)
                if is_filled(folder):
                    say(f"Going on with the workspace in {folder}.")
                tokens = await prepare(store, folder, options.influencers, Filling())
                server = await stack.enter_async_context(serving(settings, store, bound))
                url = local_url(bound)
                mail = await connect(office, url, tokens["memberToken"]) if office is not None else None
                announce(url, tokens, mail, options)
                for work in traffic(url, tokens, mail, options):
                    await stack.enter_async_context(background(work))
                await asyncio.shield(server)


def traffic(
    url: str, tokens: dict[str, str], mail: Correspondence | None, options: Options
) -> Iterator[Coroutine[Any, Any, None]]:
    """What influencers do while the demo runs. Mail is answered whether or not somebody writes by themselves."""
    if mail is not None:
        yield keep_answering(mail)
    if mail is not None and options.traffic:
        yield keep_mailing(mail)
    if options.traffic:
        yield keep_writing(url, tokens["partnerToken"])


@contextmanager
def folder_of(given: Path | None) -> Iterator[Path]:
    """The folder that was named, or one that is removed at the end."""
    if given is not None:
        yield given
        return
    with TemporaryDirectory(prefix="connect-inbox-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Filling:
    """Shows how far the filling is: on one line that is rewritten, or where nobody watches a line now and then."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.told = -25

    def __call__(self, done: int, of: int) -> None:
        percent = 100 * done // of if of else 100
        if sys.stderr.isatty():
            print(f"\rFilling the workspace: {percent} %", end="", file=sys.stderr, flush=True)
        elif percent >= self.told + 25 or done == of:
            self.told = percent
            say(f"Filling the workspace: {percent} %")
        if done == of:
            end = "\n" * sys.stderr.isatty()
            say(f"{end}Filled in {time.monotonic() - self.started:.0f} seconds.")


def announce(url: str, tokens: dict[str, str], mail: Correspondence | None, options: Options) -> None:
    """Says where everything is: for people, or as one line of JSON."""
    websocket_url = url.replace("http", "ws", 1)
    if options.json:
        told = {"url": url, "websocketUrl": websocket_url, **tokens, **(mail.told() if mail else {})}
        print(json.dumps(told), flush=True)
        return
    print(
        f"""
Connect Inbox is ready. Ctrl-C ends it{"" if options.data else ", and removes what it holds"}.

  requests, event streams  {url}
  WebSocket                {websocket_url}  (graphql-transport-ws)

  member, ADMIN            {tokens["memberToken"]}
  member, MEMBER           {tokens["secondMemberToken"]}
  other workspace, ADMIN   {tokens["otherWorkspaceToken"]}
  partner, all scopes      {tokens["partnerToken"]}
{mail_lines(mail) if mail else ""}
Paste this into another terminal to see messages as they arrive:

{curl(url, tokens["memberToken"], {"query": SUBSCRIPTION}, is_stream=True)}
{sending_lines(url, tokens["memberToken"], mail) if mail else ""}""",
        flush=True,
    )


def mail_lines(mail: Correspondence) -> str:
    office, people = mail.office, mail.examples()
    who = [f"  {manner.value:23}  {person.thread}  ({person.name})" for manner, person in people.items()]
    return "\n".join([
        "",
        f"  mailbox                  {MAILBOX}, password {office.password}",
        f"  its servers              IMAP localhost:{office.dovecot.port} (TLS), SMTP localhost:{office.smtp_port}",
        *who,
        "",
    ])  # fmt: skip


def sending_lines(url: str, token: str, mail: Correspondence) -> str:
    """How to send an e-mail to somebody who answers, if anybody does."""
    person = mail.examples().get(Manner.ANSWERS)
    if person is None:
        return ""
    message = {"threadId": person.thread, "channel": "EMAIL", "subject": "Hello", "text": "How was the hike?"}
    sending = curl(url, token, {"query": SEND, "variables": {"input": message}})
    return f"\nAnd this to send {person.name} an e-mail, who answers within seconds:\n\n{sending}\n"


def curl(url: str, token: str, body: dict[str, Any], is_stream: bool = False) -> str:
    """A command line that asks the API."""
    lines = [
        f"  curl {'-N' if is_stream else '-s'} {url}{IS_STREAM if is_stream else ''}",
        f"    -H 'content-type: application/json' -H 'authorization: Bearer {token}'",
        f"    -d '{json.dumps(body)}'",
    ]
    return " \\\n".join(lines)
