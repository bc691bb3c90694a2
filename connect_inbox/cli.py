"""The command line. A mistake is one line on standard error and an exit code that is not 0."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import schema
from connect_inbox import commands, logs, server
from connect_inbox.commands import CommandFailed
from connect_inbox.demo.run import MOST_INFLUENCERS, Options, run_demo
from connect_inbox.server import CannotStart, open_database
from connect_inbox.settings import Settings, WrongSetting
from resolvers.members import LONGEST
from schema.root import print_schema
from schema.types.context import SCOPES, Role
from schema.types.errors import ApiError, Refused
from storage.database import DatabaseError
from storage.keys import format_key, new_key
from storage.store import Store

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130  # exit codes
SCHEMA_FILE = Path(schema.__path__[0]) / "schema.graphql"
PARENT_CHECK = 0.5  # seconds
LONGEST_END = 9.0  # seconds

Command = Callable[[Store, Namespace], Awaitable[None]]


class Parser(ArgumentParser):
    """argparse, with one line for a mistake."""

    def error(self, message: str) -> NoReturn:
        fail(f"{message} (see {self.prog} --help)")
        sys.exit(WRONG_USE)


def fail(message: str) -> None:
    print(f"connect-inbox: {message}", file=sys.stderr)


def integer(least: int, most: int, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
        raise ValueError
    return int(text)


def whole(name: str, least: int, most: int) -> Callable[[str], int]:
    """An option's type: a whole number in a range. The name is what argparse calls it in an error."""
    parse = partial(integer, least, most)
    parse.__name__ = f"{name} (a whole number from {least} to {most})"  # type: ignore[attr-defined]
    return parse


def build_parser() -> Parser:
    parser = Parser(prog="connect-inbox", description="One conversation per influencer, as a live GraphQL API.")
    parser.set_defaults(stopped=INTERRUPTED)  # the exit code where a signal stops it
    groups = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_server_commands(groups)
    add_workspace_commands(groups)
    add_token_commands(groups)
    add_key_commands(groups)
    add_schema_commands(groups)
    check = groups.add_parser("check", help="recount everything derived, and say what differs")
    check.add_argument("workspace", nargs="?", metavar="WORKSPACE", help="its id; all of them if left out")
    check.add_argument("--repair", action="store_true", help="write what was recounted")
    check.set_defaults(run=partial(on_database, commands.check))
    return parser


def add_server_commands(groups: _SubParsersAction[Parser]) -> None:
    serving = groups.add_parser("serve", help="start the server; what can be set is in the README")
    serving.set_defaults(run=serve, stopped=0)
    syncing = groups.add_parser("sync", help="read mailboxes and send mail, apart from the API")
    syncing.set_defaults(run=sync, stopped=0)
    showing = groups.add_parser("demo", help="start with a made-up workspace to look at")
    showing.add_argument("--port", type=whole("port", 0, 65535), default=8000, help="0 for any free one (8000)")
    showing.add_argument("--data", type=Path, metavar="DIR", help="keep the data here, and go on with it the next time")
    showing.add_argument(
        "--influencers", type=whole("number", 1, MOST_INFLUENCERS), default=40, metavar="N", help="how many (40)"
    )
    showing.add_argument("--no-traffic", action="store_true", help="no influencer writes anything after the start")
    showing.add_argument(
        "--mail", action="store_true", help="with real mail servers, and influencers who answer e-mail"
    )
    showing.add_argument("--json", action="store_true", help="print one line of JSON when ready")
    showing.set_defaults(run=demo, stopped=0)


def add_workspace_commands(groups: _SubParsersAction[Parser]) -> None:
    actions = groups.add_parser("workspace", help="create and list workspaces").add_subparsers(
        required=True, metavar="ACTION"
    )
    create = actions.add_parser("create", help="create a workspace with an ADMIN, and a token for them")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--admin-name", required=True, metavar="NAME")
    create.add_argument("--admin-email", required=True, metavar="EMAIL")
    add_days(create)
    finish(create, commands.create_workspace)
    finish(actions.add_parser("list", help="list the workspaces"), commands.list_workspaces)
    epoch = actions.add_parser("new-epoch", help="after a restore from a backup: have all clients read anew")
    epoch.add_argument("workspace", metavar="WORKSPACE")
    epoch.set_defaults(run=partial(on_database, commands.begin_epoch))

    member = groups.add_parser("member", help="add members").add_subparsers(required=True, metavar="ACTION")
    add = member.add_parser("add", help="add a member to a workspace")
    add.add_argument("workspace", metavar="WORKSPACE")
    add.add_argument("name", metavar="NAME")
    add.add_argument("email", metavar="EMAIL")
    add.add_argument("--role", choices=[role.name for role in Role], default=Role.MEMBER.name, help="(MEMBER)")
    finish(add, commands.add_member)


