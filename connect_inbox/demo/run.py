"""The demo: the server on a workspace that is made up, and influencers who write now and then."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from connect_inbox.demo.state import is_filled, prepare
from connect_inbox.demo.traffic import keep_writing
from connect_inbox.server import background, listener, local_address, local_url, open_database, serving
from connect_inbox.settings import Settings

MOST_INFLUENCERS = 2000
SUBSCRIPTION = "subscription { messageAdded { position message { author { name } text } } }"


@dataclass(frozen=True)
class Options:
    port: int
    data: Path | None
    influencers: int
    traffic: bool
    json: bool


async def run_demo(settings: Settings, options: Options) -> None:
    """Runs until it is cancelled, and leaves nothing behind but the folder that was named. Raises `CannotStart`."""
    with folder_of(options.data) as folder:
        settings = replace(
            settings, bind=("127.0.0.1", options.port), data=folder, mongodb_uri=None, mongodb_database="connect_inbox"
        )
        with listener(settings) as bound:
            say("Starting the database ...")
            async with AsyncExitStack() as stack:
                opening = open_database(settings, local_address(bound), with_keys=True)
                store = await stack.enter_async_context(opening)
                if is_filled(folder):
                    say(f"Going on with the workspace in {folder}.")
                tokens = await prepare(store, folder, options.influencers, Filling())
                server = await stack.enter_async_context(serving(settings, store, bound))
                url = local_url(bound)
                announce(url, tokens, options)
                if options.traffic:
                    await stack.enter_async_context(background(keep_writing(url, tokens["partnerToken"])))
                await asyncio.shield(server)


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


def announce(url: str, tokens: dict[str, str], options: Options) -> None:
    """Says where everything is: for people, or as one line of JSON."""
    websocket_url = url.replace("http", "ws", 1)
    if options.json:
        print(json.dumps({"url": url, "websocketUrl": websocket_url, **tokens}), flush=True)
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

Paste this into another terminal to see messages as they arrive:

  curl -N {url} -H 'accept: text/event-stream' \\
    -H 'content-type: application/json' -H 'authorization: Bearer {tokens["memberToken"]}' \\
    -d '{json.dumps({"query": SUBSCRIPTION})}'
""",
        flush=True,
    )