def add_token_commands(groups: _SubParsersAction[Parser]) -> None:
    actions = groups.add_parser("token", help="create, list and revoke tokens").add_subparsers(
        required=True, metavar="ACTION"
    )
    create = actions.add_parser("create", help="create a token for a member or a partner; it is shown this once")
    create.add_argument("workspace", metavar="WORKSPACE")
    owner = create.add_mutually_exclusive_group(required=True)
    owner.add_argument("--member", metavar="EMAIL", help="a member, by e-mail address or id")
    owner.add_argument("--partner", metavar="NAME", help="a partner app, which is added if it is new")
    create.add_argument("--scope", action="append", default=[], choices=SCOPES, help="what the partner may do")
    create.add_argument("--label", default="command line", help="what it is for (command line)")
    add_days(create)
    finish(create, commands.create_token)
    listing = actions.add_parser("list", help="list a workspace's tokens, without the secrets")
    listing.add_argument("workspace", metavar="WORKSPACE")
    finish(listing, commands.list_tokens)
    revoke = actions.add_parser("revoke", help="revoke a token; its streams end within five seconds")
    revoke.add_argument("workspace", metavar="WORKSPACE")
    revoke.add_argument("token", metavar="TOKEN_ID")
    finish(revoke, commands.revoke_token)


def add_key_commands(groups: _SubParsersAction[Parser]) -> None:
    actions = groups.add_parser("keys", help="the keys that credentials are encrypted with").add_subparsers(
        required=True, metavar="ACTION"
    )
    new = actions.add_parser("new", help="print a new key, for CONNECT_INBOX_SECRET_KEYS")
    new.set_defaults(run=keys_new)
    reseal = actions.add_parser("reseal", help="encrypt with the first key what another one has encrypted")
    reseal.set_defaults(run=keys_reseal)


def add_schema_commands(groups: _SubParsersAction[Parser]) -> None:
    actions = groups.add_parser("schema", help="the API's schema").add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("print", help="print it").set_defaults(run=schema_print)
    actions.add_parser("check", help="compare schema/schema.graphql with the code").set_defaults(run=schema_check)


def add_days(parser: Parser) -> None:
    days = whole("days", 1, LONGEST)
    parser.add_argument("--days", type=days, default=90, metavar="N", help="how long the token is valid (90)")


def finish(parser: Parser, command: Command) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=partial(on_database, command))


async def on_database(command: Command, arguments: Namespace, settings: Settings) -> None:
    """Runs a command on the database that the settings name."""
    async with open_database(settings) as store:
        await command(store, arguments)


async def keys_new(arguments: Namespace, settings: Settings) -> None:
    print(format_key(new_key()))


async def keys_reseal(arguments: Namespace, settings: Settings) -> None:
    async with open_database(settings, with_keys=True) as store:
        await commands.reseal(store)


async def serve(arguments: Namespace, settings: Settings) -> None:
    logs.set_up(settings.log_format, settings.log_level)
    await server.serve(settings, lambda url: print(f"Connect Inbox listens at {url}", flush=True))


async def sync(arguments: Namespace, settings: Settings) -> None:
    logs.set_up(settings.log_format, settings.log_level)
    await server.sync(settings, lambda: print("Connect Inbox reads mailboxes and sends mail.", flush=True))


async def demo(arguments: Namespace, settings: Settings) -> None:
    logs.set_up(settings.log_format, settings.log_level)
    given = arguments
    options = Options(given.port, given.data, given.influencers, not given.no_traffic, given.mail, given.json)
    await run_demo(settings, options)


async def schema_print(arguments: Namespace, settings: Settings) -> None:
    print(print_schema(), end="")


async def schema_check(arguments: Namespace, settings: Settings) -> None:
    if SCHEMA_FILE.read_text(encoding="utf-8") != print_schema():
        raise CommandFailed(
            "schema/schema.graphql differs from the code; write it: connect-inbox schema print > schema/schema.graphql"
        )


async def execute(arguments: Namespace, environ: Mapping[str, str]) -> int:
    """Runs a command; its exit code. What a user did wrong is told in one line."""
    try:
        await arguments.run(arguments, Settings.from_env(environ))
        return 0
    except WrongSetting as error:
        fail(str(error))
        return WRONG_USE
    except Refused as refusal:
        fail(refusal.error.message)
    except DatabaseError as error:
        fail(f"the database failed: {server.reason_of(error)}")
    except (CannotStart, CommandFailed, ApiError) as error:
        fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or flushing it at exit would fail as well
    return FAILED


async def until_stopped(work: Coroutine[Any, Any, int], stopped: int) -> int:
    """Runs it until it ends, or is cancelled by a signal or by the end of the `make` that started us."""
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"

    def stop() -> None:
        task.cancel()
        end_for_certain(stopped)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with server.background(end_with_make(task)):
        return await work


def end_for_certain(code: int) -> None:
    """Ends the process in some seconds, as if it was killed, which loses nothing.

    The driver's threads, and its goodbye to the database, wait for one that does not answer, and cannot be cancelled.
    """
    timer = threading.Timer(LONGEST_END, os._exit, [code])
    timer.daemon = True  # or the process would wait for it
    timer.start()


async def end_with_make(task: asyncio.Task[Any]) -> None:
    """A `make` that is killed cannot end what it started, so what it started looks after it."""
    if "MAKELEVEL" not in os.environ:
        return
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_CHECK)
    if not task.cancelling():  # a Ctrl-C was for both, and a second one would cut the ending short
        task.cancel()


def main() -> int:
    """The command line; the exit code."""
    arguments = build_parser().parse_args()
    logs.set_up("text", "warning")  # a server tells more, as its settings say
    try:
        return asyncio.run(until_stopped(execute(arguments, os.environ), int(arguments.stopped)))
    except asyncio.CancelledError:
        return int(arguments.stopped)
